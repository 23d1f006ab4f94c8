"""The table of what each arm added to the real images."""

from fedcxr.results.comparison import Comparison
from fedcxr.results.tables.result_table import Cell, Column, Table


def added_images(comparison: Comparison) -> Table:
    """Return the images, and by label the positives, that were there and that each arm added."""
    arms = [(arm, arm.added) for arm in comparison.arms if arm.added is not None]
    columns = [Column("what", "", "head"), Column("real", "Real images", "count")]
    columns += [Column(arm.name, arm.title, "count") for arm, _ in arms]
    first = arms[0][1] if arms else None
    rows: list[tuple[Cell, ...]] = []
    if first is not None:
        rows.append(("All images", first.real, *(added.images for _, added in arms)))
        for label, positives in first.real_positives.items():
            rows.append((label, positives, *(added.positives[label] for _, added in arms)))
    return Table("added_images", tuple(columns), tuple(rows), "What each arm added")
