"""The tables of a comparison's design: its partitions, and its data sets from elsewhere."""

from collections.abc import Iterator

from fedcxr.results.comparison import Comparison
from fedcxr.results.differences import Difference
from fedcxr.results.external import ExternalResult
from fedcxr.results.tables.score_tables import file_stem, pair_title
from fedcxr.results.tables.table import Column, Table


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
        Column("external", "Data set", "head"),
        Column("layout", "Layout"),
        Column("split", "Images of"),
        Column("images", "Images", "count"),
        Column("patients", "Patients", "count"),
        Column("labels", "Labels of the endpoint"),
        Column("known_patients", "Left out: of patients of the federation", "count"),
        Column("known_images", "Left out: files of the federation", "count"),
        Column("copies", "Left out: copies", "count"),
        Column("unreadable", "Left out: unreadable", "count"),
        Column("lacking", "", "hidden"),
        Column("digest", "", "hidden"),
    )
    rows = tuple(
        (
            each.data.name,
            each.data.layout,
            each.data.split,
            each.data.images,
            each.data.patients,
            ", ".join(each.endpoint.labels),
            each.data.left_out.known_patients,
            each.data.left_out.known_images,
            each.data.left_out.copies,
            each.data.left_out.unreadable,
            ", ".join(each.data.lacking),
            each.data.digest,
        )
        for each in comparison.external
    )
    return Table("external_sets", columns, rows, "Data sets from elsewhere")


def external_arms(comparison: Comparison) -> Table:
    """Return each arm's scores on each data set from elsewhere."""
    columns = (
        Column("external", "Data set"),
        Column("arm", "", "hidden"),
        Column("title", "Arm", "head"),
        Column("macro_auroc", "Macro AUROC", "estimate"),
        Column("macro_ap", "Mean average precision", "estimate"),
    )
    rows = tuple(
        (
            each.data.name,
            arm.name,
            comparison.arm(arm.name).title,
            arm.macro_auroc,
            arm.macro_ap,
        )
        for each in comparison.external
        for arm in each.arms
    )
    return Table("external_arms", columns, rows, "Arms on data from elsewhere")


def external_differences(comparison: Comparison) -> Table:
    """Return every pair of arms on each data set from elsewhere, with its verdict there."""
    columns = (
        Column("external", "Data set"),
        Column("pair", "Arms", "head"),
        Column("arm", "", "hidden"),
        Column("against", "", "hidden"),
        Column("about", "About"),
        Column("macro_auroc", "Macro AUROC", "signed"),
        Column("macro_auroc_models", "Of these models", "signed"),
        Column("macro_ap", "Mean average precision", "signed"),
        Column("margin", "Margin", "value"),
        Column("verdict", "Verdict", "verdict"),
        Column("verdict_reason", "", "remark"),
        Column("power", "", "hidden"),
    )
    rows = tuple(
        (
            each.data.name,
            pair_title(comparison, found),
            found.arm,
            found.against,
            found.about,
            found.macro_auroc,
            found.macro_auroc_models,
            found.macro_ap,
            comparison.statistics.margin,
            found.verdict.word,
            found.verdict.reason,
            found.power,
        )
        for each, found in _differences(comparison)
    )
    title = "Differences between arms on data from elsewhere"
    return Table("external_differences", columns, rows, title)


def external_label_differences(comparison: Comparison) -> Table:
    """Return the difference in AUROC of every shared label on each data set from elsewhere."""
    columns = (
        Column("external", "Data set"),
        Column("pair", "Arms"),
        Column("label", "Label", "head"),
        Column("auroc_difference", "Difference in AUROC", "signed"),
        Column("p", "p", "p"),
        Column("p_holm", "p, Holm", "p"),
    )
    rows = tuple(
        (each.data.name, pair_title(comparison, found), label, score, score.p, score.p_holm)
        for each, found in _differences(comparison)
        for label, score in found.by_label.items()
    )
    title = "Differences by label on data from elsewhere"
    return Table("external_differences_by_label", columns, rows, title)


def _differences(comparison: Comparison) -> Iterator[tuple[ExternalResult, Difference]]:
    return ((each, found) for each in comparison.external for found in each.differences)
