"""The panels of a partition's picture: sizes, distances and the heat map of one plan.

What is drawn is decided here; where it stands, in `fedcxr/report/partition_figure.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray

from fedcxr.report.figures_svg import BLUE, GRID, MUTED, VERMILION

MOST_NUMBERED = 20
"""Sites whose numbers still can be read; more are drawn without."""

_MOST_VECTOR_SITES = 300  # beyond, a heat map of single cells is a file of many megabytes
_CMAP = "cividis"  # even in lightness, and alike to any colour vision (Nuñez et al. 2018)
_STEPS = (1, 2, 5, 10)


def draw_sizes(axes: Axes, sites: Sequence[Mapping[str, Any]]) -> None:
    """Draw images and patients of each site, two bars a site."""
    place = np.arange(len(sites))
    for offset, key, color in ((-0.2, "images", BLUE), (0.2, "patients", VERMILION)):
        axes.bar(place + offset, [site[key] for site in sites], 0.38, color=color, label=key)
    axes.set_ylabel("count")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=2, borderaxespad=0.0)
    _finish(axes, len(sites))


def draw_distances(axes: Axes, distances: Sequence[float]) -> None:
    """Draw the Jensen-Shannon distance of each site from all sites, a bar a site."""
    place = np.arange(len(distances))
    axes.bar(place, distances, 0.6, color=MUTED)
    top = max(0.05, *distances)
    digits = 2 if top >= 0.1 else 3
    if len(distances) <= MOST_NUMBERED:
        for at, distance in zip(place, distances, strict=True):
            axes.annotate(
                f"{distance:.{digits}f}",
                (at, distance),
                xytext=(0, 1.5),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=7.5,
            )
    axes.set_ylim(0, 1.22 * top)
    axes.set_ylabel("Jensen-Shannon\ndistance (0 to 1)")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=_STEPS))
    _finish(axes, len(distances))


def draw_cells(axes: Axes, share: NDArray[np.float64], scale: Normalize, *, numbered: bool) -> None:
    """Draw a heat map, labels by sites, with its numbers if `numbered`.

    Args:
        axes: empty.
        share: (L, S) in [0, 1], nan where the source does not have the label.
        scale: from share to colour.
        numbered: whether to write the shares into their cells, in percent.
    """
    colours = mpl.colormaps[_CMAP].with_extremes(bad=GRID)
    rows, columns = share.shape
    axes.pcolormesh(
        np.arange(columns + 1) - 0.5,
        np.arange(rows + 1) - 0.5,
        np.ma.masked_invalid(share),
        cmap=colours,
        norm=scale,
        edgecolor="white" if columns <= MOST_NUMBERED else "face",
        linewidth=0.6 if columns <= MOST_NUMBERED else 0.0,
        rasterized=columns > _MOST_VECTOR_SITES,
    )
    axes.invert_yaxis()
    axes.tick_params(length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    for row, column in np.ndindex(share.shape) if numbered else ():
        value = float(share[row, column])
        dark = not np.isnan(value) and scale(value) < 0.55
        axes.text(
            column,
            row,
            "–" if np.isnan(value) else _percent(value),
            ha="center",
            va="center_baseline",
            fontsize=7.5,
            color="white" if dark else "black",
        )


def draw_scale(figure: Figure, axes: Axes, scale: Normalize, num_labels: int) -> None:
    """Draw the bar of colours beside a heat map, in percent."""
    percent = FuncFormatter(lambda value, _: f"{100 * value:g}")
    colours = figure.colorbar(ScalarMappable(scale, _CMAP), cax=axes, format=percent)
    colours.outline.set_visible(False)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=max(2, min(6, num_labels // 2)), steps=_STEPS))


def _finish(axes: Axes, num_sites: int) -> None:
    axes.set_xlim(-0.5, num_sites - 0.5)
    axes.set_xticks([])
    axes.grid(axis="y")


def _percent(share: float) -> str:
    """Return a share in percent, with a decimal where it is small and not 0."""
    return f"{100 * share:.1f}" if 0 < share < 0.0995 else f"{100 * share:.0f}"
