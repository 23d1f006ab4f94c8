"""Small multiples, one panel a label: ROC and precision-recall curves, reliability diagrams.

On the page each panel is a figure of its own, so that a narrow screen can stack them; for a paper
all are one sheet.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedcxr.report.comparison.arm_style import line_handles, style_of
from fedcxr.report.comparison.pictures import Picture, picture
from fedcxr.report.comparison.read_comparison import Arm, Comparison, Tree, estimate, rows
from fedcxr.report.figures_svg import GRID, INK, MUTED, Drawing, draw, new_axes, styled
from fedcxr.report.wording import as_number, fixed, shorten

Points = list[tuple[float, float]]

_CHANCE: dict[str, Any] = {"color": MUTED, "linewidth": 0.8, "linestyle": (0, (2, 2))}
_PANEL_IN = 1.8
_SHEET_COLUMNS = 4
_SHEET_MARGINS_IN = {"left": 0.62, "right": 0.15, "bottom": 0.55, "top": 0.5}
_NARROWEST_SHEET_IN = 4.6
_TOPS = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Where the axes of a reliability diagram may end."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One label's panel on the page."""

    label: str
    numbers: tuple[str, ...]
    """One an arm, in the order of the arms."""
    drawing: Drawing


@dataclass(frozen=True, slots=True)
class Panels:
    """The panels of all labels, and the sheet of them all."""

    panels: tuple[Panel, ...]
    sheet: Picture


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is drawn in each panel."""

    name: str
    title: str
    across: str
    up: str
    has: Callable[[Arm, str], bool]
    fill: Callable[[Axes, str], None]
    number: Callable[[Arm, str], float | None]


@styled
def draw_rocs(comparison: Comparison) -> Panels | None:
    """Return the ROC curves of all arms, a panel a label, None if there is no curve."""

    def fill(axes: Axes, label: str) -> None:
        axes.plot((0, 1), (0, 1), **_CHANCE)
        _draw_lines(axes, comparison, lambda arm: _curve(arm, label, ("fpr", "tpr")))
        _frame(axes, 1.0)

    return _draw_all(
        comparison,
        _Plan(
            name="roc",
            title="ROC curve",
            across="false positive rate",
            up="true positive rate",
            has=lambda arm, label: bool(_curve(arm, label, ("fpr", "tpr"))),
            fill=fill,
            number=lambda arm, label: arm.of_label(label).value,
        ),
    )


@styled
def draw_precision_recalls(comparison: Comparison) -> Panels | None:
    """Return the precision-recall curves of all arms, a panel a label, None if there is none."""

    def fill(axes: Axes, label: str) -> None:
        prevalence = _prevalence(comparison, label)
        if prevalence is not None:
            axes.plot((0, 1), (prevalence, prevalence), **_CHANCE)
        _draw_lines(axes, comparison, lambda arm: _curve(arm, label, ("recall", "precision")))
        _frame(axes, 1.0)

    return _draw_all(
        comparison,
        _Plan(
            name="precision-recall",
            title="Precision-recall curve",
            across="recall",
            up="precision",
            has=lambda arm, label: bool(_curve(arm, label, ("recall", "precision"))),
            fill=fill,
            number=lambda arm, label: arm.of_label(label, "ap").value,
        ),
    )


@styled
def draw_reliability(comparison: Comparison) -> Panels | None:
    """Return the reliability diagrams of all arms, a panel a label, None if there is no bin."""

    def fill(axes: Axes, label: str) -> None:
        found = {arm.name: _bins(arm, label) for arm in comparison.arms}
        top = _top([x for points in found.values() for point in points for x in point])
        axes.plot((0, top), (0, top), **_CHANCE)
        # of one arm: those of all hide the points
        _draw_intervals(axes, comparison.main_arm, label)
        _draw_lines(axes, comparison, lambda arm: found[arm.name], markers=True)
        _frame(axes, top)

    return _draw_all(
        comparison,
        _Plan(
            name="reliability",
            title="Reliability diagram",
            across="mean predicted probability",
            up="share that is positive",
            has=lambda arm, label: bool(_bins(arm, label)),
            fill=fill,
            number=lambda arm, label: estimate(_calibrated(arm, label).get("ece")).value,
        ),
    )


def _draw_all(comparison: Comparison, plan: _Plan) -> Panels | None:
    labels = [
        label for label in comparison.labels if any(plan.has(arm, label) for arm in comparison.arms)
    ]
    if not labels:
        return None
    panels = []
    for number, label in enumerate(labels):
        figure, axes = new_axes(_PANEL_IN, _PANEL_IN, left=0.17, right=0.96, bottom=0.15, top=0.96)
        plan.fill(axes, label)
        numbers = tuple(fixed(plan.number(arm, label)) for arm in comparison.arms)
        told = ", ".join(
            f"{arm.title} {text}" for arm, text in zip(comparison.arms, numbers, strict=True)
        )
        drawing = draw(figure, f"fig-{plan.name}-{number}", f"{plan.title} of {label}: {told}.")
        panels.append(Panel(label, numbers, drawing))
    return Panels(tuple(panels), _draw_sheet(comparison, plan, labels))


def _draw_sheet(comparison: Comparison, plan: _Plan, labels: Sequence[str]) -> Picture:
    """Return all panels as one figure with the arms' legend."""
    columns = min(_SHEET_COLUMNS, len(labels))
    down = math.ceil(len(labels) / columns)
    margins = dict(_SHEET_MARGINS_IN)
    width = max(_NARROWEST_SHEET_IN, _PANEL_IN * columns + margins["left"] + margins["right"])
    handles = line_handles(comparison.arms)
    widest = 0.65 + 0.062 * max(len(arm.title) for arm in comparison.arms)
    beside = max(1, min(len(handles), int(width / widest)))
    margins["top"] += 0.2 * math.ceil(len(handles) / beside)
    height = (_PANEL_IN + 0.1) * down + margins["bottom"] + margins["top"]
    figure = Figure((width, height))
    figure.subplots_adjust(
        left=margins["left"] / width,
        right=1 - margins["right"] / width,
        bottom=margins["bottom"] / height,
        top=1 - margins["top"] / height,
        wspace=0.28,
        hspace=0.42,
    )
    grid = figure.subplots(down, columns, squeeze=False).ravel()
    for axes, label in zip(grid, labels, strict=False):
        plan.fill(axes, label)
        axes.set_title(shorten(label, 26), pad=4)
    for axes in grid[len(labels) :]:
        axes.remove()
    figure.legend(handles=handles, loc="upper center", ncols=beside, handlelength=3.2)
    figure.supxlabel(plan.across, fontsize=8.5, y=0.06 / height)
    figure.supylabel(plan.up, fontsize=8.5, x=0.06 / width)
    return picture(figure, plan.name, f"{plan.title}s of {len(labels)} labels.")


def _draw_lines(
    axes: Axes,
    comparison: Comparison,
    points_of: Callable[[Arm], Points],
    *,
    markers: bool = False,
) -> None:
    for arm in comparison.arms:
        points = points_of(arm)
        if points:
            style = style_of(arm.place)
            line = style.line(linewidth=1.5, markersize=2.6, marker=style.marker if markers else "")
            axes.plot(*zip(*points, strict=True), **line)


def _draw_intervals(axes: Axes, arm: Arm, label: str) -> None:
    bars = []
    for part in rows(_calibrated(arm, label).get("bins")):
        low, high = (as_number(bound) for bound in part.get("ci") or (None, None))
        at = as_number(part.get("predicted"))
        if at is not None and low is not None and high is not None:
            bars.append((at, low, high))
    if bars:
        colour = style_of(arm.place).colour
        axes.vlines(*zip(*bars, strict=True), color=colour, linewidth=0.8, alpha=0.45)


def _frame(axes: Axes, top: float) -> None:
    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    ticks = (0, top / 2, top)
    texts = ("0", "½", "1") if top == 1 else tuple(f"{tick:g}" for tick in ticks)
    axes.set_xticks(ticks, texts)
    axes.set_yticks(ticks, texts)
    axes.tick_params(labelsize=8, length=2, pad=2, colors=MUTED, labelcolor=INK)
    axes.grid(color=GRID)


def _curve(arm: Arm, label: str, keys: tuple[str, str]) -> Points:
    """Return the points of a curve, none if it is not told."""
    told = (arm.tree.get("curves") or {}).get(label) or {}
    pairs = zip(told.get(keys[0]) or (), told.get(keys[1]) or (), strict=False)
    return [(x, y) for x, y in pairs if x is not None and y is not None]


def _bins(arm: Arm, label: str) -> Points:
    found = rows(_calibrated(arm, label).get("bins"))
    pairs = [(as_number(part.get("predicted")), as_number(part.get("observed"))) for part in found]
    return [(x, y) for x, y in pairs if x is not None and y is not None]


def _calibrated(arm: Arm, label: str) -> Tree:
    return ((arm.tree.get("calibration") or {}).get("by_label") or {}).get(label) or {}


def _prevalence(comparison: Comparison, label: str) -> float | None:
    told = comparison.main_arm.label(label)
    positives, negatives = as_number(told.get("positives")), as_number(told.get("negatives"))
    known = (positives or 0) + (negatives or 0)
    return positives / known if positives is not None and known else None


def _top(values: Sequence[float]) -> float:
    """Return where axes may end that hold all values.

    >>> _top([0.03, 0.12]), _top([])
    (0.2, 0.05)
    """
    return next((top for top in _TOPS if top >= max(values, default=0.0)), 1.0)
