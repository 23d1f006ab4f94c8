"""How well each label is told: AUROC with its interval, and the ROC curves behind it."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedcxr.metrics.auroc import FloatArray
from fedcxr.metrics.curves import roc_points
from fedcxr.report.figures_svg import (
    BLUE,
    GRID,
    INK,
    MUTED,
    PAPER,
    VERMILION,
    Drawing,
    draw,
    new_axes,
    styled,
)
from fedcxr.report.tables import LabelRow
from fedcxr.report.wording import fixed, shorten
from fedcxr.runs.predictions import Predictions

_ROC_POINTS = 120


@dataclass(frozen=True, slots=True)
class RocPanel:
    """The ROC curve of one label."""

    label: str
    auroc: str
    few: bool
    drawing: Drawing


@styled
def draw_forest(rows: Sequence[LabelRow], macro: float | None) -> Drawing | None:
    """Return the AUROCs as points with intervals, highest on top, None if none is defined."""
    shown = [(row, row.value) for row in rows if row.value is not None]
    if not shown:
        return None
    figure, axes = new_axes(4.5, 0.26 * len(shown) + 1.0)
    axes.axvline(0.5, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
    if macro is not None:
        axes.axvline(macro, color=VERMILION, linewidth=1.0)
    for place, (row, value) in enumerate(shown):
        if row.ci is not None:
            axes.plot(row.ci, (place, place), color=BLUE, linewidth=1.6, solid_capstyle="butt")
        face = PAPER if row.few else BLUE
        axes.plot(value, place, "o", color=BLUE, markerfacecolor=face, markersize=5)
    axes.set_yticks(range(len(shown)), [shorten(row.label, 26) for row, _ in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    bounds = [bound for row, value in shown for bound in row.ci or (value,)]
    axes.set_xlim(max(-0.02, min(0.45, *bounds) - 0.02), 1.02)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_xlabel("AUROC with 95 % interval")
    values = ", ".join(f"{row.label} {fixed(value, 2)}" for row, value in shown)
    return draw(figure, "fig-forest", f"AUROC by label: {values}.")


@styled
def draw_rocs(predictions: Predictions, rows: Sequence[LabelRow]) -> list[RocPanel]:
    """Return a small ROC curve for every label that has one, in the order of `rows`."""
    panels = []
    for row in rows:
        if row.value is None or row.label not in predictions.labels:
            continue
        column = predictions.labels.index(row.label)
        fpr, tpr = roc_points(
            predictions.target[:, column], predictions.probs[:, column], _ROC_POINTS
        )
        if len(fpr):
            drawing = _draw_roc(fpr, tpr, row, f"fig-roc-{column}")
            panels.append(RocPanel(row.label, fixed(row.value), row.few, drawing))
    return panels


def _draw_roc(fpr: FloatArray, tpr: FloatArray, row: LabelRow, name: str) -> Drawing:
    figure, axes = new_axes(1.8, 1.8, left=0.16, right=0.97, bottom=0.15, top=0.96)
    axes.fill_between(fpr, tpr, color=BLUE, alpha=0.10, linewidth=0)
    axes.plot((0, 1), (0, 1), color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
    axes.plot(fpr, tpr, color=BLUE, linewidth=1.6, clip_on=False)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xticks((0, 0.5, 1), ("0", "½", "1"))
    axes.set_yticks((0, 0.5, 1), ("0", "½", "1"))
    axes.tick_params(labelsize=9, length=2, pad=2, colors=MUTED, labelcolor=INK)
    axes.grid(color=GRID)
    return draw(figure, name, f"ROC curve of {row.label}, AUROC {fixed(row.value)}.")
