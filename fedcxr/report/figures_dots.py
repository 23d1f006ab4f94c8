"""Numbers with intervals as dots on lines, one row a label: differences, scores, gaps, shares."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from fedcxr.report.arm_style import Style, style_of, styled_arms
from fedcxr.report.figures_svg import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    PAPER,
    VERMILION,
    new_axes,
    note_above,
    styled,
)
from fedcxr.report.pictures import Picture, picture
from fedcxr.report.wording import fixed, level_words, percent, shorten, signed
from fedcxr.results.arms import ArmResult
from fedcxr.results.comparison import Comparison
from fedcxr.results.differences import Difference
from fedcxr.results.score import UNDEFINED, Score
from fedcxr.results.tables.score_tables import file_stem

MACRO = "Macro mean"

FEW_POSITIVES = 10
"""Fewer positives than this, and a label's dot is hollow."""

_WIDTH_IN = 4.7
_LABEL_CHARS = 26


@dataclass(frozen=True, slots=True)
class Series:
    """One dot a row."""

    title: str
    style: Style
    by_row: Mapping[str, Score]


@styled
def draw_forest(result: Comparison, difference: Difference) -> Picture | None:
    """Return the differences in AUROC with the margin drawn, None if none is defined."""
    found: dict[str, Score] = {MACRO: difference.macro_auroc, **difference.by_label}
    shown = {row: each for row, each in found.items() if each.value is not None}
    if not shown:
        return None
    figure, axes = new_axes(_WIDTH_IN, 0.26 * len(shown) + 1.35)
    few = few_positives(result)
    for place, (row, each) in enumerate(shown.items()):
        mark = {"marker": "D", "color": INK} if row == MACRO else {"marker": "o", "color": BLUE}
        _dot(axes, place, each, hollow=row in few, **mark)
    _rows(axes, list(shown))
    is_gain = result.statistics.question == "superiority"
    _reference_lines(axes, result.statistics.margin, list(shown.values()), is_gain=is_gain)
    names = [shorten(result.arm(name).title, 24) for name in (difference.arm, difference.against)]
    pair = " minus ".join(names)
    axes.set_xlabel(f"{pair}\ndifference in AUROC, {_with_interval(result)}")
    told = ", ".join(f"{row} {signed(each.value)}" for row, each in shown.items())
    name = f"forest-{file_stem(difference.arm)}-{file_stem(difference.against)}"
    return picture(figure, name, f"Difference in AUROC, {pair}: {told}.")


@styled
def draw_scores(result: Comparison) -> Picture | None:
    """Return every arm's AUROC by label, None if none is defined."""
    series = [
        Series(
            arm.title,
            style,
            {MACRO: arm.macro_auroc} | {k: each.auroc for k, each in arm.by_label.items()},
        )
        for arm, style in styled_arms(result)
    ]
    told = ", ".join(f"{arm.title} {fixed(arm.macro_auroc.value)}" for arm in result.arms)
    return _draw_series(
        "auroc-by-label",
        series,
        across=f"AUROC, {_with_interval(result)}",
        description=f"AUROC by label and arm; macro mean: {told}.",
        chance=0.5,
        hollow=few_positives(result),
    )


@styled
def draw_gaps(result: Comparison, attribute: str, group: str) -> Picture | None:
    """Return every arm's gap in true positive rate of one group by label, None without any."""
    series = [
        Series(arm.title, style, _gaps(arm, attribute, group)) for arm, style in styled_arms(result)
    ]
    return _draw_series(
        f"tpr-gap-{file_stem(attribute)}-{file_stem(group)}",
        series,
        across=f"true positive rate of {attribute} {group}, minus all others",
        description=f"True positive rate of {attribute} {group} minus that of all others.",
        chance=0.0,
    )


@styled
def draw_all_gaps(arm: ArmResult, attribute: str, groups: Sequence[str]) -> Picture | None:
    """Return the gaps in true positive rate of an only arm's groups by label, None without any."""
    series = [
        Series(group, style_of(place), _gaps(arm, attribute, group))
        for place, group in enumerate(groups)
    ]
    return _draw_series(
        f"tpr-gap-{file_stem(attribute)}",
        series,
        across=f"true positive rate by {attribute}, each minus all others",
        description=f"True positive rate of each {attribute} minus that of all others.",
        chance=0.0,
    )


def _gaps(arm: ArmResult, attribute: str, group: str) -> dict[str, Score]:
    return {
        row.label: row.tpr_gap
        for row in arm.subgroups.rows
        if (row.attribute, row.group) == (attribute, group) and row.tpr_gap is not None
    }


@styled
def draw_frequencies(result: Comparison) -> Picture | None:
    """Return the share of positives by label and split, None if not told."""
    series = []
    for place, split in enumerate(("train", "val", "test")):
        counts = {k: getattr(each, split) for k, each in result.label_frequencies.items()}
        shares = {k: Score(value=part / of) for k, (part, of) in counts.items() if of}
        series.append(Series(split, style_of(place), shares))
    told = ", ".join(f"{row} {percent(each.value)}" for row, each in series[-1].by_row.items())
    return _draw_series(
        "label-frequencies",
        series,
        across="positive, of those that are known",
        description=f"Share of positives by label and split; on the test set: {told}.",
        percents=True,
    )


def few_positives(result: Comparison) -> set[str]:
    """Return the labels with too few positives to lean on."""
    scores = result.main_arm.by_label
    return {label for label, each in scores.items() if each.positives < FEW_POSITIVES}


def _draw_series(
    name: str,
    series: Sequence[Series],
    *,
    across: str,
    description: str,
    chance: float | None = None,
    percents: bool = False,
    hollow: Set[str] = frozenset(),
) -> Picture | None:
    """Return dots side by side in each row, None if there is no number at all."""
    series = [one for one in series if any(e.value is not None for e in one.by_row.values())]
    named = dict.fromkeys(row for one in series for row in one.by_row)
    shown = [row for row in named if any(_value(one, row) is not None for one in series)]
    if not shown:
        return None
    room = 0.14 + 0.065 * len(series)
    legend_rows = _legend_rows(series)
    figure, axes = new_axes(_WIDTH_IN, room * len(shown) + 0.9 + 0.2 * legend_rows)
    if chance is not None:
        axes.axvline(chance, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
    step = min(0.24, 0.72 / len(series))
    for number, one in enumerate(series):
        shift = (number - (len(series) - 1) / 2) * step
        for place, row in enumerate(shown):
            each = one.by_row.get(row, UNDEFINED)
            _dot(
                axes,
                place + shift,
                each,
                color=one.style.colour,
                marker=one.style.marker,
                hollow=row in hollow,
            )
        axes.plot([], [], one.style.marker, color=one.style.colour, markersize=4, label=one.title)
    _rows(axes, shown)
    axes.set_xlabel(across)
    if percents:
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(PercentFormatter(1, 0))
    if len(series) > 1:
        figure.legend(loc="outside upper center", ncols=-(-len(series) // legend_rows))
    return picture(figure, name, description)


def _dot(
    axes: Axes, place: float, each: Score, *, color: str, marker: str, hollow: bool = False
) -> None:
    if each.value is None:
        return
    if each.ci is not None:
        axes.plot(each.ci, (place, place), color=color, linewidth=1.5, solid_capstyle="butt")
    face = PAPER if hollow else color
    # whole, even where it stands on the edge of the axes
    axes.plot(
        each.value, place, marker, color=color, markerfacecolor=face, markersize=4.4, clip_on=False
    )


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [shorten(name, _LABEL_CHARS) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=(1, 2, 5, 10)))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")


def _reference_lines(
    axes: Axes, margin: float | None, shown: Sequence[Score], *, is_gain: bool
) -> None:
    """Draw no difference, and the margin, of a gain or a loss, with the side beyond it."""
    at, colour = (0.0 if margin is None else margin), GREEN
    if not is_gain:
        at, colour = -at, VERMILION
    bounds = [bound for each in shown for bound in each.ci or (each.value or 0.0,)]
    bounds += [0.0, at]
    pad = 0.05 * (max(bounds) - min(bounds)) or 0.01
    axes.set_xlim(min(bounds) - pad, max(bounds) + pad)
    axes.axvline(0, color=MUTED, linewidth=0.9, zorder=1)
    if margin is None:
        return
    axes.axvline(at, color=colour, linewidth=1.1, linestyle=(0, (4, 2)), zorder=1)
    axes.axvspan(axes.get_xlim()[is_gain], at, color=colour, alpha=0.06, linewidth=0)
    note_above(axes, at, f"margin {signed(at)}", colour)


def _legend_rows(series: Sequence[Series]) -> int:
    """Return how many rows a legend needs to fit the width."""
    widest = 0.4 + 0.062 * max(len(one.title) for one in series)
    across = max(1, int(_WIDTH_IN / widest))
    return -(-len(series) // across)


def _value(one: Series, row: str) -> float | None:
    return one.by_row.get(row, UNDEFINED).value


def _with_interval(result: Comparison) -> str:
    return f"{level_words(result.statistics.level)} interval"
