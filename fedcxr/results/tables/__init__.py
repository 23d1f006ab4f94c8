"""Every table of a result: `all_tables` by name; each is shown, written as CSV, and a DataFrame."""

from collections.abc import Iterator

from fedcxr.results.comparison import Comparison
from fedcxr.results.tables import (
    added_tables,
    design_tables,
    detail_tables,
    difference_tables,
    score_tables,
    site_tables,
    task_tables,
)
from fedcxr.results.tables.result_table import Table


def all_tables(comparison: Comparison) -> dict[str, Table]:
    """Return every table of a comparison by its name."""
    found = (
        score_tables.arms(comparison),
        score_tables.seeds(comparison),
        score_tables.differences(comparison),
        score_tables.labels(comparison, "auroc"),
        score_tables.labels(comparison, "ap"),
        score_tables.label_differences(comparison),
        score_tables.learning(comparison),
        detail_tables.operating_points(comparison),
        detail_tables.calibration(comparison),
        detail_tables.calibration_bins(comparison),
        detail_tables.subgroups(comparison),
        detail_tables.gaps(comparison),
        detail_tables.decision_curves(comparison),
        difference_tables.point_differences(comparison),
        difference_tables.calibration_differences(comparison),
        difference_tables.decision_differences(comparison),
        difference_tables.subgroup_differences(comparison),
        site_tables.site_matrix(comparison),
        site_tables.site_differences(comparison),
        site_tables.label_frequencies(comparison),
        site_tables.costs(comparison),
        *_of_design(comparison),
    )
    return {table.name: table for table in found}


def _of_design(comparison: Comparison) -> Iterator[Table]:
    """Yield the tables of what not every comparison has: folds, draws, added images, a task."""
    if comparison.data.partition.folds:
        yield design_tables.folds(comparison)
    elif len(comparison.data.partition.draws) > 1:
        yield design_tables.partitions(comparison)
    if any(arm.added for arm in comparison.arms):
        yield added_tables.added_images(comparison)
    if comparison.external:
        yield design_tables.external_sets(comparison)
        yield design_tables.external_arms(comparison)
        yield design_tables.external_differences(comparison)
        yield design_tables.external_label_differences(comparison)
    if comparison.task is not None:
        yield task_tables.task_scores(comparison, comparison.task)
        yield task_tables.task_differences(comparison, comparison.task)
