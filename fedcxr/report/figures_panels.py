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

from fedcxr.report.arm_style import Style, legend_columns, line_handles, styled_arms
from fedcxr.report.figures_svg import GRID, INK, MUTED, Drawing, styled
from fedcxr.report.panel_svg import (
    LINE_WIDTH,
    MARKER_SIZE,
    PANEL_IN,
    Axis,
    Line,
    PanelContent,
    Point,
    draw_panel,
)
from fedcxr.report.pictures import Picture, picture
from fedcxr.report.wording import fixed, shorten
from fedcxr.results.arms import ArmResult
from fedcxr.results.comparison import Comparison
from fedcxr.results.details import Bin

Points = list[Point]
PointsOf = Callable[[ArmResult, str], Points]
"""Of an arm's curve of a label; none where it has none."""

_CHANCE: dict[str, Any] = {"color": MUTED, "linewidth": 0.8, "linestyle": (0, (2, 2))}
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
    axes: Callable[[str], tuple[Axis, Axis]] | None = None
    """Of the panel of a label, across and up; else both go from 0 to the end."""
    has_zero_line: bool = False


def draw_rocs(result: Comparison) -> Panels | None:
    """Return the ROC curves of all arms, a panel a label, None if there is no curve."""
    return _draw_curves(
        result,
        name="roc",
        title="ROC curve",
        axes=("false positive rate", "true positive rate"),
        values=("fpr", "tpr"),
        chance=lambda label, top: [(0, 0), (top, top)],
        number=lambda arm, label: arm.by_label[label].auroc.value,
    )


def draw_precision_recalls(result: Comparison) -> Panels | None:
    """Return the precision-recall curves of all arms, a panel a label, None if there is none."""

    def chance(label: str, top: float) -> Points:
        told = result.main_arm.by_label[label]
        share = told.positives / max(1, told.positives + told.negatives)
        return [(0, share), (top, share)]

    return _draw_curves(
        result,
        name="precision-recall",
        title="Precision-recall curve",
        axes=("recall", "precision"),
        values=("recall", "precision"),
        chance=chance,
        number=lambda arm, label: arm.by_label[label].ap.value,
    )


def _draw_curves(
    result: Comparison,
    *,
    name: str,
    title: str,
    axes: tuple[str, str],
    values: tuple[str, str],
    chance: Callable[[str, float], Points],
    number: Callable[[ArmResult, str], float | None],
) -> Panels | None:
    """Return panels of one kind of curve: its `values` are fields of `Curves`, across and up."""
    across, up = values

    def points(arm: ArmResult, label: str) -> Points:
        curve = arm.curves.get(label)
        return list(zip(getattr(curve, across), getattr(curve, up), strict=True)) if curve else []

    def band(arm: ArmResult, label: str) -> tuple[Sequence[float], ...]:
        curve = arm.curves.get(label)
        low = getattr(curve, f"{up}_low", ())
        return (getattr(curve, across), low, getattr(curve, f"{up}_high")) if low else ()

    plan = PanelPlan(name, title, *axes, points, chance, number, band)
    return draw_panels(result, plan)


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
        values = [plan.number(arm, label) for arm in result.arms]
        numbers = tuple(map(fixed, values)) if any(v is not None for v in values) else ()
        pairs = zip(result.arms, map(fixed, values), strict=True)
        told = ", ".join(f"{arm.title} {text}" for arm, text in pairs)
        content, name = _content(result, plan, label), f"fig-{plan.name}-{number}"
        drawing = draw_panel(content, name, f"{plan.title} of {label}: {told}.")
        panels.append(Panel(label, numbers, drawing))
    return Panels(tuple(panels), partial(_draw_sheet, result, plan, labels))


def _content(result: Comparison, plan: PanelPlan, label: str) -> PanelContent:
    """Return what the panel of one label shows."""
    lines = [_line(result, plan, arm, style, label) for arm, style in styled_arms(result)]
    top = _top([x for line in lines for x, _ in line.points]) if plan.is_binned else 1.0
    across, up = plan.axes(label) if plan.axes else (Axis.halves(top), Axis.halves(top))
    chance = tuple(plan.chance(label, top))
    return PanelContent(across, up, chance, tuple(lines), plan.has_zero_line)


def _line(result: Comparison, plan: PanelPlan, arm: ArmResult, style: Style, label: str) -> Line:
    """Return an arm's curve; intervals and range are of the main one, for those of all hide it."""
    points, is_main = tuple(plan.points(arm, label)), arm is result.main_arm
    has_bars = plan.is_binned and is_main and points
    return Line(
        style,
        points,
        has_markers=plan.is_binned,
        bars=tuple((b.predicted, *b.ci) for b in _bins(arm, label)) if has_bars else (),
        band=plan.band(arm, label) if plan.band and is_main else (),
    )


def _fill(axes: Axes, content: PanelContent) -> None:
    """Draw a panel of the sheet."""
    if content.has_zero_line:
        axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.plot(*zip(*content.chance, strict=True), **_CHANCE)
    for line in content.lines:
        colour, marker = line.style.colour, line.style.marker if line.has_markers else ""
        if line.bars:
            axes.vlines(*zip(*line.bars, strict=True), color=colour, linewidth=0.8, alpha=0.45)
        if line.band:
            across, low, high = line.band
            axes.fill_between(across, low, high, color=colour, alpha=0.14, linewidth=0)
        if line.points:
            how = line.style.line(linewidth=LINE_WIDTH, markersize=MARKER_SIZE, marker=marker)
            axes.plot(*zip(*line.points, strict=True), **how)
    x, y = content.across, content.up
    axes.set_xlim(x.low, x.high)
    axes.set_ylim(y.low, y.high)
    axes.set_xticks(x.ticks, x.texts)
    axes.set_yticks(y.ticks, y.texts)
    axes.tick_params(labelsize=8, length=2, pad=2, colors=MUTED, labelcolor=INK)
    axes.grid(color=GRID)


@styled
def _draw_sheet(result: Comparison, plan: PanelPlan, labels: Sequence[str]) -> Picture:
    """Return all panels as one figure with the arms' legend."""
    columns = min(_SHEET_COLUMNS, len(labels))
    down = math.ceil(len(labels) / columns)
    margins = dict(_SHEET_MARGINS_IN)
    width = max(_NARROWEST_SHEET_IN, PANEL_IN * columns + margins["left"] + margins["right"])
    handles = line_handles(result)
    beside = min(len(handles), legend_columns(handles, width))
    margins["top"] += 0.2 * math.ceil(len(handles) / beside)
    height = (PANEL_IN + 0.1) * down + margins["bottom"] + margins["top"]
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
        _fill(axes, _content(result, plan, label))
        axes.set_title(shorten(label, 26), pad=4)
    for axes in grid[len(labels) :]:
        axes.remove()
    figure.legend(handles=handles, loc="upper center", ncols=beside, handlelength=3.2)
    figure.supxlabel(plan.across, fontsize=8.5, y=0.06 / height)
    figure.supylabel(plan.up, fontsize=8.5, x=0.06 / width)
    return picture(figure, plan.name, f"{plan.title}s of {len(labels)} labels.")


def _bins(arm: ArmResult, label: str) -> tuple[Bin, ...]:
    found = arm.calibration.by_label.get(label)
    return found.bins if found else ()


def _top(values: Sequence[float]) -> float:
    """Return where axes may end that hold all values.

    >>> _top([0.03, 0.12]), _top([])
    (0.2, 0.05)
    """
    return next((top for top in _TOPS if top >= max(values, default=0.0)), 1.0)
