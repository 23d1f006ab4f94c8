"""Learning curves of the arms: losses, AUROC and accuracy on validation, round after round."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fedcxr.report.comparison.arm_style import line_handles, style_of
from fedcxr.report.comparison.pictures import Picture, picture
from fedcxr.report.comparison.read_comparison import Arm, Comparison, rows
from fedcxr.report.figures_svg import MUTED, new_axes, styled
from fedcxr.report.wording import as_number, fixed

Curve = dict[float, float]
"""Value by round."""

_WIDTH_IN, _HEIGHT_IN = 4.6, 2.9
_MOST_THIN_LINES = 20  # more thin lines than this are a smear
_MOST_MARKERS = 25
_MEASURES = (
    ("train_loss", "training loss (nats)", "Training loss"),
    ("val_loss", "validation loss (nats)", "Validation loss"),
    ("val_macro_auroc", "validation macro AUROC", "Validation macro AUROC"),
    ("val_accuracy", "validation accuracy", "Validation accuracy"),
)


@styled
def draw_learning(comparison: Comparison) -> list[Picture]:
    """Return a figure for each measure that any arm has."""
    drawn = (_draw_measure(comparison, *measure) for measure in _MEASURES)
    return [each for each in drawn if each is not None]


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """Return the mean over the curves, at the rounds that all of them have.

    >>> mean_curve([{0: 1.0, 1: 0.5}, {0: 3.0}])
    {0: 2.0}
    """
    shared = set(curves[0]).intersection(*curves[1:]) if curves else set()
    return {x: sum(curve[x] for curve in curves) / len(curves) for x in sorted(shared)}


def _draw_measure(comparison: Comparison, key: str, up: str, title: str) -> Picture | None:
    found = {arm.name: _curves(arm, key) for arm in comparison.arms}
    drawn = [arm for arm in comparison.arms if found[arm.name]]
    if not drawn:
        return None
    figure, axes = new_axes(_WIDTH_IN, _HEIGHT_IN + 0.18 * len(drawn) / 2)
    if key == "val_macro_auroc":
        axes.axhline(0.5, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
    for arm in drawn:
        _draw_arm(axes, arm, found[arm.name])
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=(1, 2, 5, 10)))
    axes.margins(x=0.04)
    axes.grid(axis="y")
    axes.set_xlabel("round")
    axes.set_ylabel(up)
    longest = max(len(arm.title) for arm in drawn)
    beside = max(1, int(_WIDTH_IN / (0.65 + 0.062 * longest)))
    figure.legend(
        handles=line_handles(drawn), loc="outside upper center", ncols=beside, handlelength=3.2
    )
    told = ", ".join(f"{arm.title} {_last(found[arm.name])}" for arm in drawn)
    name = f"learning-{key.replace('_', '-')}"
    return picture(figure, name, f"{title} by round; in the last round: {told}.")


def _draw_arm(axes: Axes, arm: Arm, curves: Sequence[Curve]) -> None:
    """Draw each training thinly, where they are not too many, and their mean over them."""
    style = style_of(arm.place)
    if 1 < len(curves) <= _MOST_THIN_LINES:
        for curve in curves:
            axes.plot(*zip(*curve.items(), strict=True), **style.line(linewidth=0.6, alpha=0.4))
    mean = mean_curve(curves)
    if mean:
        marker = style.marker if len(mean) <= _MOST_MARKERS else ""
        line = style.line(linewidth=1.8, marker=marker, markersize=3.4)
        axes.plot(*zip(*mean.items(), strict=True), **line)


def _curves(arm: Arm, key: str) -> list[Curve]:
    """Return a curve for each training of the arm: each seed, and each site trained alone."""
    found = []
    for told in rows(arm.tree.get("learning")):
        pairs = zip(told.get("round") or (), told.get(key) or (), strict=False)
        numbers = [(as_number(x), as_number(y)) for x, y in pairs]
        found.append({x: y for x, y in numbers if x is not None and y is not None})
    return [curve for curve in found if curve]


def _last(curves: Sequence[Curve]) -> str:
    mean = mean_curve(curves)
    return fixed(mean[max(mean)]) if mean else "none"
