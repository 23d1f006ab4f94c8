"""What thresholds that were fixed on validation give on the test set, with confusion matrices."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from fedcxr.report.figures_heat import draw_confusions
from fedcxr.report.page_table import PageTable
from fedcxr.report.shown import Shown, View, pairs_of
from fedcxr.report.wording import count
from fedcxr.results.arms import ArmResult

POINTS = {
    "youden": (
        "Youden",
        "the threshold with the largest sum of sensitivity and specificity on validation",
    ),
    "sens90": (
        "Sensitivity of 90 %",
        "of the thresholds with at least 90 % sensitivity on validation, the most specific",
    ),
    "spec90": (
        "Specificity of 90 %",
        "of the thresholds with at least 90 % specificity on validation, the most sensitive",
    ),
}
"""What an operating point is called and how it was chosen, by its name, in the page's order."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """A confusion matrix: each cell its count and its share of the row."""

    label: str
    cells: tuple[tuple[str, float], ...]
    """Present, then absent; said present, then said absent."""


@dataclass(frozen=True, slots=True)
class Point:
    """One operating point of an arm."""

    heading: str
    rule: str
    table: PageTable
    matrices: tuple[Matrix, ...]


def show(view: View) -> Shown | None:
    """Return each arm's operating points, those of the main one first; None if there is none."""
    points = [point for arm in view.main_first for point in _points(view, arm)]
    if not points:
        return None
    first = next(iter(POINTS))
    differences = pairs_of(view, "operating_point_differences")
    confusions = [  # in files alone
        partial(draw_confusions, arm, first, POINTS[first][0])
        for arm in view.result.arms
        if any(row.point == first and row.tp is not None for row in arm.operating_points)
    ]
    return Shown({"points": points, "differences": differences}, confusions)


def _points(view: View, arm: ArmResult) -> list[Point]:
    table = view.tables["operating_points"].only("arm", arm.name)
    found = []
    for name, (title, rule) in POINTS.items():
        own = [row for row in arm.operating_points if row.point == name]
        if own:
            matrices = tuple(
                matrix_of(row.label, (row.tp, row.fn, row.fp, row.tn))
                for row in own
                if row.tp is not None
            )
            cut = table.only("point", name)
            found.append(Point(view.of_arm(arm, title), rule, cut, matrices))
    return found


def matrix_of(label: str, cells: Sequence[float | None]) -> Matrix:
    """Return the confusion matrix of the four cells: found, missed, false alarms, let go."""
    tp, fn, fp, tn = (number or 0 for number in cells)
    parts = ((tp, tp + fn), (fn, tp + fn), (fp, fp + tn), (tn, fp + tn))
    return Matrix(
        label, tuple((count(part), part / whole if whole else 0.0) for part, whole in parts)
    )
