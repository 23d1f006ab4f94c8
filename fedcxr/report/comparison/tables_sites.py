"""What the federation changed at each site, as a table."""

from fedcxr.report.comparison.read_comparison import Comparison, estimate, rows
from fedcxr.report.comparison.table import Cell, Column, Table
from fedcxr.report.comparison.tables_details import number


def site_differences(comparison: Comparison) -> Table:
    """Return federated minus each reference on every site's own held-out patients."""
    titles = {arm.name: arm.title for arm in comparison.arms} | {"local": "its own training"}
    columns = (
        Column("site_id", "Site", "head"),
        Column("against", "Federated minus"),
        Column("patients", "Patients", "count"),
        Column("num_labels", "Labels", "count"),
        Column("macro_auroc", "Macro AUROC", "signed"),
        Column("labels", "", "hidden"),
        Column("about", "", "hidden"),
    )
    found: list[tuple[Cell, ...]] = []
    for row in rows(comparison.tree.get("site_differences")):
        against = str(row.get("against"))
        labels = [str(label) for label in row.get("labels") or ()]
        found.append(
            (
                str(row.get("site_id")),
                titles.get(against, against),
                number(row, "patients"),
                len(labels),
                estimate(row),
                ", ".join(labels),
                str(row.get("about") or ""),
            )
        )
    return Table("site_differences", columns, tuple(found))
