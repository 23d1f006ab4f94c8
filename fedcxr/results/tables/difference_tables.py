"""The tables of two arms' differences beside the areas: thresholds, calibration, groups."""

from collections.abc import Iterator

from fedcxr.results.comparison import Comparison
from fedcxr.results.details import DifferenceDetails
from fedcxr.results.tables.detail_tables import CALIBRATION, GAPS, GROUP, GROUP_SCORES, rates_of
from fedcxr.results.tables.result_table import Column, Table

_PAIR = (Column("arm", "Arm"), Column("against", "Against"), Column("about", "About"))
_LABEL = Column("label", "Label", "head")
_SMOOTH = [(key, heading) for key, (heading, _) in CALIBRATION.items() if key != "ece"]
"""What of an arm's calibration has a difference."""


def point_differences(comparison: Comparison) -> Table:
    """Return how far two arms are apart at each operating point."""
    columns = (
        Column("point", "Point"),
        _LABEL,
        *(Column(key, heading, "signed") for key, heading in rates_of(comparison)),
    )
    things = ((pair, row) for found, pair in _pairs(comparison) for row in found.operating_points)
    title = "Differences at operating points"
    return Table.of("operating_point_differences", title, columns, things, leading=_PAIR)


def calibration_differences(comparison: Comparison) -> Table:
    """Return how far two arms are apart in calibration, before and after the temperatures."""
    columns = (
        *(Column(key, heading, "signed") for key, heading in _SMOOTH),
        *(
            Column(f"tempered_{key}", f"{heading}, tempered", "signed", f"tempered.{key}")
            for key, heading in _SMOOTH
        ),
    )
    things = (
        ((*pair, label), each)
        for found, pair in _pairs(comparison)
        for label, each in found.calibration.items()
    )
    title = "Differences in calibration"
    leading = (*_PAIR, _LABEL)
    return Table.of("calibration_differences", title, columns, things, leading=leading)


def decision_differences(comparison: Comparison) -> Table:
    """Return how far two arms are apart in net benefit."""
    columns = (
        *_PAIR,
        _LABEL,
        Column("at", "Treated from", "share"),
        Column("net_benefit", "Net benefit", "signed"),
    )
    rows = tuple(
        (*pair, label, *point)
        for found, pair in _pairs(comparison)
        for label, curve in found.decision_curves.items()
        for point in zip(curve.at, curve.net_benefit, strict=True)
    )
    return Table("decision_curve_differences", columns, rows, "Differences in net benefit")


def subgroup_differences(comparison: Comparison) -> Table:
    """Return how far two arms are apart in each group, and in its gap to the others."""
    scores = (*GROUP_SCORES, *GAPS)
    columns = (*GROUP, *(Column(key, heading, "signed") for key, heading in scores))
    things = ((pair, row) for found, pair in _pairs(comparison) for row in found.subgroups)
    title = "Differences by group of patients"
    return Table.of("subgroup_differences", title, columns, things, leading=_PAIR)


def _pairs(comparison: Comparison) -> Iterator[tuple[DifferenceDetails, tuple[str, str, str]]]:
    for each in comparison.differences:
        if each.details:
            yield each.details, (each.arm, each.against, each.details_about)
