"""AUROC against ε: what privacy costs, level by level; beside it what an attack still finds."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from fedcxr.report.figures_svg import BLUE, GREEN, MUTED, PURPLE, VERMILION, new_axes, styled
from fedcxr.report.pictures import Picture, picture
from fedcxr.report.wording import fixed
from fedcxr.results.privacy_sweep import PrivacySweep, SweepPoint
from fedcxr.results.tables.sweep_tables import NO_BUDGET

_WIDTH_IN, _HEIGHT_IN = 4.7, 3.0
_STYLES = {
    "none": (MUTED, "D"),
    "patient": (BLUE, "o"),
    "client": (VERMILION, "s"),
    "update": (GREEN, "^"),
}
_CHANCE_BELOW = 0.1
"""Least height of the attack's axis: what chance finds, 0.01, lies at its foot."""
_BESIDE = 0.12
"""Between the levels at one ε, in steps of the axis."""


@styled
def draw_sweep(sweep: PrivacySweep) -> Picture | None:
    """Return AUROC by ε with intervals, levels beside one another; None if none is defined.

    The steps between the ε are equal: they are few and chosen, and ∞ has no place on a scale.
    """
    shown = [point for point in sweep.points if point.auroc.value is not None]
    if not shown:
        return None
    figure, axes = new_axes(_WIDTH_IN, _HEIGHT_IN)
    budgets = sorted({point.epsilon for point in sweep.points if point.epsilon is not None})
    levels = list(dict.fromkeys(point.level for point in shown))
    protected = [level for level in levels if level != "none"]
    for level in levels:
        colour, marker = _STYLES.get(level, (PURPLE, "v"))
        points = [point for point in shown if point.level == level]
        points.sort(key=lambda point: _place(point, budgets))
        beside = 0.0
        if level in protected:
            beside = _BESIDE * (protected.index(level) - (len(protected) - 1) / 2)
        across = [_place(point, budgets) + beside for point in points]
        values = [point.auroc.value or 0.0 for point in points]
        axes.plot(across, values, color=colour, marker=marker, label=_name(level))
        for x, point in zip(across, points, strict=True):
            if point.auroc.ci is not None:
                axes.plot([x, x], point.auroc.ci, color=colour, linewidth=1.2)
    _draw_attack(axes, sweep.points, budgets)
    axes.set_xticks(range(len(budgets) + 1), [*(f"{each:g}" for each in budgets), NO_BUDGET])
    axes.set_xlim(-0.5, len(budgets) + 0.5)
    axes.grid(axis="y")
    axes.set_xlabel(f"ε, at δ = {sweep.delta:.3g}")
    axes.set_ylabel("test macro AUROC")
    figure.legend(loc="outside upper center", ncols=len(levels))
    told = ", ".join(f"{point.title} {fixed(point.auroc.value)}" for point in shown)
    return picture(figure, "auroc-by-epsilon", f"Test macro AUROC by ε: {told}.")


def _draw_attack(axes: Axes, points: Sequence[SweepPoint], budgets: list[float]) -> None:
    """Draw which share of members an attack finds, open and broken, on an axis at the right."""
    found = [point for point in points if point.membership_tpr.value is not None]
    if not found:
        return
    right = axes.twinx()
    found.sort(key=lambda point: _place(point, budgets))
    for level in dict.fromkeys(point.level for point in found):
        colour, marker = _STYLES.get(level, (PURPLE, "v"))
        own = [point for point in found if point.level == level]
        across = [_place(point, budgets) for point in own]
        shares = [point.membership_tpr.value or 0.0 for point in own]
        right.plot(across, shares, color=colour, marker=marker, fillstyle="none", linestyle=":")
    highest = max(point.membership_tpr.value or 0.0 for point in found)
    right.set_ylim(0.0, max(_CHANCE_BELOW, 1.1 * highest))
    right.set_ylabel("members found at 1 % FPR (open)")


def _place(point: SweepPoint, budgets: list[float]) -> int:
    return len(budgets) if point.epsilon is None else budgets.index(point.epsilon)


def _name(level: str) -> str:
    return {"none": "unprotected", "client": "site"}.get(level, level)
