"""Matplotlib figures as SVG that lives inside a page: no file header, no clashing ids, themed.

Colours are CSS variables in the page, so that a figure follows light, dark and print; matplotlib
knows only hexadecimal colours, so each variable has one that stands for it until the SVG is text.
Text stays text: it can be searched and read aloud. It is measured in DejaVu Sans, which is wider
than what browsers put in its place.
"""

import html
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#1b2027"
MUTED = "#5f6772"
GRID = "#dde1e6"
PAPER = "#fefefe"
# Okabe and Ito 2008, "Color Universal Design": told apart with any colour vision.
BLUE = "#0072b2"
VERMILION = "#d55e00"
GREEN = "#009e73"
PURPLE = "#cc79a7"
ORANGE = "#e69f00"
SKY = "#56b4e9"

VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    PAPER: "var(--paper)",
    BLUE: "var(--blue)",
    VERMILION: "var(--vermilion)",
    GREEN: "var(--green)",
    PURPLE: "var(--purple)",
    ORANGE: "var(--orange)",
    SKY: "var(--sky)",
}

# Any: matplotlib's stubs want every key of the dictionary as a literal type.
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.image_inline": True,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "text.color": INK,
    "text.parse_math": False,  # a label name with two dollar signs is a name, not a formula
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}

styled = mpl.rc_context(_STYLE)
"""Decorator of every function that draws: matplotlib reads its style as each part is made."""

_HEADER = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_OWN_STYLE = re.compile(r"\s*<style type=\"text/css\">.*?</style>", re.DOTALL)
_SVG_TAG = re.compile(r"<svg [^>]*?viewBox=\"([^\"]+)\"[^>]*>")
_TAG = re.compile(r"<[^<>]+>")  # matplotlib escapes these signs in text
_ID = re.compile(r"(\bid=\"|href=\"#|url\(#)")


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure ready for the page."""

    svg: Markup
    width_px: int  # natural width; the page lets it grow a little and shrink as it must


def new_axes(width_in: float, height_in: float, **layout: float) -> tuple[Figure, Axes]:
    """Return an empty figure with its only axes; to be called from a `styled` function.

    Args:
        width_in: width in inches; 1 inch is 96 CSS pixels.
        height_in: height in inches.
        layout: margins for `subplots_adjust`; without any the layout fits itself to its text.
    """
    figure = Figure((width_in, height_in), layout=None if layout else "constrained")
    axes = figure.subplots()
    if layout:
        figure.subplots_adjust(**layout)
    return figure, axes


def note_above(axes: Axes, x: float, text: str, colour: str = INK) -> None:
    """Write a note above the axes, over a line at `x`."""
    axes.annotate(
        text,
        (x, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=8,
        color=colour,
    )


@contextmanager
def lacking_glyphs() -> Iterator[None]:
    """Let the name of a label or site have letters that the font lacks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        yield


def draw(figure: Figure, name: str, description: str) -> Drawing:
    """Return the figure as inline SVG, byte for byte the same for the same figure and name.

    Args:
        figure: from `new_axes`.
        name: unique in the page; every id inside the SVG starts with it.
        description: what a reader who cannot see it should know.
    """
    buffer = io.StringIO()
    # The browser has glyphs that DejaVu lacks: a missing one only makes the measure coarse.
    with mpl.rc_context({"svg.hashsalt": name}), lacking_glyphs():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = _inline(buffer.getvalue(), name, description)
    # Markup: matplotlib has escaped every text that came from a file, `_inline` the description.
    return Drawing(Markup(svg), round(figure.get_figwidth() * 96))


def _inline(text: str, name: str, description: str) -> str:
    """Return the SVG as an element of a page."""
    for waste in (_HEADER, _METADATA, _OWN_STYLE):
        text = waste.sub("", text)
    text = _TAG.sub(lambda tag: _themed(_ID.sub(rf"\g<1>{name}-", tag[0])), text)
    attributes = f'id="{name}" role="img" aria-label="{html.escape(description)}"'
    text = _SVG_TAG.sub(lambda tag: f'<svg {attributes} viewBox="{tag[1]}">', text, count=1)
    return re.sub(r"\s*\n\s*", "\n", text).strip()


def _themed(tag: str) -> str:
    for colour, variable in VARIABLES.items():
        tag = tag.replace(colour, variable)
    return tag
