"""Learning curves: how loss and AUROC went from round to round."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fedcxr.report.figures_svg import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    VERMILION,
    Drawing,
    draw,
    new_axes,
    styled,
)
from fedcxr.report.read_run import Tree
from fedcxr.report.wording import as_number, fixed

_WIDTH_IN, _HEIGHT_IN = 4.5, 2.9
_MAX_SITE_LINES = 20  # more thin lines than this are a smear
_MAX_DOTS = 40


@styled
def draw_loss(rounds: Sequence[Tree], best_round: int | None) -> Drawing | None:
    """Return training and validation loss over the rounds, None if no round has one."""
    train, val = _series(rounds, "train_loss"), _series(rounds, "val_loss")
    if not train and not val:
        return None
    figure, axes = new_axes(_WIDTH_IN, _HEIGHT_IN)
    for site in _site_losses(rounds):
        axes.plot(*zip(*site, strict=True), color=MUTED, linewidth=0.7, alpha=0.45, zorder=1)
    _line(axes, train, BLUE, "o", "training, mean over sites")
    _line(axes, val, VERMILION, "s", "validation")
    _mark_best(axes, best_round)
    axes.set_ylabel("cross-entropy (nats)")
    _finish(axes)
    last = f"training {fixed(train[-1][1]) if train else 'none'}"
    last += f", validation {fixed(val[-1][1]) if val else 'none'}"
    return draw(figure, "fig-loss", f"Loss by round; in the last round: {last}.")


@styled
def draw_val_auroc(rounds: Sequence[Tree], best_round: int | None) -> Drawing | None:
    """Return validation macro AUROC over the rounds, None if no round has one."""
    points = _series(rounds, "val_macro_auroc")
    if not points:
        return None
    figure, axes = new_axes(_WIDTH_IN, _HEIGHT_IN)
    axes.axhline(0.5, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)), label="chance")
    _line(axes, points, GREEN, "D", "validation macro AUROC")
    _mark_best(axes, best_round)
    values = [value for _, value in points]
    axes.set_ylim(min(0.48, min(values) - 0.03), min(1.02, max(values) + 0.06))
    axes.set_ylabel("macro AUROC")
    _finish(axes)
    best = max(points, key=lambda point: point[1])
    text = f"Validation macro AUROC by round; highest {fixed(best[1])} in round {best[0]}."
    return draw(figure, "fig-val-auroc", text)


def _series(rounds: Sequence[Tree], key: str) -> list[tuple[int, float]]:
    """Return (round, value) where the value is a number."""
    found = ((int(line["round"]), as_number(line.get(key))) for line in rounds)
    return [(number, value) for number, value in found if value is not None]


def _site_losses(rounds: Sequence[Tree]) -> list[list[tuple[int, float]]]:
    """Return each site's (round, training loss), nothing if there are too many sites."""
    by_site: dict[str, list[tuple[int, float]]] = {}
    for line in rounds:
        for site in line.get("sites") or ():
            value = as_number(site.get("train_loss"))
            if value is not None:
                points = by_site.setdefault(str(site.get("site_id")), [])
                points.append((int(line["round"]), value))
    return list(by_site.values()) if 1 < len(by_site) <= _MAX_SITE_LINES else []


def _line(axes: Axes, points: list[tuple[int, float]], color: str, marker: str, label: str) -> None:
    if points:
        shown = marker if len(points) <= _MAX_DOTS else ""
        axes.plot(
            *zip(*points, strict=True), color=color, marker=shown, markersize=3.6, label=label
        )


def _mark_best(axes: Axes, best_round: int | None) -> None:
    if best_round is not None:
        axes.axvline(best_round, color=INK, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
        axes.annotate(
            f"best: round {best_round}",
            (best_round, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8,
        )


def _finish(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=(1, 2, 5, 10)))
    axes.margins(x=0.06)
    axes.grid(axis="y")
    axes.set_xlabel("round (0 = before training)")
    axes.figure.legend(loc="outside upper center", ncols=2)
