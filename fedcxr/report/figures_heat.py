"""Heat maps with their numbers: every model at every site, and the confusion matrices."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from fedcxr.report.figures_svg import BLUE, GRID, VERMILION, new_axes, styled
from fedcxr.report.pictures import Picture, picture
from fedcxr.report.wording import count, shorten
from fedcxr.results.arms import ArmResult
from fedcxr.results.comparison import Comparison
from fedcxr.results.tables.score_tables import file_stem
from fedcxr.results.task_scores import TaskArm

_TINTS = LinearSegmentedColormap.from_list("tints", ["#f4f8fb", "#9cc8e3", BLUE, "#06324d"])
_DARK = 0.55  # of the scale; beyond, ink cannot be read
_MOST_NUMBERED = 24  # columns or rows whose numbers still can be read
_CONFUSION_COLUMNS = 4


@dataclass(frozen=True, slots=True)
class _Cells:
    """A confusion matrix."""

    title: str
    tp: float
    fn: float
    fp: float
    tn: float


@styled
def draw_site_matrix(result: Comparison) -> Picture:
    """Return each model's macro AUROC on each site's patients, the worst framed."""
    matrix = result.site_matrix
    models, sites = matrix.models, [site.title for site in matrix.sites]
    values = np.array(matrix.macro_auroc, dtype=float).reshape(len(sites), len(models))
    names = [shorten(model, 16) for model in models]
    turned = max(map(len, names)) > 7
    width = 1.9 + max(3.0, 0.5 * len(models))
    figure, axes = new_axes(width, 0.27 * len(sites) + (1.7 if turned else 1.0))
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    scale = Normalize(low, high if high > low else low + 0.01)
    numbered = max(values.shape) <= _MOST_NUMBERED
    _draw_cells(axes, values, scale, [[f"{v:.2f}" for v in row] for row in values] * numbered)
    for column in range(len(models)):
        if np.isfinite(values[:, column]).any():
            _frame(axes, int(np.nanargmin(values[:, column])), column)
    slant: dict[str, Any] = (
        {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if turned else {}
    )
    axes.set_xticks(range(len(models)), names, **slant)
    axes.set_yticks(range(len(sites)), [shorten(site, 18) for site in sites])
    axes.set_ylabel("held-out patients of")
    axes.set_xlabel("model")
    told = f"Macro AUROC from {low:.3f} to {high:.3f}; framed: the worst site of each model."
    return picture(figure, "site-matrix", told)


@styled
def draw_confusions(arm: ArmResult, point: str, title: str) -> Picture:
    """Return an arm's confusion matrices at one operating point.

    Args:
        arm: whose they are; it has at least one.
        point: its name.
        title: what the point is called.
    """
    found = [
        _Cells(row.label, row.tp, row.fn or 0, row.fp or 0, row.tn or 0)
        for row in arm.operating_points
        if row.point == point and row.tp is not None
    ]
    heading = f"{shorten(arm.title, 30)}: {title}"
    name = f"confusion-{file_stem(arm.name)}-{file_stem(point)}"
    return _matrices(found, heading, name, f"Confusion matrices of {len(found)} labels, {heading}.")


@styled
def draw_task_confusions(label: str, arms: Sequence[tuple[str, TaskArm]]) -> Picture:
    """Return the confusion matrices of a binary task at a probability of a half.

    Args:
        label: of the task.
        arms: each with its title.
    """
    found = [_Cells(title, arm.tp, arm.fn, arm.fp, arm.tn) for title, arm in arms]
    heading = f"{label}: probability of a half"
    told = f"Confusion matrices of {len(found)} arms, {heading}."
    return _matrices(found, heading, "confusion-task", told)


def _matrices(found: Sequence[_Cells], heading: str, name: str, told: str) -> Picture:
    columns = min(_CONFUSION_COLUMNS, len(found))
    down = math.ceil(len(found) / columns)
    width, height = max(4.6, 1.75 * columns + 0.75), 1.5 * down + 0.95
    figure = Figure((width, height))
    figure.subplots_adjust(
        left=0.78 / width,
        right=1 - 0.1 / width,
        bottom=0.62 / height,
        top=1 - 0.62 / height,
        wspace=0.18,
        hspace=0.38,
    )
    grid = figure.subplots(down, columns, squeeze=False)
    for place, axes in enumerate(grid.ravel()):
        if place < len(found):
            _draw_confusion(axes, found[place], last=place >= len(found) - columns)
            axes.set_yticks((0, 1), ("present", "absent") if place % columns == 0 else ("", ""))
        else:
            axes.remove()
    figure.text(0.5, 1 - 0.12 / height, heading, ha="center", va="top", fontsize=9.5)
    figure.supxlabel("said to be", fontsize=8.5, y=0.1 / height)
    figure.supylabel("is", fontsize=8.5, x=0.1 / width)
    return picture(figure, name, told)


def _draw_confusion(axes: Axes, row: _Cells, *, last: bool) -> None:
    counts = np.array([row.tp, row.fn, row.fp, row.tn], dtype=float).reshape(2, 2)
    texts = [[count(value) for value in line] for line in counts.tolist()]
    sums = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, sums, out=np.zeros_like(counts), where=sums > 0)
    _draw_cells(axes, shares, Normalize(0, 1), texts)
    axes.set_title(shorten(row.title, 26), pad=4)
    axes.set_xticks((0, 1), ("present", "absent") if last else ("", ""))


def _draw_cells(
    axes: Axes, values: NDArray[np.float64], scale: Normalize, texts: Sequence[Sequence[str]]
) -> None:
    """Draw a heat map; `texts` has one for each cell, or is empty."""
    down, across = values.shape
    axes.pcolormesh(
        np.arange(across + 1) - 0.5,
        np.arange(down + 1) - 0.5,
        np.ma.masked_invalid(values),
        cmap=_TINTS.with_extremes(bad=GRID),
        norm=scale,
        edgecolor="white",
        linewidth=0.8,
    )
    axes.invert_yaxis()
    axes.tick_params(length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    for row, column in np.ndindex(values.shape) if texts else ():
        value = float(values[row, column])
        dark = not math.isnan(value) and scale(value) > _DARK
        axes.text(
            column,
            row,
            "–" if math.isnan(value) else texts[row][column],
            ha="center",
            va="center_baseline",
            fontsize=8,
            color="white" if dark else "black",
        )


def _frame(axes: Axes, row: int, column: int) -> None:
    corner = (column - 0.46, row - 0.46)
    axes.add_patch(Rectangle(corner, 0.92, 0.92, fill=False, edgecolor=VERMILION, linewidth=1.6))
