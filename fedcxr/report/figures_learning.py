"""Learning curves of the arms: losses, AUROC and accuracy, round after round."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fedcxr.report.arm_style import Style, legend_columns, line_handles, styled_arms
from fedcxr.report.figures_svg import INK, MUTED, new_axes, note_above, styled
from fedcxr.report.pictures import Picture, picture
from fedcxr.report.wording import fixed
from fedcxr.results.arms import ArmResult
from fedcxr.results.comparison import Comparison

Curve = dict[int, float]
"""Value by round."""

_WIDTH_IN, _HEIGHT_IN = 4.6, 2.9
_MOST_THIN_LINES = 20  # more thin lines than this are a smear
_MOST_MARKERS = 25
_MEASURES = (
    ("train_loss", "training loss (nats)", "Training loss"),
    ("val_loss", "validation loss (nats)", "Validation loss"),
    ("val_macro_auroc", "validation macro AUROC", "Validation macro AUROC"),
    ("val_accuracy", "validation accuracy", "Validation accuracy"),
    ("test_loss", "test loss (nats)", "Test loss"),
    ("test_accuracy", "test accuracy", "Test accuracy"),
)


@dataclass(frozen=True, slots=True)
class Lines:
    """An arm's curves of one measure."""

    arm: ArmResult
    style: Style
    mean: Curve
    """Over its trainings."""
    thin: list[Curve]
    """Each training, where they are several, and what each site said of its own."""


@styled
def draw_learning(result: Comparison) -> list[Picture]:
    """Return a figure for each measure that any arm has."""
    drawn = (_draw_measure(result, *measure) for measure in _MEASURES)
    return [each for each in drawn if each is not None]


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """Return the mean over the curves, at the rounds that all of them have.

    >>> mean_curve([{0: 1.0, 1: 0.5}, {0: 3.0}])
    {0: 2.0}
    """
    shared = set(curves[0]).intersection(*curves[1:]) if curves else set()
    return {x: sum(curve[x] for curve in curves) / len(curves) for x in sorted(shared)}


def _draw_measure(result: Comparison, key: str, up: str, title: str) -> Picture | None:
    every = [_lines(arm, style, key) for arm, style in styled_arms(result)]
    drawn = [lines for lines in every if lines.mean or lines.thin]
    if not drawn:
        return None
    several = len(result.arms) > 1
    figure, axes = new_axes(_WIDTH_IN, _HEIGHT_IN + 0.18 * len(drawn) / 2 * several)
    if key == "val_macro_auroc":
        axes.axhline(0.5, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
    for lines in drawn:
        _draw_arm(axes, lines)
    if result.run is not None and result.run.best_round is not None:
        _mark_best(axes, result.run.best_round)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=(1, 2, 5, 10)))
    last = max(1, *(curve.round[-1] for arm in result.arms for curve in arm.learning))
    axes.set_xlim(-0.04 * last, 1.04 * last)
    axes.grid(axis="y")
    axes.set_xlabel("round (0 = before training)")
    axes.set_ylabel(up)
    if several:
        handles = line_handles(result)
        beside = legend_columns(handles, _WIDTH_IN)
        figure.legend(handles=handles, loc="outside upper center", ncols=beside, handlelength=3.2)
    told = ", ".join(f"{lines.arm.title} {_last(lines.mean)}" for lines in drawn)
    name = f"learning-{key.replace('_', '-')}"
    return picture(figure, name, f"{title} by round; in the last round: {told}.")


def _lines(arm: ArmResult, style: Style, key: str) -> Lines:
    """Return the curves of an arm: of each seed, and of sites.

    Where the arm is one model, sites have curves of their own beside its.
    """
    found: list[tuple[str | None, Curve]] = []
    for told in arm.learning:
        pairs = zip(told.round, getattr(told, key), strict=False)  # none on test, mostly
        curve = {x: y for x, y in pairs if y is not None}
        if curve:
            found.append((told.site, curve))
    every = [curve for _, curve in found]
    whole = [curve for site, curve in found if site is None] or every
    return Lines(arm, style, mean_curve(whole), every if len(every) > 1 else [])


def _draw_arm(axes: Axes, lines: Lines) -> None:
    """Draw each training thinly, where they are not too many, and their mean over them."""
    style, mean = lines.style, lines.mean
    for curve in lines.thin if len(lines.thin) <= _MOST_THIN_LINES else ():
        axes.plot(*zip(*curve.items(), strict=True), **style.line(linewidth=0.6, alpha=0.4))
    if mean:
        marker = style.marker if len(mean) <= _MOST_MARKERS else ""
        line = style.line(linewidth=1.8, marker=marker, markersize=3.4)
        axes.plot(*zip(*mean.items(), strict=True), **line)


def _mark_best(axes: Axes, best_round: int) -> None:
    axes.axvline(best_round, color=INK, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
    note_above(axes, best_round, f"best: round {best_round}")


def _last(mean: Curve) -> str:
    return fixed(mean[max(mean)]) if mean else "none"
