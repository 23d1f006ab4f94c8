"""What a study plan says, in sentences and rows: the same on the page and on the terminal."""

from dataclasses import dataclass

from fedcxr.metrics.study_plan import MOST_PATIENTS, Needed, StudyPlan
from fedcxr.metrics.study_power import LUCK
from fedcxr.report.pilot import Pilot
from fedcxr.report.rendering import Fact
from fedcxr.report.wording import count, counted, level_words, percent, signed
from fedcxr.results.tables.result_table import Column, Table

TOO_VARIED = "not reachable"
_TOO_MANY = f"over {MOST_PATIENTS:,}"
_COLUMNS = (
    Column("seeds", "Seeds", "count"),
    Column("partitions", "Partitions", "count"),
    Column("trainings", "Trainings of each arm", "count"),
    Column("patients", "Test patients", "count"),
    Column("most_power", "Power with endless patients", "value"),
    Column("patients_if_lucky", "Test patients if the pilot was lucky", "count"),
    Column("most_power_if_lucky", "Power with endless patients, so", "value"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A design as a reader sees it."""

    design: Needed
    patients: str
    if_lucky: str
    is_answer: bool
    """Whether the plan's sentence is of it."""

    @property
    def is_reached(self) -> bool:
        """Whether there is a number of patients."""
        return self.design.patients is not None


def answer(plan: StudyPlan) -> Needed | None:
    """Return the design that the sentence is of, None if none reaches the power.

    With as many seeds as the pilot had if that is enough, or else the fewest trainings.
    """
    reached = _reached(plan)
    own = [row for row in reached if row.seeds == plan.variances.seeds]
    return min(own or reached, key=lambda row: row.trainings, default=None)


def sentence(plan: StudyPlan) -> str:
    """Return the answer in one sentence."""
    aim = f"non-inferiority at a margin of {plan.aim.margin:g} with {percent(plan.aim.power)} power"
    main = answer(plan)
    if main is None:
        most = max(row.seeds for row in plan.needed)
        return (
            f"No study of up to {most} seeds of each arm and {count(MOST_PATIENTS)} test patients "
            f"shows {aim}."
        )
    told = f"With {_seeds(main)}, {count(main.patients)} test patients show {aim}"
    cheap, small = _fewest_trainings(plan), _fewest_patients(plan)
    if cheap.trainings < main.trainings:
        told += f"; with {_seeds(cheap)} it takes {count(cheap.patients)}"
    if (small.patients or 0) < (main.patients or 0):
        told += f"; with {_seeds(small)}, {count(small.patients)} are enough"
    return f"{told}."


def caution(plan: StudyPlan) -> str | None:
    """Return what the answer becomes if the pilot's variances were small by luck."""
    main, start = answer(plan), "If the pilot was lucky and its variances are larger than found"
    if main is None:
        return None
    lucky = _if_lucky(plan, main)
    if lucky is None:
        return f"{start}, no study of up to so many seeds and patients does."
    if (lucky.seeds, lucky.partitions) == (main.seeds, main.partitions):
        return f"{start}, it takes {count(lucky.patients)} test patients."
    return f"{start}, it takes {_seeds(lucky)} and {count(lucky.patients)} test patients."


def facts(plan: StudyPlan) -> list[Fact]:
    """Return the designs that a reader looks for first."""
    main = answer(plan)
    pilot = plan.variances.num_patients
    found = [_with_pilots_patients(plan, pilot)]
    if main is None:
        return found
    cheap, small = _fewest_trainings(plan), _fewest_patients(plan)
    lucky = _if_lucky(plan, main)
    return [
        Fact("Fewest trainings", f"{cheap.trainings} of each arm", _with_patients(cheap)),
        Fact("Fewest test patients", count(small.patients), f"with {_seeds(small)}"),
        *found,
        Fact(
            "If the pilot was lucky",
            TOO_VARIED if lucky is None else f"{count(lucky.patients)} test patients",
            f"with {_seeds(lucky or main)}",
        ),
    ]


def rows(plan: StudyPlan) -> list[Row]:
    """Return every design with what it needs."""
    main = answer(plan)
    return [
        Row(design, _patients(design, plan), _patients(lucky, plan), design == main)
        for design, lucky in zip(plan.needed, plan.needed_upper, strict=True)
    ]


def csv_of(plan: StudyPlan) -> str:
    """Return every design as CSV, nothing where no number is enough."""
    lines = tuple(
        (
            design.seeds,
            design.partitions,
            design.trainings,
            design.patients,
            design.most_power,
            lucky.patients,
            lucky.most_power,
        )
        for design, lucky in zip(plan.needed, plan.needed_upper, strict=True)
    )
    return Table("study_plan", _COLUMNS, lines).to_csv()


def notices(plan: StudyPlan, pilot: Pilot) -> list[str]:
    """Return what to know of a margin that is not the pilot's, and of a pilot beyond it."""
    margin, found = plan.aim.margin, []
    if pilot.margin is not None and margin != pilot.margin:
        found.append(
            f"The margin of {margin:g} is not the pilot's, {pilot.margin:g}. A margin must be "
            "fixed before the study, by which loss matters to patients and not by what can be "
            "reached."
        )
    if pilot.difference is not None and pilot.difference <= -margin:
        found.append(
            f"The pilot's own difference, {signed(pilot.difference, 4)}, is beyond the margin: if "
            "that is the truth, no study shows non-inferiority."
        )
    return found


def notes(plan: StudyPlan) -> list[str]:
    """Return what the plan rests on."""
    return [_truth(plan), _luck(plan), _partitions(plan), _REST]


def variance_facts(plan: StudyPlan, pilot: Pilot) -> list[Fact]:
    """Return what was read from the pilot, as standard deviations."""
    found, upper = plan.variances, plan.upper
    told = [
        ("Patients", found.patients, upper.patients, f"of the mean, {found.patients_df:.0f} df"),
        (
            "Trainings",
            found.trainings,
            upper.trainings,
            f"of one pair, {found.trainings_df:.0f} df",
        ),
    ]
    if found.partitions is not None and upper.partitions is not None:
        what = f"of one partition, {found.partitions_df:.0f} df"
        told.append(("Partitions", found.partitions, upper.partitions, what))
    size = counted(found.num_patients, "test patient", "test patients")
    return [
        Fact("Difference", pilot.title, f"{signed(pilot.difference, 4)}; the plan does not use it"),
        Fact("Pilot", size, f"{counted(found.seeds, 'seed', 'seeds')} of each arm"),
        *(
            Fact(name, f"SD {value**0.5:.4f}", f"{what}; if lucky, {most**0.5:.4f}")
            for name, value, most, what in told
        ),
        Fact("Interval", level_words(plan.aim.level), "each part with its own quantile of t"),
    ]


_REST = (
    "The study's patients are thought to be of the pilot's kind, and its trainings to be as the "
    "pilot's. A verdict also needs enough patients with the rarest finding, which power does not "
    "tell: it is withheld where the self-test of the statistics says so."
)


def _truth(plan: StudyPlan) -> str:
    if plan.aim.true_difference == 0:
        return "The power is for arms that do not differ."
    return f"The power is for a true difference of {signed(plan.aim.true_difference, 4)}."


def _luck(plan: StudyPlan) -> str:
    found, upper = plan.variances, plan.upper
    trainings = upper.trainings / found.trainings if found.trainings else 1.0
    patients = upper.patients / found.patients if found.patients else 1.0
    of = f"{found.seeds} seeds"
    if found.partitions_df is not None:
        of += f" on each of {found.partitions_df + 1:.0f} partitions"
    return (
        f"A pilot of {of} knows the variance over trainings coarsely. If it was "
        f"lucky, the variance is up to {trainings:.2g} times what was found, and that over "
        f"patients {patients:.3g} times (upper ends of one-sided {percent(LUCK)} bounds)."
    )


def _partitions(plan: StudyPlan) -> str:
    if plan.variances.partitions is None:
        return (
            "The pilot has one partition; how far another partition would move the result is "
            "unknown."
        )
    return "Partitions are drawn anew, and each arm is trained on each with all seeds."


def _with_pilots_patients(plan: StudyPlan, pilot: int) -> Fact:
    name = f"With the pilot's {counted(pilot, 'test patient', 'test patients')}"
    enough = [row for row in _reached(plan) if (row.patients or 0) <= pilot]
    if not enough:
        most = max(row.seeds for row in plan.needed)
        return Fact(name, TOO_VARIED, f"with up to {most} seeds of each arm")
    return Fact(name, _seeds(min(enough, key=lambda row: row.trainings)), "are enough")


def _if_lucky(plan: StudyPlan, main: Needed) -> Needed | None:
    """Return the same design by the upper variances, or the fewest trainings that reach it."""
    same = plan.needed_upper[plan.needed.index(main)]
    if same.patients is not None:
        return same
    reached = [row for row in plan.needed_upper if row.patients is not None]
    return min(reached, key=lambda row: row.trainings, default=None)


def _reached(plan: StudyPlan) -> list[Needed]:
    return [row for row in plan.needed if row.patients is not None]


def _fewest_trainings(plan: StudyPlan) -> Needed:
    return min(_reached(plan), key=lambda row: (row.trainings, row.patients or 0))


def _fewest_patients(plan: StudyPlan) -> Needed:
    return min(_reached(plan), key=lambda row: (row.patients or 0, row.trainings))


def _seeds(row: Needed) -> str:
    on = f" on each of {row.partitions} partitions" if row.partitions > 1 else ""
    return f"{row.seeds} seeds of each arm{on}"


def _with_patients(row: Needed) -> str:
    return f"with {count(row.patients)} test patients"


def _patients(row: Needed, plan: StudyPlan) -> str:
    if row.patients is not None:
        return count(row.patients)
    return TOO_VARIED if row.most_power < plan.aim.power else _TOO_MANY
