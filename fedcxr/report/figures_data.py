"""A data set in figures: how often each label is in each state, images a patient, ages."""

from collections.abc import Mapping, Sequence

from matplotlib.ticker import MaxNLocator, PercentFormatter

from fedcxr.report.figures_svg import (
    BLUE,
    GRID,
    INK,
    ORANGE,
    VERMILION,
    Drawing,
    draw,
    new_axes,
    styled,
)
from fedcxr.report.wording import counted, percent, shorten

_STATES = (
    ("positive", VERMILION),
    ("uncertain", ORANGE),  # light enough beside vermilion to be told apart in grey too
    ("negative", BLUE),
    ("blank", GRID),
)
_FEW = 8
"""Bars with a name each; of more, every second is named."""


@styled
def draw_label_states(counts: Mapping[str, Mapping[str, int]]) -> Drawing | None:
    """Return the share of images in each state, a bar a label, None if there are no images.

    Args:
        counts: by label, by state, how many images; masked ones are left out.
    """
    totals = {label: sum(n for _, n in _known(states)) for label, states in counts.items()}
    shown = [label for label, total in totals.items() if total]
    if not shown:
        return None
    figure, axes = new_axes(4.8, 0.26 * len(shown) + 1.1)
    left = [0.0] * len(shown)
    for state, colour in _STATES:
        share = [counts[label].get(state, 0) / totals[label] for label in shown]
        if not any(share):
            continue
        axes.barh(range(len(shown)), share, 0.74, left=left, color=colour, label=state)
        left = [start + length for start, length in zip(left, share, strict=True)]
    axes.set_yticks(range(len(shown)), [shorten(label, 26) for label in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1, 0))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("share of images")
    axes.figure.legend(loc="outside upper center", ncols=4, handlelength=1.0)
    told = ", ".join(
        f"{label} {percent(counts[label].get('positive', 0) / totals[label])}" for label in shown
    )
    return draw(figure, "fig-label-states", f"Share of positive images by label: {told}.")


@styled
def draw_bars(
    counts: Mapping[str, int], name: str, *, across: str, up: str, noun: Sequence[str]
) -> Drawing | None:
    """Return a bar for each count, in the order given, None if there are none.

    Args:
        counts: by what stands below the bar.
        name: of the figure, unique in the page.
        across: title of the axis of the bars.
        up: title of the axis of the counts.
        noun: what is counted, one and many, for those who hear the page.
    """
    if not any(counts.values()):
        return None
    figure, axes = new_axes(4.4, 2.5)
    axes.bar(range(len(counts)), list(counts.values()), 0.8, color=BLUE)
    every = 1 if len(counts) <= _FEW else 2
    places = range(0, len(counts), every)
    axes.set_xticks(places, [list(counts)[place] for place in places], color=INK)
    axes.tick_params(axis="x", length=0)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.grid(axis="y")
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    told = ", ".join(f"{key}: {counted(value, *noun)}" for key, value in counts.items())
    return draw(figure, name, f"{up} by {across}: {told}.")


def _known(states: Mapping[str, int]) -> list[tuple[str, int]]:
    return [(state, states.get(state, 0)) for state, _ in _STATES]
