"""For which test sets the interval behind a verdict keeps its promise, by simulation.

`fedcxr selftest stats` simulates studies whose true difference is exactly minus the margin, and
counts how often an interval covers it and how often a verdict of non-inferiority is wrongly given.
A cell of that grid is *rejected* if an exact binomial test says that the interval covers too
seldom, or that the verdict is wrong too often. Test sets like the rejected ones get no verdict.

The counts are shipped with the package; this is the one place of `metrics` that reads a file.

Source: Clopper and Pearson 1934, Biometrika 26, 404-413.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.resources import files
from typing import Any

from scipy import special

from fedcxr.errors import ArtefactError
from fedcxr.metrics.auroc import Interval

STORED = "self_test.json"
VERDICT_INTERVAL = "jackknife_t"
"""The interval that the verdict of a comparison is given by, as the stored result names it."""
TEST_LEVEL = 0.95
"""Of the Clopper-Pearson intervals: each side is an exact binomial test at 2.5 %."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind of test set: what the studies of a cell have in common."""

    positives: int  # patients who have the finding, per label
    negatives: int  # patients who do not
    cluster: float  # images a patient, on average
    uneven: bool  # their number is geometric, else the same for each
    correlation: float  # of the scores of two images of one patient, within a class
    labels: int  # in the macro mean

    @property
    def name(self) -> str:
        """Names its random stream: a cell that changes has other studies."""
        size = f"{self.cluster:g}{'-uneven' if self.uneven else ''}"
        return f"{self.positives}-{self.negatives}-{size}-{self.correlation:g}-{self.labels}"


@dataclass(frozen=True, slots=True)
class Tally:
    """What one interval did in the studies of a cell, whose truth is exactly minus the margin."""

    studies: int
    covered: int  # the interval holds the truth
    non_inferior: int  # it lies above: the verdict would be wrong
    inferior: int  # it lies below
    undefined: int  # there is none: counted as not covered, and gives no verdict

    def coverage(self) -> tuple[float, Interval]:
        """Return the share of intervals that hold the truth, with its own interval."""
        return self.covered / self.studies, clopper_pearson(self.covered, self.studies)

    def type_1(self) -> tuple[float, Interval]:
        """Return the share of wrong verdicts of non-inferiority, with its interval."""
        return self.non_inferior / self.studies, clopper_pearson(self.non_inferior, self.studies)

    def rejected(self, level: float) -> bool:
        """Return whether coverage is below `level`, or type-I error above its tail, by the test."""
        _, (_, most) = self.coverage()
        _, (least, _) = self.type_1()
        return most < level or least > (1 - level) / 2


@dataclass(frozen=True, slots=True)
class Regime:
    """The cells of one interval, and so the test sets that get a verdict."""

    level: float
    cells: tuple[tuple[Cell, Tally], ...]

    def covered(self, positives: int, cluster: float, rarest: str = "") -> tuple[bool, str]:
        """Return whether a test set gets a verdict, and why or why not.

        A set with c images a patient is judged by the cells up to the next tried number from c on.
        Of these, no cell with as many positives as the set has, or more, may be rejected, and the
        set must not have fewer than were tried.

        Args:
            positives: patients with the rarest finding of the macro mean; or, if fewer, patients
                without the commonest.
            cluster: images a patient, on average.
            rarest: those patients in words, with the label: "3 patients have Lung Lesion".
        """
        most = max(cell.cluster for cell, _ in self.cells)
        reach = min((c.cluster for c, _ in self.cells if c.cluster >= cluster), default=None)
        if reach is None:
            return False, (
                f"the test set has {cluster:.1f} images a patient; the self-test of the "
                f"statistics goes up to {most:g}"
            )
        near = [(cell, tally) for cell, tally in self.cells if cell.cluster <= reach]
        failed = max((c.positives for c, t in near if t.rejected(self.level)), default=0)
        passed = [cell.positives for cell, _ in near if cell.positives > failed]
        if not passed:
            return False, (
                "the interval did not hold in the self-test of the statistics, at any number of "
                f"positives up to {failed}"
            )
        who = rarest or f"{positives} patients have the rarest finding"
        if positives < min(passed):
            return False, (f"{who}; the interval was shown to hold from {min(passed)} on")
        return True, (
            f"{who}; the interval was shown to hold from {min(passed)} on, up to {reach:g} images "
            "a patient"
        )


def clopper_pearson(hits: int, trials: int, level: float = TEST_LEVEL) -> Interval:
    """Return the exact interval of a share: `hits` of `trials`.

    >>> low, high = clopper_pearson(0, 10)
    >>> low, round(high, 4)
    (0.0, 0.3085)
    """
    tail = (1 - level) / 2
    low = special.betaincinv(hits, trials - hits + 1, tail) if hits else 0.0
    high = special.betaincinv(hits + 1, trials - hits, 1 - tail) if hits < trials else 1.0
    return float(low), float(high)


def load_regime(interval: str = VERDICT_INTERVAL) -> Regime:
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
        level=result["level"],
        cells=tuple((cell, tallies[interval]) for cell, tallies in found if interval in tallies),
    )


def read_cell(stored: Mapping[str, Any]) -> Cell:
    """Return the design of a stored cell."""
    return Cell(**{field.name: stored[field.name] for field in fields(Cell)})


def read_tallies(stored: Mapping[str, Any]) -> dict[str, Tally]:
    """Return what each interval did in a stored cell, by its name."""
    counted = fields(Tally)[1:]
    return {
        name: Tally(stored["studies"], **{field.name: counts[field.name] for field in counted})
        for name, counts in stored["intervals"].items()
    }
