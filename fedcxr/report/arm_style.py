"""How an arm is drawn: the same colour, dash and marker in every figure of the page.

Lines differ by dash and points by marker as well as by colour, so that nothing rests on colour
alone. Colours: Okabe and Ito 2008, "Color Universal Design".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.lines import Line2D

from fedcxr.report.figures_svg import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VARIABLES,
    VERMILION,
)
from fedcxr.results.arms import ArmResult
from fedcxr.results.comparison import Comparison

# Okabe and Ito's yellow cannot be seen on white and is left out.
_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, INK)
_DASHES: tuple[tuple[float, ...], ...] = (
    (),
    (4.0, 1.4),
    (1.2, 1.2),
    (5.0, 1.3, 1.2, 1.3),
    (2.4, 1.0),
)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


@dataclass(frozen=True, slots=True)
class Style:
    """Colour, dash and marker."""

    colour: str
    dash: tuple[float, ...]
    """On and off in widths of the line; empty is solid."""
    marker: str

    def line(self, **more: float | str) -> dict[str, Any]:
        """Return the arguments of a matplotlib line."""
        dashes = (0, self.dash) if self.dash else "solid"
        return {"color": self.colour, "linestyle": dashes, **more}

    @property
    def page_colour(self) -> str:
        """The colour as the page's own CSS names it."""
        return VARIABLES[self.colour]

    @property
    def dasharray(self) -> str:
        """The dash as SVG writes it, for a line that is 2 px wide."""
        return " ".join(f"{2 * part:g}" for part in self.dash) or "none"


def style_of(place: int) -> Style:
    """Return the style of the arm with this number; 35 of them differ.

    >>> style_of(1).marker, style_of(8).colour == style_of(1).colour
    ('s', True)
    """
    return Style(
        _COLOURS[place % len(_COLOURS)],
        _DASHES[place % len(_DASHES)],
        _MARKERS[place % len(_MARKERS)],
    )


def styled_arms(result: Comparison) -> list[tuple[ArmResult, Style]]:
    """Return the arms, each with the style of its place."""
    return [(arm, style_of(place)) for place, arm in enumerate(result.arms)]


def legend_columns(handles: Sequence[Line2D], width_in: float) -> int:
    """Return how many of these lines fit beside one another in a legend."""
    longest = max(len(str(each.get_label())) for each in handles)
    return max(1, int(width_in / (0.65 + 0.062 * longest)))


def line_handles(result: Comparison) -> list[Line2D]:
    """Return what a legend shows of the arms' lines."""
    return [
        Line2D([], [], **style.line(linewidth=1.7), label=arm.title)
        for arm, style in styled_arms(result)
    ]
