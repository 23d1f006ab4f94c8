"""For which studies an interval keeps its promise, by simulation.

`fedcxr selftest stats` simulates studies whose truth is known, and counts how often each interval
holds it, and how often a verdict of non-inferiority would be wrong. A cell of that grid is
*rejected* if an exact binomial test says that the interval holds too seldom, or that the verdict is
wrong too often. For studies like the rejected ones the interval is not shown, and no verdict given.

The counts are shipped with the package; this is the one place of `metrics` that reads a file.

Source: Clopper and Pearson 1934, Biometrika 26, 404-413.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from typing import Any

from scipy import special

from fedcxr.errors import ArtefactError
from fedcxr.metrics.auroc import Interval
from fedcxr.metrics.studies import IMAGES, Units

STORED = "self_test.json"
TEST_LEVEL = 0.998
"""Of the Clopper-Pearson intervals: each side is an exact binomial test at 0.1 %, since there are
a hundred of them; at 2.5 % some cells would be rejected by chance alone."""
USUAL_SEEDS = 3
"""Trainings of each arm in most cells."""
USUAL_SD = 0.01
"""Of an arm's AUROC over trainings in most cells."""
ONE_SIDED = ("methods", "models", "folds")
"""The intervals that a verdict is given by: for these the error above counts by itself."""
OF_HALVES = ("rate_gap", "gap_difference", "auroc_gap")
"""Intervals of a group against the rest: in the self-test each has half of a cell's patients, and
what counts is how many the smaller of the two has."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind of study: what the studies of a cell have in common."""

    positives: int  # patients who have the finding, per label
    negatives: int  # patients who do not
    cluster: float  # images a patient, on average
    uneven: bool  # their number is geometric, else the same for each
    correlation: float  # of the scores of two images of one patient, within a class
    labels: int  # in the macro mean
    auroc: float = 0.85  # of the better arm
    seeds: int = USUAL_SEEDS  # trainings of each arm
    training_sd: float = USUAL_SD  # of an arm's AUROC over trainings
    folds: int = 1  # of a cross-validation, each with so many patients, and trainings of each arm

    @property
    def name(self) -> str:
        """Names its random stream: a cell that changes has other studies."""
        size = f"{self.cluster:g}{'-uneven' if self.uneven else ''}"
        patients = f"{self.positives}-{self.negatives}-{size}-{self.correlation:g}-{self.labels}"
        folds = f"-{self.folds}-folds" if self.folds > 1 else ""
        return f"{patients}-{self.auroc:g}-{self.seeds}-{self.training_sd:g}{folds}"


@dataclass(frozen=True, slots=True)
class Tally:
    """What one interval did in the studies of a cell."""

    studies: int
    covered: int  # the interval holds the truth
    above: int  # it lies above: were the truth minus the margin, the verdict would be wrong
    below: int
    undefined: int  # there is none: counted as not covered, and gives no verdict

    def coverage(self) -> tuple[float, Interval]:
        """Return the share of intervals that hold the truth, with its own interval."""
        return self.covered / self.studies, clopper_pearson(self.covered, self.studies)

    def type_1(self) -> tuple[float, Interval]:
        """Return the share of intervals above the truth, with its interval."""
        return self.above / self.studies, clopper_pearson(self.above, self.studies)

    def rejected(self, level: float, *, one_sided: bool) -> bool:
        """Return whether coverage is below `level`, or the error above too large, by the test."""
        return _is_rejected(self, level, one_sided)


@dataclass(frozen=True, slots=True)
class Regime:
    """The cells of one interval, and so the studies that it is shown for."""

    interval: str
    level: float
    cells: tuple[tuple[Cell, Tally], ...]

    def behind(self, cell: Cell) -> int:
        """Return how many patients with the finding the interval rests on in a cell."""
        return cell.positives // 2 if self.interval in OF_HALVES else cell.positives

    def covered(
        self,
        positives: int,
        cluster: float,
        auroc: float,
        seeds: int | None = None,
        *,
        rarest: str = "",
        units: Units = IMAGES,
    ) -> tuple[bool, str]:
        """Return whether the interval is shown for such a test set, and why or why not.

        A set with c images a patient is judged by the cells up to the next tried number from c on,
        and likewise an AUROC; trainings by the cells of the usual number and of those up to theirs.
        Of these, no cell with as many positives as the set has, or more, may be rejected, and the
        set must not have fewer than were tried.

        Args:
            positives: patients that it rests on: with the rarest finding of the macro mean, or, if
                fewer, without the commonest; of a rate those that it is a share of.
            cluster: images a patient, on average.
            auroc: of the better model.
            seeds: trainings of each arm, where the interval is about trainings.
            rarest: those patients in words, with the label: "3 patients have Lung Lesion".
            units: what is scored.
        """
        clusters = _reach({cell.cluster for cell, _ in self.cells}, cluster)
        if clusters is None:
            return False, (
                f"the test set has {cluster:.1f} {units[1]} a patient; the self-test of the "
                f"statistics goes up to {max(cell.cluster for cell, _ in self.cells):g}"
            )
        aurocs = _reach({cell.auroc for cell, _ in self.cells}, auroc)
        if aurocs is None:
            return False, (
                f"the AUROC is {auroc:.3f}; the self-test of the statistics goes up to "
                f"{max(cell.auroc for cell, _ in self.cells):g}"
            )
        near = [(c, t) for c, t in self.cells if c.cluster <= clusters and c.auroc <= aurocs]
        if seeds is not None:
            fewest, most_seeds = min(seeds, USUAL_SEEDS), max(seeds, USUAL_SEEDS)
            near = [(c, t) for c, t in near if fewest <= c.seeds <= most_seeds]
        one_sided = self.interval in ONE_SIDED
        failed = [c for c, t in near if t.rejected(self.level, one_sided=one_sided)]
        most = max((self.behind(cell) for cell in failed), default=0)
        passed = [self.behind(cell) for cell, _ in near if self.behind(cell) > most]
        if not passed:
            return False, (
                "the interval did not hold in the self-test of the statistics, at any number of "
                f"positives up to {most}"
            )
        held = f"the interval was shown to hold from {min(passed)} on"
        who = rarest or f"{positives} patients have the rarest finding"
        if positives < min(passed):
            return False, f"{who}; {held}"
        return True, (
            f"{who}; {held}, up to {clusters:g} {units[1]} a patient and an AUROC of {aurocs:g}"
        )


def clopper_pearson(hits: int, trials: int, level: float = TEST_LEVEL) -> Interval:
    """Return the exact interval of a share: `hits` of `trials`.

    >>> low, high = clopper_pearson(0, 10, 0.95)
    >>> low, round(high, 4)
    (0.0, 0.3085)
    """
    tail = (1 - level) / 2
    low = special.betaincinv(hits, trials - hits + 1, tail) if hits else 0.0
    high = special.betaincinv(hits + 1, trials - hits, 1 - tail) if hits < trials else 1.0
    return float(low), float(high)


@cache
def load_regime(interval: str) -> Regime:
    """Return the regime of an interval by the result that is shipped with the package.

    Raises:
        ArtefactError: the result is missing or has not got this interval.
    """
    stored = files("fedcxr.metrics").joinpath(STORED)
    try:
        result = json.loads(stored.read_text("utf-8"))
        return regime_of(result, interval)
    except (OSError, ValueError, KeyError) as err:
        raise ArtefactError(
            f"{STORED}: the stored self-test of the statistics is missing or damaged ({err!r}). "
            f"Reinstall fedcxr, or write it again with `fedcxr selftest stats`."
        ) from err


def regime_of(result: Mapping[str, Any], interval: str) -> Regime:
    """Return the regime of an interval by a result of `fedcxr selftest stats`.

    Raises:
        KeyError: the result has no such interval.
    """
    cells: Sequence[Mapping[str, Any]] = result["cells"]
    found = [(read_cell(cell), read_tallies(cell)) for cell in cells]
    if not any(interval in tallies for _, tallies in found):
        raise KeyError(interval)
    return Regime(
        interval=interval,
        level=result["level"],
        cells=tuple((cell, tallies[interval]) for cell, tallies in found if interval in tallies),
    )


def read_cell(stored: Mapping[str, Any]) -> Cell:
    """Return the design of a stored cell."""
    return Cell(**{field.name: stored[field.name] for field in fields(Cell)})


def read_tallies(stored: Mapping[str, Any]) -> dict[str, Tally]:
    """Return what each interval did in a stored cell, by its name."""
    return {
        name: Tally(**{field.name: counts[field.name] for field in fields(Tally)})
        for name, counts in stored["intervals"].items()
    }


@cache
def _is_rejected(tally: Tally, level: float, one_sided: bool) -> bool:
    """Return what `Tally.rejected` does: thousands of intervals ask for the same."""
    _, (_, most) = tally.coverage()
    _, (least, _) = tally.type_1()
    return most < level or (one_sided and least > (1 - level) / 2)


def _reach(tried: Collection[float], wanted: float) -> float | None:
    """Return the least of the values tried that is not below the one wanted; None if none is."""
    return min((value for value in tried if value >= wanted), default=None)
