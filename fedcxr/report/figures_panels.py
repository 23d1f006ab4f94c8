"""Small multiples, one panel a label: ROC and precision-recall curves, reliability diagrams.

On the page each panel is a figure of its own, so that a narrow screen can stack them; for a paper
all are one sheet.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedcxr.report.arm_style import line_handles, styled_arms
from fedcxr.report.figures_svg import GRID, INK, MUTED, Drawing, draw, new_axes, styled
from fedcxr.report.pictures import Picture, picture
from fedcxr.report.wording import fixed, shorten
from fedcxr.results.arms import ArmResult
from fedcxr.results.comparison import Comparison
from fedcxr.results.details import Bin

Points = list[tuple[float, float]]
PointsOf = Callable[[ArmResult, str], Points]
"""Of an arm's curve of a label; none where it has none."""

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
    """One an arm, in the order of the arms; none where no arm has one."""
    drawing: Drawing


@dataclass(frozen=True, slots=True)
class Panels:
    """The panels of all labels."""

    panels: tuple[Panel, ...]
    sheet: Callable[[], Picture]
    """Draws all of them as one figure, which the page does not show."""


@dataclass(frozen=True, slots=True)
class PanelPlan:
    """What is drawn in each panel."""

    name: str
    title: str
    across: str
    up: str
    points: PointsOf
    chance: Callable[[str, float], Points]
    """The dotted line, from the label and where the axes end."""
    number: Callable[[ArmResult, str], float | None]
    band: Callable[[ArmResult, str], tuple[Sequence[float], ...]] | None = None
    """Where the lowest and the highest model of the main arm run: across, low, high."""
    is_binned: bool = False
    """Points are bins with intervals, and the axes end where they do."""
    frame: Callable[[Axes, str], None] | None = None
    """Sets the limits and ticks of the panel of a label; else both axes go from 0 to the end."""


@styled
def draw_rocs(result: Comparison) -> Panels | None:
    """Return the ROC curves of all arms, a panel a label, None if there is no curve."""

    def points(arm: ArmResult, label: str) -> Points:
        curve = arm.curves.get(label)
        return list(zip(curve.fpr, curve.tpr, strict=True)) if curve else []

    return draw_panels(
        result,
        PanelPlan(
            name="roc",
            title="ROC curve",
            across="false positive rate",
            up="true positive rate",
            points=points,
            chance=lambda label, top: [(0, 0), (top, top)],
            number=lambda arm, label: arm.by_label[label].auroc.value,
            band=lambda arm, label: (
                (curve.fpr, curve.tpr_low, curve.tpr_high)
                if (curve := arm.curves.get(label)) and curve.tpr_low
                else ()
            ),
        ),
    )


@styled
def draw_precision_recalls(result: Comparison) -> Panels | None:
    """Return the precision-recall curves of all arms, a panel a label, None if there is none."""

    def points(arm: ArmResult, label: str) -> Points:
        curve = arm.curves.get(label)
        return list(zip(curve.recall, curve.precision, strict=True)) if curve else []

    def chance(label: str, top: float) -> Points:
        told = result.main_arm.by_label[label]
        share = told.positives / max(1, told.positives + told.negatives)
        return [(0, share), (top, share)]

    return draw_panels(
        result,
        PanelPlan(
            name="precision-recall",
            title="Precision-recall curve",
            across="recall",
            up="precision",
            points=points,
            chance=chance,
            number=lambda arm, label: arm.by_label[label].ap.value,
            band=lambda arm, label: (
                (curve.recall, curve.precision_low, curve.precision_high)
                if (curve := arm.curves.get(label)) and curve.precision_low
                else ()
            ),
        ),
    )


@styled
def draw_reliability(result: Comparison) -> Panels | None:
    """Return the reliability diagrams of all arms, a panel a label, None if there is no bin."""

    def ece(arm: ArmResult, label: str) -> float | None:
        found = arm.calibration.by_label.get(label)
        return found.ece.value if found else None

    return draw_panels(
        result,
        PanelPlan(
            name="reliability",
            title="Reliability diagram",
            across="mean predicted probability",
            up="share that is positive",
            points=lambda arm, label: [(b.predicted, b.observed) for b in _bins(arm, label)],
            chance=lambda label, top: [(0, 0), (top, top)],
            number=ece,
            is_binned=True,
        ),
    )


def draw_panels(result: Comparison, plan: PanelPlan) -> Panels | None:
    """Return a panel for each label that any arm has points of, None where none has."""
    labels = [
        label for label in result.data.labels if any(plan.points(arm, label) for arm in result.arms)
    ]
    if not labels:
        return None
    panels = []
    for number, label in enumerate(labels):
        figure, axes = new_axes(_PANEL_IN, _PANEL_IN, left=0.17, right=0.96, bottom=0.15, top=0.96)
        _fill(axes, result, plan, label)
        values = [plan.number(arm, label) for arm in result.arms]
        numbers = tuple(map(fixed, values)) if any(v is not None for v in values) else ()
        pairs = zip(result.arms, map(fixed, values), strict=True)
        told = ", ".join(f"{arm.title} {text}" for arm, text in pairs)
        drawing = draw(figure, f"fig-{plan.name}-{number}", f"{plan.title} of {label}: {told}.")
        panels.append(Panel(label, numbers, drawing))
    return Panels(tuple(panels), partial(_draw_sheet, result, plan, labels))


def _fill(axes: Axes, result: Comparison, plan: PanelPlan, label: str) -> None:
    """Draw the panel of one label."""
    lines = [(style, plan.points(arm, label)) for arm, style in styled_arms(result)]
    top = _top([x for _, points in lines for point in points for x in point])
    top = top if plan.is_binned else 1.0
    axes.plot(*zip(*plan.chance(label, top), strict=True), **_CHANCE)
    for (arm, style), (_, points) in zip(styled_arms(result), lines, strict=True):
        if plan.is_binned and arm is result.main_arm and points:
            # of one arm: those of all hide the points
            bars = [(each.predicted, *each.ci) for each in _bins(arm, label)]
            axes.vlines(*zip(*bars, strict=True), color=style.colour, linewidth=0.8, alpha=0.45)
        if plan.band and arm is result.main_arm and (band := plan.band(arm, label)):
            across, low, high = band
            axes.fill_between(across, low, high, color=style.colour, alpha=0.14, linewidth=0)
        if points:
            marker = style.marker if plan.is_binned else ""
            line = style.line(linewidth=1.5, markersize=2.6, marker=marker)
            axes.plot(*zip(*points, strict=True), **line)
    if plan.frame:
        plan.frame(axes, label)
    else:
        _frame(axes, top)


@styled
def _draw_sheet(result: Comparison, plan: PanelPlan, labels: Sequence[str]) -> Picture:
    """Return all panels as one figure with the arms' legend."""
    columns = min(_SHEET_COLUMNS, len(labels))
    down = math.ceil(len(labels) / columns)
    margins = dict(_SHEET_MARGINS_IN)
    width = max(_NARROWEST_SHEET_IN, _PANEL_IN * columns + margins["left"] + margins["right"])
    handles = line_handles(result)
    widest = 0.65 + 0.062 * max(len(arm.title) for arm in result.arms)
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
        _fill(axes, result, plan, label)
        axes.set_title(shorten(label, 26), pad=4)
    for axes in grid[len(labels) :]:
        axes.remove()
    figure.legend(handles=handles, loc="upper center", ncols=beside, handlelength=3.2)
    figure.supxlabel(plan.across, fontsize=8.5, y=0.06 / height)
    figure.supylabel(plan.up, fontsize=8.5, x=0.06 / width)
    return picture(figure, plan.name, f"{plan.title}s of {len(labels)} labels.")


def _frame(axes: Axes, top: float) -> None:
    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    ticks = (0, top / 2, top)
    texts = ("0", "½", "1") if top == 1 else tuple(f"{tick:g}" for tick in ticks)
    axes.set_xticks(ticks, texts)
    axes.set_yticks(ticks, texts)
    axes.tick_params(labelsize=8, length=2, pad=2, colors=MUTED, labelcolor=INK)
    axes.grid(color=GRID)


def _bins(arm: ArmResult, label: str) -> tuple[Bin, ...]:
    found = arm.calibration.by_label.get(label)
    return found.bins if found else ()


def _top(values: Sequence[float]) -> float:
    """Return where axes may end that hold all values.

    >>> _top([0.03, 0.12]), _top([])
    (0.2, 0.05)
    """
    return next((top for top in _TOPS if top >= max(values, default=0.0)), 1.0)
