"""The tables of a comparison's design: its partitions, and its data sets from elsewhere."""

from collections.abc import Iterator

from fedcxr.results.comparison import Comparison
from fedcxr.results.differences import Difference
from fedcxr.results.external import ExternalResult
from fedcxr.results.tables.result_table import Column, Table
from fedcxr.results.tables.score_tables import (
    DIFFERENCE_COLUMNS,
    LABEL_DIFFERENCE_COLUMNS,
    difference_row,
    file_stem,
    label_difference_rows,
)

_EXTERNAL = Column("external", "Data set")
_LEFT_OUT = {
    "known_patients": "of patients of the federation",
    "known_images": "files of the federation",
    "copies": "copies",
    "unreadable": "unreadable",
}


def partitions(comparison: Comparison) -> Table:
    """Return each draw of the patients to the sites, with every arm's mean over its trainings."""
    columns = (
        Column("partition", "Partition", "head"),
        Column("seeds", "Seeds"),
        *(
            Column(f"macro_auroc_{file_stem(arm.name)}", arm.title, "value")
            for arm in comparison.arms
        ),
        Column("pairs_compared", "Pairs of sets compared", "count"),
        Column("digest", "", "hidden"),
    )
    rows = tuple(
        (
            str(number),
            ", ".join(map(str, draw.seeds)),
            *(arm.macro_by_partition[number] for arm in comparison.arms),
            draw.pairs_compared,
            draw.digest,
        )
        for number, draw in enumerate(comparison.data.partition.draws)
    )
    return Table("partitions", columns, rows, "Macro AUROC by partition")


def folds(comparison: Comparison) -> Table:
    """Return each fold of a cross-validation, with every arm's mean over its trainings there."""
    columns = (
        Column("fold", "Fold", "head"),
        Column("test_patients", "Test patients", "count"),
        *partitions(comparison).columns[1:],
    )
    rows = tuple(
        (number, draw.test_patients, *row)
        for draw, (number, *row) in zip(
            comparison.data.partition.draws, partitions(comparison).rows, strict=True
        )
    )
    return Table("folds", columns, rows, "Macro AUROC by fold of the cross-validation")


def external_sets(comparison: Comparison) -> Table:
    """Return what of each data set from elsewhere is scored, and what is left out."""
    columns = (
        Column("external", "Data set", "head", "data.name"),
        Column("layout", "Layout", of="data.layout"),
        Column("split", "Images of", of="data.split"),
        Column("images", "Images", "count", "data.images"),
        Column("patients", "Patients", "count", "data.patients"),
        Column("labels", "Labels of the endpoint", of="endpoint.labels"),
        *(
            Column(key, f"Left out: {heading}", "count", f"data.left_out.{key}")
            for key, heading in _LEFT_OUT.items()
        ),
        Column("lacking", "", "hidden", "data.lacking"),
        Column("digest", "", "hidden", "data.digest"),
    )
    things = (((), each) for each in comparison.external)
    return Table.of("external_sets", "Data sets from elsewhere", columns, things)


def external_arms(comparison: Comparison) -> Table:
    """Return each arm's scores on each data set from elsewhere."""
    leading = (_EXTERNAL, Column("title", "Arm", "head"))
    columns = (
        Column("arm", "", "hidden", "name"),
        Column("macro_auroc", "Macro AUROC", "estimate"),
        Column("macro_ap", "Mean average precision", "estimate"),
    )
    things = (
        ((each.data.name, comparison.arm(arm.name).title), arm)
        for each in comparison.external
        for arm in each.arms
    )
    title = "Arms on data from elsewhere"
    return Table.of("external_arms", title, columns, things, leading=leading)


def external_differences(comparison: Comparison) -> Table:
    """Return every pair of arms on each data set from elsewhere, with its verdict there."""
    rows = tuple(
        (each.data.name, *difference_row(comparison, found))
        for each, found in _differences(comparison)
    )
    title = "Differences between arms on data from elsewhere"
    return Table("external_differences", (_EXTERNAL, *DIFFERENCE_COLUMNS), rows, title)


def external_label_differences(comparison: Comparison) -> Table:
    """Return the difference in AUROC of every shared label on each data set from elsewhere."""
    rows = tuple(
        (each.data.name, *row)
        for each, found in _differences(comparison)
        for row in label_difference_rows(comparison, found)
    )
    columns = (_EXTERNAL, *LABEL_DIFFERENCE_COLUMNS)
    title = "Differences by label on data from elsewhere"
    return Table("external_differences_by_label", columns, rows, title)


def _differences(comparison: Comparison) -> Iterator[tuple[ExternalResult, Difference]]:
    return ((each, found) for each in comparison.external for found in each.differences)
