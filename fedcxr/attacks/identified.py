"""Who is found: for each person, in how many of many trainings an attack is right about them.

A mean over people hides that some are always found. So the same attack is made on many target
models, each of which was taught a random half of the people, and a person counts as identified if
it is right about them in more than 90 % of them (Knolle et al. 2026). Not with few targets: with 8
of them a person is always right by chance once in 256.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcxr.attacks.signals import Floats

FEWEST_TARGETS = 64
SURE = 0.9
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True)
class Identified:
    """In how many target models an attack was right about each person."""

    targets: int
    success: Floats
    """(P,) share of the target models."""

    @property
    def sure(self) -> int:
        """People about whom it was right in more than 90 %."""
        return int((self.success > SURE).sum())

    @property
    def by_chance(self) -> float:
        """How many people a coin would be as right about, on average."""
        from scipy.stats import binom  # a second, which no other part of an attack needs

        above = int(np.floor(SURE * self.targets + 1e-9))
        return float(len(self.success) * binom.sf(above, self.targets, 0.5))

    @property
    def quantiles(self) -> tuple[float, ...]:
        """Of the share, over the people."""
        return tuple(float(q) for q in np.quantile(self.success, QUANTILES))


def identify(scores: Floats, inside: NDArray[np.bool_]) -> Identified:
    """Return the shares of targets in which each person is called rightly.

    A person is called a member of a target where the score is above the median of that target's
    scores: the attacker knows that half of the people are.

    Args:
        scores: (T, P) of each person against each target.
        inside: (T, P) whether the target was taught the person.

    >>> identify(np.array([[0.0, 1.0], [5.0, 4.0]]), np.array([[False, True], [False, True]])).sure
    0
    """
    called = scores > np.median(scores, axis=1, keepdims=True)
    return Identified(len(scores), np.asarray((called == inside).mean(axis=0), dtype=np.float64))
