"""The tables of two arms' differences beside the areas: thresholds, calibration, groups."""

from collections.abc import Iterator

from fedcxr.results.comparison import Comparison
from fedcxr.results.details import CalibrationDifference, DifferenceDetails
from fedcxr.results.tables.detail_tables import GAPS, GROUP_SCORES, rates_of
from fedcxr.results.tables.table import Cell, Column, Table

_PAIR = (Column("arm", "Arm"), Column("against", "Against"), Column("about", "About"))
_CALIBRATION = (("brier", "Brier"), ("slope", "Slope"), ("intercept", "Intercept at slope 1"))


def point_differences(comparison: Comparison) -> Table:
    """Return how far two arms are apart at each operating point."""
    rates = rates_of(comparison)
    columns = (
        *_PAIR,
        Column("point", "Point"),
        Column("label", "Label", "head"),
        *(Column(key, heading, "signed") for key, heading in rates),
    )
    rows = tuple(
        (*pair, found.point, found.label, *(getattr(found, key) for key, _ in rates))
        for each, pair in _pairs(comparison)
        for found in each.operating_points
    )
    return Table("operating_point_differences", columns, rows, "Differences at operating points")


def calibration_differences(comparison: Comparison) -> Table:
    """Return how far two arms are apart in calibration, before and after the temperatures."""
    columns = (
        *_PAIR,
        Column("label", "Label", "head"),
        *(Column(key, heading, "signed") for key, heading in _CALIBRATION),
        *(
            Column(f"tempered_{key}", f"{heading}, tempered", "signed")
            for key, heading in _CALIBRATION
        ),
    )

    def numbers(found: CalibrationDifference | None) -> list[Cell]:
        return [getattr(found, key) if found else None for key, _ in _CALIBRATION]

    rows = tuple(
        (*pair, label, *numbers(found), *numbers(found.tempered))
        for each, pair in _pairs(comparison)
        for label, found in each.calibration.items()
    )
    return Table("calibration_differences", columns, rows, "Differences in calibration")


def decision_differences(comparison: Comparison) -> Table:
    """Return how far two arms are apart in net benefit."""
    columns = (
        *_PAIR,
        Column("label", "Label", "head"),
        Column("at", "Treated from", "share"),
        Column("net_benefit", "Net benefit", "signed"),
    )
    rows = tuple(
        (*pair, label, at, benefit)
        for each, pair in _pairs(comparison)
        for label, curve in each.decision_curves.items()
        for at, benefit in zip(curve.at, curve.net_benefit, strict=True)
    )
    return Table("decision_curve_differences", columns, rows, "Differences in net benefit")


def subgroup_differences(comparison: Comparison) -> Table:
    """Return how far two arms are apart in each group, and in its gap to the others."""
    scores = (*GROUP_SCORES, *GAPS)
    columns = (
        *_PAIR,
        Column("attribute", "Attribute"),
        Column("group", "Group", "head"),
        Column("label", "Label"),
        *(Column(key, heading, "signed") for key, heading in scores),
    )
    rows = tuple(
        (
            *pair,
            found.attribute,
            found.group,
            found.label,
            *(getattr(found, key) for key, _ in scores),
        )
        for each, pair in _pairs(comparison)
        for found in each.subgroups
    )
    return Table("subgroup_differences", columns, rows, "Differences by group of patients")


def _pairs(comparison: Comparison) -> Iterator[tuple[DifferenceDetails, tuple[str, str, str]]]:
    for each in comparison.differences:
        if each.details:
            yield each.details, (each.arm, each.against, each.details_about)
