"""A small panel of curves as SVG for the page, written down directly: a page has dozens of them.

Matplotlib takes 25 ms for each, this a fraction of one. The same content is drawn by matplotlib
where a figure becomes a file (`figures_panels`).
"""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from markupsafe import Markup
from matplotlib.markers import MarkerStyle
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Affine2D

from fedcxr.report.arm_style import Style
from fedcxr.report.figures_svg import Drawing

Point = tuple[float, float]

PANEL_IN = 1.8
"""Width and height."""
LINE_WIDTH, MARKER_SIZE = 1.5, 2.6
"""Points, as all sizes here."""

_SIZE = 72 * PANEL_IN
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.17 * _SIZE, 0.96 * _SIZE, 0.04 * _SIZE, 0.85 * _SIZE
_TICK, _PAD, _FONT = 2.0, 2.0, 8.0
_CURVE = {1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}
"""What SVG calls matplotlib's kinds of segments."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Where an axis begins and ends, and its ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]
    texts: tuple[str, ...]

    @classmethod
    def of(cls, low: float, high: float) -> "Axis":
        """Return an axis with a few ticks at round numbers.

        >>> Axis.of(-0.01, 0.05).texts
        ('0', '0.02', '0.04')
        """
        found = MaxNLocator(nbins=3, steps=(1, 2, 2.5, 5, 10)).tick_values(low, high)
        ticks = tuple(round(float(tick), 10) for tick in found if low <= tick <= high)
        return cls(low, high, ticks, tuple(f"{tick:g}".replace("-", "−") for tick in ticks))

    @classmethod
    def halves(cls, top: float) -> "Axis":
        """Return an axis from 0 to `top` with a tick in the middle."""
        texts = ("0", "½", "1") if top == 1 else tuple(f"{x:g}" for x in (0, top / 2, top))
        return cls(0, top, (0, top / 2, top), texts)


@dataclass(frozen=True, slots=True)
class Line:
    """One arm's curve."""

    style: Style
    points: tuple[Point, ...]
    has_markers: bool
    bars: tuple[tuple[float, float, float], ...] = ()
    """Intervals: across, low, high."""
    band: tuple[Sequence[float], ...] = ()
    """Where its lowest and highest model run: across, low, high."""


@dataclass(frozen=True, slots=True)
class PanelContent:
    """What a panel shows."""

    across: Axis
    up: Axis
    chance: tuple[Point, ...]
    """The dotted line."""
    lines: tuple[Line, ...]
    has_zero_line: bool = False


def draw_panel(content: PanelContent, name: str, description: str) -> Drawing:
    """Return a panel as inline SVG.

    Args:
        content: what it shows.
        name: unique in the page; every id inside the SVG starts with it.
        description: what a reader who cannot see it should know.
    """
    across, up = content.across, content.up
    xs, ys = [_x(across, tick) for tick in across.ticks], [_y(up, y) for y in up.ticks]
    grid = [f"M{x} {_TOP:g}V{_BOTTOM:g}" for x in xs] + [f"M{_LEFT:g} {y}H{_RIGHT:g}" for y in ys]
    ticks = [f"M{x} {_BOTTOM:g}v{_TICK:g}" for x in xs] + [f"M{_LEFT:g} {y}h{-_TICK:g}" for y in ys]
    frame = f"M{_LEFT:g} {_TOP:g}V{_BOTTOM:g}H{_RIGHT:g}"
    parts = [
        _path(grid, "var(--grid)", 0.7),
        f'<clipPath id="{name}-clip"><rect x="{_LEFT:g}" y="{_TOP:g}" '
        f'width="{_RIGHT - _LEFT:g}" height="{_BOTTOM - _TOP:g}"/></clipPath>',
        f'<g clip-path="url(#{name}-clip)">',
        *_data(content),
        "</g>",
        _path([frame, *ticks], "var(--muted)", 0.7),
    ]
    below, beside = _BOTTOM + _TICK + _PAD + 0.76 * _FONT, _LEFT - _TICK - _PAD
    for x, text in zip(xs, across.texts, strict=True):
        parts.append(_text(text, x, f"{below:g}", "middle"))
    for y, text in zip(ys, up.texts, strict=True):
        parts.append(_text(text, f"{beside:g}", f"{float(y) + 0.36 * _FONT:g}", "end"))
    inside = "\n".join(parts)
    # Markup: the texts are numbers of our own; the description is escaped.
    svg = Markup(
        f'<svg id="{name}" role="img" aria-label="{html.escape(description)}" '
        f'viewBox="0 0 {_SIZE:g} {_SIZE:g}">\n{inside}\n</svg>'
    )
    return Drawing(svg, round(96 * PANEL_IN))


def _data(content: PanelContent) -> Iterable[str]:
    """Yield what lies inside the axes, from back to front."""
    across, up = content.across, content.up

    def track(points: Iterable[Point]) -> str:
        return "M" + "L".join(f"{_x(across, x)} {_y(up, y)}" for x, y in points)

    if content.has_zero_line:
        yield _path([track([(across.low, 0), (across.high, 0)])], "var(--muted)", 0.8)
    yield _path([track(content.chance)], "var(--muted)", 0.8, 'stroke-dasharray="1.6 1.6"')
    for line in content.lines:
        colour = line.style.page_colour
        if line.bars:
            bars = [track([(x, low), (x, high)]) for x, low, high in line.bars]
            yield _path(bars, colour, 0.8, 'opacity=".45"')
        if line.band:
            x, low, high = line.band
            there, back = zip(x, high, strict=True), zip(x[::-1], low[::-1], strict=True)
            yield f'<path d="{track([*there, *back])}Z" fill="{colour}" opacity=".14"/>'
        if not line.points:
            continue
        dash = " ".join(f"{LINE_WIDTH * part:g}" for part in line.style.dash)
        more = f'stroke-dasharray="{dash}"' if dash else ""
        yield _path([track(line.points)], colour, LINE_WIDTH, more)
        if line.has_markers:
            places = [(_x(across, x), _y(up, y)) for x, y in line.points]
            marks = "".join(_mark(line.style.marker, x, y) for x, y in places)
            yield f'<path d="{marks}" fill="{colour}"/>'


def _x(axis: Axis, value: float) -> str:
    share = (value - axis.low) / (axis.high - axis.low)
    return f"{_LEFT + share * (_RIGHT - _LEFT):.2f}"


def _y(axis: Axis, value: float) -> str:
    share = (value - axis.low) / (axis.high - axis.low)
    return f"{_BOTTOM - share * (_BOTTOM - _TOP):.2f}"


def _mark(marker: str, x: str, y: str) -> str:
    """Return a marker around a place, as part of a path."""
    return "".join(
        kind + " ".join(f"{float(x) + right:.2f} {float(y) - up:.2f}" for right, up in corners)
        for kind, corners in _outline(marker)
    )


@cache
def _outline(marker: str) -> list[tuple[str, list[Point]]]:
    """Return matplotlib's marker around (0, 0): each segment's kind and its points."""
    style = MarkerStyle(marker)
    path, size = style.get_path(), style.get_transform() + Affine2D().scale(MARKER_SIZE)
    return [
        (_CURVE[int(kind)], [] if kind == path.CLOSEPOLY else list(corners.reshape(-1, 2)))
        for corners, kind in path.iter_segments(size)
    ]


def _path(tracks: Sequence[str], colour: str, width: float, more: str = "") -> str:
    d = "".join(tracks)
    return f'<path d="{d}" fill="none" stroke="{colour}" stroke-width="{width:g}" {more}/>'


def _text(text: str, x: str, y: str, anchor: str) -> str:
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{_FONT:g}" '
        f'fill="var(--ink)">{text}</text>'
    )
