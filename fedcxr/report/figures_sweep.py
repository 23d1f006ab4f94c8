"""By ε, on one axis: AUROC, what membership inference finds, what inversion makes of updates.

And what protection costs each sex and age band.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedcxr.report.figures_svg import (
    BLUE,
    GREEN,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    styled,
)
from fedcxr.report.pictures import Picture, picture
from fedcxr.report.wording import fixed
from fedcxr.results.privacy_sweep import PrivacySweep, SweepPoint
from fedcxr.results.score import Score
from fedcxr.results.tables.sweep_tables import NO_BUDGET

_WIDTH_IN = 4.7
_CURVE_IN, _PANEL_IN, _GROUP_IN = 2.3, 1.35, 1.7
_STYLES = {
    "none": (MUTED, "D"),
    "patient": (BLUE, "o"),
    "client": (VERMILION, "s"),
    "update": (GREEN, "^"),
}
_GROUP_STYLES = (
    (BLUE, "o"),
    (VERMILION, "s"),
    (GREEN, "^"),
    (PURPLE, "D"),
    (ORANGE, "v"),
    (SKY, "P"),
)
_CHANCE = 0.01
"""What an attack that knows nothing finds at 1 % of false alarms."""
_BESIDE = 0.1
"""Between the lines at one ε, in steps of the axis."""

Of = Callable[[SweepPoint], Score]


@styled
def draw_sweep(sweep: PrivacySweep) -> Picture | None:
    """Return AUROC and attacks by ε, a line a level and place; None if no AUROC is defined.

    The steps between the ε are equal: they are few and chosen, and ∞ has no place on a scale.
    """
    if not _shown(sweep, lambda point: point.auroc):
        return None
    panels: list[tuple[str, Of, float | None]] = [
        ("test macro AUROC", lambda point: point.auroc, None),
        ("members found\nat 1 % FPR", lambda point: point.membership_tpr, _CHANCE),
        ("SSIM of inverted\nimages", lambda point: point.inversion_ssim, _best_guess(sweep)),
    ]
    panels = panels[:1] + [each for each in panels[1:] if _shown(sweep, each[1])]
    heights = [_CURVE_IN, *[_PANEL_IN] * (len(panels) - 1)]
    figure = Figure((_WIDTH_IN, sum(heights) + 0.7), layout="constrained")
    found = figure.subplots(
        len(panels), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    for axes, (title, of, reference) in zip(found, panels, strict=True):
        _draw_lines(axes, sweep, of)
        axes.set_ylabel(title)
        axes.grid(axis="y")
        if reference is not None:
            axes.axhline(reference, color=MUTED, linewidth=0.9, linestyle=(0, (2, 2)))
        if of is not panels[0][1]:
            axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    _budget_axis(found[-1], sweep)
    handles, names = found[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=min(3, len(names)))
    shown = _shown(sweep, lambda point: point.auroc)
    told = ", ".join(f"{point.title} {fixed(point.auroc.value)}" for point in shown)
    return picture(figure, "auroc-by-epsilon", f"Test macro AUROC by ε: {told}.")


@styled
def draw_group_costs(sweep: PrivacySweep) -> Picture | None:
    """Return by ε what each sex and age band loses, a row of panels a level and place, or None."""
    rows = [
        (each.attribute, each.group, point)
        for point in sweep.points
        for each in point.groups
        if each.cost is not None and each.cost.value is not None
    ]
    if not rows:
        return None
    attributes = list(dict.fromkeys(attribute for attribute, _, _ in rows))
    lines = list(dict.fromkeys(point.series for _, _, point in rows))
    size = (_WIDTH_IN, _GROUP_IN * len(lines) + 0.8)
    figure = Figure(size, layout="constrained")
    panels = figure.subplots(len(lines), len(attributes), sharex=True, sharey=True, squeeze=False)
    for across, attribute in enumerate(attributes):
        groups = sorted({group for own, group, _ in rows if own == attribute})
        for down, line in enumerate(lines):
            axes = panels[down, across]
            axes.axhline(0.0, color=MUTED, linewidth=0.9)
            _draw_groups(axes, sweep, line, attribute, groups)
            axes.grid(axis="y")
            if not across:
                axes.set_ylabel(f"{line}\nchange in AUROC")
        panels[0, across].legend(
            loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, title=attribute
        )
        _budget_axis(panels[-1, across], sweep, with_none=False)
    return picture(figure, "group-costs", "Change in AUROC of each sex and age band by ε.")


def _draw_groups(
    axes: Axes, sweep: PrivacySweep, line: str, attribute: str, groups: Sequence[str]
) -> None:
    budgets = _budgets(sweep)
    points = [point for point in sweep.points if point.series == line and point.epsilon is not None]
    for place, group in enumerate(groups):
        colour, marker = _GROUP_STYLES[place % len(_GROUP_STYLES)]
        shift = _BESIDE * (place - (len(groups) - 1) / 2)
        found = [
            (_place(point, budgets) + shift, each.cost)
            for point in points
            for each in point.groups
            if (each.attribute, each.group) == (attribute, group) and each.cost is not None
        ]
        style = {"color": colour, "marker": marker, "markersize": 3.6, "linewidth": 1.1}
        _draw_scores(axes, sorted(found, key=lambda each: each[0]), {**style, "label": group})


def _draw_lines(axes: Axes, sweep: PrivacySweep, of: Of) -> None:
    """Draw a line of each level and place: full at the sites, broken and open at one place."""
    budgets, shown = _budgets(sweep), _shown(sweep, of)
    lines = list(dict.fromkeys(point.series for point in sweep.points))
    protected = list(dict.fromkeys(p.series for p in sweep.points if p.epsilon is not None))
    for line in lines:
        points = [point for point in shown if point.series == line]
        if not points:
            continue
        colour, marker = _STYLES.get(points[0].level, (PURPLE, "v"))
        style = {"color": colour, "marker": marker}
        if points[0].trained == "centralized":
            style |= {"fillstyle": "none", "linestyle": "--"}
        shift = 0.0
        if line in protected:
            shift = _BESIDE * (protected.index(line) - (len(protected) - 1) / 2)
        found = [(_place(point, budgets) + shift, of(point)) for point in points]
        found.sort(key=lambda each: each[0])
        _draw_scores(axes, found, {**style, "label": _name(points[0])})


def _draw_scores(
    axes: Axes, found: Sequence[tuple[float, Score]], style: Mapping[str, Any]
) -> None:
    """Draw a line through scores, each with its interval where it has one."""
    known = [(x, score) for x, score in found if score.value is not None]
    axes.plot([x for x, _ in known], [score.value or 0.0 for _, score in known], **style)
    for x, score in known:
        if score.ci is not None:
            axes.plot([x, x], score.ci, color=style["color"], linewidth=1.1, alpha=0.75)


def _budget_axis(axes: Axes, sweep: PrivacySweep, *, with_none: bool = True) -> None:
    budgets = _budgets(sweep)
    names = [f"{each:g}" for each in budgets] + ([NO_BUDGET] if with_none else [])
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_xlabel(f"ε, at δ = {sweep.delta:.3g}")


def _budgets(sweep: PrivacySweep) -> list[float]:
    return sorted({point.epsilon for point in sweep.points if point.epsilon is not None})


def _shown(sweep: PrivacySweep, of: Of) -> list[SweepPoint]:
    return [point for point in sweep.points if of(point).value is not None]


def _place(point: SweepPoint, budgets: list[float]) -> int:
    return len(budgets) if point.epsilon is None else budgets.index(point.epsilon)


def _best_guess(sweep: PrivacySweep) -> float | None:
    return None if sweep.inversion is None else sweep.inversion.best_guess.value


def _name(point: SweepPoint) -> str:
    level = {"none": "unprotected", "client": "site"}.get(point.level, point.level)
    return level if point.trained == "federated" else f"{level}, centralized"
