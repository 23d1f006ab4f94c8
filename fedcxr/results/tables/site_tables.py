"""The tables of sites, data and costs."""

from fedcxr.results.comparison import Comparison
from fedcxr.results.tables.result_table import Cell, Column, Table

SPLITS = ("train", "val", "test")


def site_matrix(comparison: Comparison) -> Table:
    """Return each model's macro AUROC on each site's own held-out patients.

    They are its validation split, on which nothing was trained or chosen; images are counted.
    """
    matrix = comparison.site_matrix
    columns = (
        Column("site_id", "Site", "head"),
        Column("holds", "Holds"),
        Column("images", "Images", "count"),
        Column("patients", "Patients", "count"),
        *(Column(f"macro_auroc {model}", model, "value") for model in matrix.models),
        *(Column(f"labels {model}", "", "hidden") for model in matrix.models),
    )
    parts = zip(matrix.sites, matrix.macro_auroc, matrix.labels, strict=True)
    rows = tuple(
        (site.site_id, site.holds, site.images, site.patients, *scores, *counts)
        for site, scores, counts in parts
    )
    return Table("site_matrix", columns, rows, "Every model at every site: macro AUROC")


def site_differences(comparison: Comparison) -> Table:
    """Return federated minus each reference on every site's own held-out patients."""
    titles = {arm.name: arm.title for arm in comparison.arms} | {"local": "its own training"}
    holds = {site.site_id: site.holds for site in comparison.site_matrix.sites}
    columns = (
        Column("site_id", "Site", "head"),
        Column("holds", "Holds"),
        Column("against", "Federated minus"),
        Column("patients", "Patients", "count"),
        Column("num_labels", "Labels", "count"),
        Column("macro_auroc", "Macro AUROC", "signed"),
        Column("labels", "", "hidden"),
        Column("about", "", "hidden"),
    )
    rows = tuple(
        (
            row.site_id,
            holds.get(row.site_id, ""),
            titles.get(row.against, row.against),
            row.patients,
            len(row.labels),
            row,
            ", ".join(row.labels),
            row.about,
        )
        for row in comparison.site_differences
    )
    return Table("site_differences", columns, rows, "What the federation changed at each site")


def label_frequencies(comparison: Comparison) -> Table:
    """Return how often each label is positive among those that are known, by split."""
    columns = [Column("label", "Label", "head")]
    for split in SPLITS:
        columns.append(Column(f"{split}_positive", f"{split}, positive", "count"))
        columns.append(Column(f"{split}_known", f"{split}, known", "count"))
        columns.append(Column(f"{split}_share", f"{split}, share", "share"))
    rows: list[tuple[Cell, ...]] = []
    for label, found in comparison.label_frequencies.items():
        cells: list[Cell] = [label]
        for positive, known in (found.train, found.val, found.test):
            cells += [positive, known, positive / known if known else None]
        rows.append(tuple(cells))
    return Table("label_frequencies", tuple(columns), tuple(rows), "Positives by split")


def costs(comparison: Comparison) -> Table:
    """Return what each arm took over all its trainings; steps are those one after another."""
    columns = (
        Column("arm", "", "hidden", "name"),
        Column("title", "Arm", "head"),
        Column("models", "Trained models", "count"),
        Column("seconds", "Time", "duration"),
        Column("images_seen", "Images seen", "count"),
        Column("steps", "Steps in a row", "count"),
        Column("bytes_down", "Sent to sites", "size"),
        Column("bytes_up", "Received from sites", "size"),
    )
    return Table.of("costs", "What each arm took", columns, (((), arm) for arm in comparison.arms))
