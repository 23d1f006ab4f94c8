"""A figure inside the page, and as SVG, PDF and PNG files for a paper.

The page's SVG takes its colours from the page and has no text style of its own; the file's must do
without a page, on white.
"""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from matplotlib.figure import Figure

from fedcxr.atomic import write_bytes_atomically, write_text_atomically
from fedcxr.report.figures_svg import VARIABLES, Drawing, draw, lacking_glyphs, styled

_DPI = 300
_NO_METADATA = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Producer": None}}
"""Nothing that says when: the same figure gives the same bytes."""
_COLOURS = {variable: colour for colour, variable in VARIABLES.items()} | {
    "var(--paper)": "#ffffff"
}
_TAG = re.compile(r"<[^<>]+>")
_VARIABLE = re.compile(r"var\(--[a-z]+\)")
_VIEW_BOX = re.compile(r'viewBox="\S+ \S+ (\S+) (\S+)"')
_NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
_PAPER_AND_STYLE = (
    '<style type="text/css">*{stroke-linejoin: round; stroke-linecap: butt}</style>\n'
    '<rect width="100%" height="100%" fill="#ffffff"/>'
)


@dataclass(frozen=True, slots=True)
class Picture:
    """One figure."""

    name: str
    """The stem of its files."""
    drawing: Drawing
    figure: Figure


Pictures: TypeAlias = "Sequence[Picture | Callable[[], Picture]]"
"""Figures that become files; one that the page does not show is drawn when it is written."""


def picture(figure: Figure, name: str, description: str) -> Picture:
    """Return the figure as the page has it; to be called from a `styled` function.

    The same figure gives the same bytes with the same version of matplotlib.

    Args:
        figure: from `new_axes`, or any other.
        name: unique among the figures; the ids in the page start with `fig-` and it.
        description: what a reader who cannot see it should know.
    """
    return Picture(name, draw(figure, f"fig-{name}", description), figure)


@styled
def write_pictures(pictures: Pictures, folder: Path) -> list[Path]:
    """Write each picture as `<name>.svg`, `.pdf` and `.png`, of 300 dpi; return the paths.

    Raises:
        OSError: the folder cannot be written.
    """
    paths = []
    for one in pictures:
        each = one() if callable(one) else one
        write_text_atomically(folder / f"{each.name}.svg", file_svg(each.drawing))
        for kind in _NO_METADATA:
            write_bytes_atomically(folder / f"{each.name}.{kind}", _saved(each.figure, kind))
        paths += [folder / f"{each.name}.{kind}" for kind in ("svg", *_NO_METADATA)]
    return paths


def file_svg(drawing: Drawing) -> str:
    """Return a page's drawing as a file that stands alone, its colours fixed, on white."""
    text = _TAG.sub(_with_fixed_colours, str(drawing.svg))
    box = _VIEW_BOX.search(text)
    size = f'width="{box[1]}pt" height="{box[2]}pt"' if box else ""
    text = text.replace("<svg ", f"<svg {_NAMESPACES} {size} ", 1)
    head, rest = text.split(">", 1)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{head}>\n{_PAPER_AND_STYLE}{rest}\n'


def _saved(figure: Figure, kind: str) -> bytes:
    figure.set_layout_engine("none")  # it is laid out: a second time would only cost time
    buffer = io.BytesIO()
    with lacking_glyphs():
        metadata = _NO_METADATA[kind]
        figure.savefig(buffer, format=kind, dpi=_DPI, facecolor="white", metadata=metadata)
    return buffer.getvalue()


def _with_fixed_colours(tag: re.Match[str]) -> str:
    return _VARIABLE.sub(lambda variable: _COLOURS[variable[0]], tag[0])
