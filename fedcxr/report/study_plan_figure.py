"""A study plan as a curve: power against test patients, a line for each number of seeds."""

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, PercentFormatter

from fedcxr.metrics.study_plan import Needed, StudyPlan
from fedcxr.report.arm_style import style_of
from fedcxr.report.figures_svg import MUTED, VERMILION, Drawing, draw, new_axes, note_above, styled
from fedcxr.report.wording import count, percent, signed


@styled
def draw_power(plan: StudyPlan) -> Drawing:
    """Return the curves, with the power asked for and the pilot's test patients marked."""
    figure, axes = new_axes(4.7, 3.3)
    by_design = {(row.seeds, row.partitions): row for row in plan.needed}
    for place, curve in enumerate(plan.curves):
        style = style_of(place)
        axes.plot(
            curve.patients, curve.power, **style.line(linewidth=1.7, label=f"{curve.seeds} seeds")
        )
        patients = by_design[curve.seeds, curve.partitions].patients
        if patients is not None:
            axes.plot(patients, plan.aim.power, style.marker, color=style.colour, markersize=5)
    _mark(axes, plan)
    axes.set_xscale("log")
    axes.set_xlim(plan.curves[0].patients[0], plan.curves[0].patients[-1])
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
    axes.grid(axis="y")
    axes.set_xlabel(f"test patients\n{_aim(plan)}")
    axes.set_ylabel("power")
    figure.legend(loc="outside upper center", ncols=len(plan.curves), handlelength=2.6)
    told = ", ".join(_told(by_design[c.seeds, c.partitions]) for c in plan.curves)
    return draw(
        figure,
        "fig-power",
        f"Power against test patients; {percent(plan.aim.power)} is reached with {told}.",
    )


def _mark(axes: Axes, plan: StudyPlan) -> None:
    """Draw the power asked for, and where the pilot stands."""
    axes.axhline(plan.aim.power, color=VERMILION, linewidth=1.0, linestyle=(0, (4, 2)), zorder=1)
    pilot = plan.variances.num_patients
    axes.axvline(pilot, color=MUTED, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
    note_above(axes, pilot, f"pilot, {count(pilot)}", MUTED)
    axes.annotate(
        percent(plan.aim.power),
        (1.0, plan.aim.power),
        xycoords=("axes fraction", "data"),
        xytext=(3, 0),
        textcoords="offset points",
        ha="left",
        va="center",
        fontsize=8,
        color=VERMILION,
    )


def _aim(plan: StudyPlan) -> str:
    truth = plan.aim.true_difference
    arms = "arms that do not differ" if truth == 0 else f"true difference {signed(truth, 4)}"
    return f"margin {plan.aim.margin:g}, {arms}"


def _told(row: Needed) -> str:
    patients = (
        "no number of patients" if row.patients is None else f"{count(row.patients)} patients"
    )
    return f"{row.seeds} seeds: {patients}"
