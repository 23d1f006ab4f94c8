"""A radiograph beside itself with its heat map, as a PNG."""

from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from fedcxr.atomic import write_bytes_atomically
from fedcxr.data.records import Box

_PANEL_PX = 320
_TITLE_PX = 44
_GAP_PX = 8
_DPI = 100
_STRONGEST = 0.65
"""Opacity of the heat at its peak: the film must stay readable under it."""
_BOX_COLOUR = "#56b4e9"  # sky blue of the Okabe-Ito set, far from every colour of inferno


def write_overlay(
    path: Path,
    image_u8: NDArray[np.uint8],
    heat: NDArray[np.float32],
    *,
    title: str,
    box: Box | None = None,
) -> None:
    """Write the image and the image under its heat map, side by side, atomically.

    Args:
        path: the PNG.
        image_u8: (H, W).
        heat: (H, W) in [0, 1]; the map is `inferno`, which colour-blind readers can follow.
        title: label, probability and truth; may have two lines.
        box: where the finding is known to be, drawn on both panels.
    """
    width, height = 2 * _PANEL_PX + _GAP_PX, _PANEL_PX + _TITLE_PX
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    title = title.replace("$", r"\$")  # a label with two of them is a name, not a formula
    figure.text(
        0.5, 1 - _TITLE_PX / 2 / height, title, ha="center", va="center", fontsize=10, wrap=True
    )
    for panel in range(2):
        left = panel * (_PANEL_PX + _GAP_PX) / width
        axes = figure.add_axes((left, 0.0, _PANEL_PX / width, _PANEL_PX / height))
        _draw_film(axes, image_u8, box)
        if panel == 1:
            axes.imshow(_colour(heat), interpolation="bicubic", extent=(0, 1, 1, 0), aspect="auto")
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})  # same input, same bytes
    write_bytes_atomically(path, buffer.getvalue())


def _draw_film(axes: Axes, image_u8: NDArray[np.uint8], box: Box | None) -> None:
    """Draw the radiograph in coordinates of 0 to 1, its box over it."""
    axes.set_axis_off()
    axes.imshow(
        image_u8,
        cmap="gray",
        vmin=0,
        vmax=255,
        interpolation="bicubic",
        extent=(0, 1, 1, 0),
        aspect="auto",
    )
    if box is not None:
        corner = (box.x, box.y)
        axes.add_patch(
            Rectangle(corner, box.width, box.height, fill=False, edgecolor=_BOX_COLOUR, linewidth=2)
        )


def _colour(heat: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (H, W, 4) colours whose opacity follows the heat."""
    rgba: NDArray[np.float64] = colormaps["inferno"](np.clip(heat, 0.0, 1.0))
    rgba[..., 3] = _STRONGEST * np.clip(heat, 0.0, 1.0)
    return rgba
