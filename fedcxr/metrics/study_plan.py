"""How large a study must be: test patients, trainings and partitions for a margin and a power.

From the variances of a pilot, for each number of seeds the smallest number of test patients with
which non-inferiority is shown with the power asked for (see `study_power`). The same once more for
what the variances may be as well: with few seeds a pilot hardly knows how much trainings vary.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fedcxr.metrics.study_power import Variances, power, upper_variances

MOST_SEEDS = 20
"""Plans go up to so many trainings of each arm, or to the pilot's number where that is larger."""
CANDIDATES = [digits * 10**zeros for zeros in range(5) for digits in range(10, 100)]
"""Test patients that are tried, of two digits each: a pilot tells no more exactly."""
MOST_PATIENTS = CANDIDATES[-1]
_PARTITIONS = (2, 3, 5, 10)
"""That are tried where the pilot knows their variance."""
_SEEDS_DRAWN = (3, 5, 10, 20)
_POINTS = 60


@dataclass(frozen=True, slots=True)
class Aim:
    """What a study is to show."""

    margin: float
    """The largest loss of macro AUROC that does not matter."""
    power: float = 0.8
    """Chance of showing non-inferiority, from 0.5 to below 1."""
    true_difference: float = 0.0
    """Of the arms, above minus the margin; 0 = they do not differ."""
    level: float = 0.95
    """Of the interval."""

    def __post_init__(self) -> None:
        """Check the numbers against one another.

        Raises:
            ValueError: a number is out of range.
        """
        if not 0.5 <= self.power < 1 or not -self.margin < self.true_difference < math.inf:
            raise ValueError(
                f"need 0.5 <= power < 1 and a true difference above minus the margin: {self}"
            )


@dataclass(frozen=True, slots=True)
class Needed:
    """The smallest test set for a number of seeds and partitions."""

    seeds: int
    """Trainings of each arm on each partition."""
    partitions: int
    patients: int | None
    """Rounded up to two digits; None if no number up to `MOST_PATIENTS` is enough."""
    most_power: float
    """With endlessly many patients: below the power asked for where trainings vary too much."""

    @property
    def trainings(self) -> int:
        """Of each arm."""
        return self.seeds * self.partitions


@dataclass(frozen=True, slots=True)
class PowerCurve:
    """Power against the number of test patients."""

    seeds: int
    partitions: int
    patients: tuple[int, ...]
    power: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """The aim, and the answers by the pilot's variances and by the upper ones."""

    aim: Aim
    variances: Variances
    upper: Variances
    """At the ends of their one-sided bounds."""
    needed: tuple[Needed, ...]
    needed_upper: tuple[Needed, ...]
    """Of the same designs in the same order, if the pilot was lucky."""
    curves: tuple[PowerCurve, ...]


def make_plan(variances: Variances, aim: Aim) -> StudyPlan:
    """Return the smallest test set for each number of seeds, and how power grows with patients.

    Where the pilot knows the variance over partitions, for some numbers of seeds on each of some
    numbers of partitions.
    """
    drawn = sorted({*_SEEDS_DRAWN, variances.seeds})
    seeds: Iterable[int] = range(2, max(drawn) + 1)
    partitions: tuple[int, ...] = (1,)
    if variances.partitions is not None:
        seeds, partitions = drawn, _PARTITIONS
    upper = upper_variances(variances)
    answers = [
        tuple(row for number in partitions for row in needed(each, aim, seeds, number))
        for each in (variances, upper)
    ]
    lines = [row for row in answers[0] if row.seeds in drawn and row.partitions == partitions[-1]]
    known = [row.patients for row in lines if row.patients is not None]
    sizes = _sizes([*known, variances.num_patients])
    curves = tuple(_curve(variances, aim, row, sizes) for row in lines)
    return StudyPlan(aim, variances, upper, answers[0], answers[1], curves)


def needed(
    variances: Variances,
    aim: Aim,
    seeds: Iterable[int] = range(2, MOST_SEEDS + 1),
    partitions: int = 1,
) -> list[Needed]:
    """Return the smallest number of test patients for each number of seeds.

    Args:
        variances: of the pilot.
        aim: of the study.
        seeds: trainings of each arm on each partition, each at least 2.
        partitions: as `power` takes them.
    """
    found = []
    for number in seeds:
        most_power = _power(variances, aim, math.inf, number, partitions)
        patients = None
        if most_power >= aim.power:
            patients = _fewest(variances, aim, number, partitions)
        found.append(Needed(number, partitions, patients, most_power))
    return found


def _fewest(variances: Variances, aim: Aim, seeds: int, partitions: int) -> int | None:
    """Return the smallest candidate that is enough; a power above a half grows with patients."""
    place = bisect_left(
        CANDIDATES,
        aim.power,
        key=lambda patients: _power(variances, aim, patients, seeds, partitions),
    )
    return CANDIDATES[place] if place < len(CANDIDATES) else None


def _curve(variances: Variances, aim: Aim, row: Needed, sizes: Sequence[int]) -> PowerCurve:
    found = (_power(variances, aim, size, row.seeds, row.partitions) for size in sizes)
    return PowerCurve(row.seeds, row.partitions, tuple(sizes), tuple(found))


def _power(variances: Variances, aim: Aim, patients: float, seeds: int, partitions: int) -> float:
    return power(
        variances,
        patients,
        seeds,
        aim.margin,
        aim.true_difference,
        aim.level,
        partitions=partitions,
    )


def _sizes(spoken_of: Sequence[int]) -> list[int]:
    """Return numbers of patients, evenly on a log scale, around those that a plan speaks of."""
    least, most = max(10, min(spoken_of) / 4), 2.5 * max(spoken_of)
    return [round(size) for size in np.geomspace(least, most, _POINTS)]
