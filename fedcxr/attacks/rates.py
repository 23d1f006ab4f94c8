"""How far members and non-members lie apart: true positive rates at a low false positive rate.

An average hides the harm: an attack that recognises few people with certainty has an AUC near a
half. So rates count at 0.1 % and 1 % of false alarms (Carlini et al. 2022, §III). Not for records
of which a person has several: they are not independent, and the intervals are exact for people.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fedcxr.attacks.signals import Floats
from fedcxr.metrics.curves import roc_points
from fedcxr.metrics.regime import clopper_pearson

ALLOWED = (0.001, 0.01)
"""False positive rates."""
LEVEL = 0.95
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Rate:
    """Whom an attack finds if it may be wrong about so many non-members."""

    allowed: float
    """The false positive rate that may not be exceeded."""
    threshold: float
    """Who scores above it is called a member; nan = there are too few non-members to set one."""
    hits: int
    members: int
    alarms: int
    non_members: int
    reason: str | None = None
    """Why there is no threshold."""

    @property
    def tpr(self) -> float | None:
        """Share of the members that is found."""
        return None if self.reason else self.hits / self.members

    @property
    def ci(self) -> Interval | None:
        """Of the share, by Clopper and Pearson, at this threshold."""
        return None if self.reason else clopper_pearson(self.hits, self.members, LEVEL)

    @property
    def fpr_ci(self) -> Interval | None:
        """Of the share of false alarms at this threshold."""
        return None if self.reason else clopper_pearson(self.alarms, self.non_members, LEVEL)


def rate_at(members: Floats, non_members: Floats, allowed: float) -> Rate:
    """Return how many members score above the threshold that so few non-members exceed.

    Args:
        members: (M,) scores.
        non_members: (K,) scores; the threshold is one of them.
        allowed: the largest false positive rate.

    >>> found = rate_at(np.arange(60, 160.0), np.arange(100.0), 0.01)
    >>> found.threshold, found.hits, found.alarms
    (98.0, 61, 1)
    """
    sizes = len(members), len(non_members)
    if sizes[1] * allowed < 1 - 1e-9:
        needed = round(1 / allowed)
        why = f"not estimable: {sizes[1]:,} non-members, {needed:,} are needed"
        return Rate(allowed, float("nan"), 0, sizes[0], 0, sizes[1], why)
    alarms = math.floor(sizes[1] * allowed + 1e-9)
    threshold = float(np.sort(non_members)[-1 - alarms])
    return Rate(
        allowed,
        threshold,
        int((members > threshold).sum()),
        sizes[0],
        int((non_members > threshold).sum()),
        sizes[1],
    )


def roc(members: Floats, non_members: Floats, points: int = 400) -> tuple[Floats, Floats]:
    """Return false and true positive rates for a figure with logarithmic axes, (R,) each.

    All corners up to 1 % of false alarms are kept, of the others `points` at most.

    >>> roc(np.array([2.0, 3.0]), np.array([1.0, 2.0]))
    (array([0. , 0. , 0.5, 1. ]), array([0. , 0.5, 1. , 1. ]))
    """
    truth = np.repeat([1.0, 0.0], [len(members), len(non_members)])
    fpr, tpr = roc_points(truth, np.concatenate([members, non_members]), len(truth) + 2)
    near, far = np.flatnonzero(fpr <= 0.01), np.flatnonzero(fpr > 0.01)
    if len(far) > points:
        far = far[np.linspace(0, len(far) - 1, points).round().astype(int)]
    kept = np.concatenate([near, far])
    return fpr[kept], tpr[kept]


def halves(number: int, rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return two random halves of so many, as positions: for a control in which nobody differs."""
    order = rng.permutation(number)
    return np.sort(order[: number // 2]), np.sort(order[number // 2 :])


def private_bound(allowed: float, epsilon: float, delta: float) -> float:
    """Return the highest true positive rate that (ε, δ) leaves an attacker: e^ε·FPR + δ.

    Source: Kairouz, Oh and Viswanath 2015, "The Composition Theorem for Differential Privacy".

    >>> round(private_bound(0.01, 3.0, 1e-4), 4)
    0.201
    """
    return min(1.0, math.exp(epsilon) * allowed + delta)


def share_gap(hits: tuple[int, int], of: tuple[int, int]) -> tuple[float, Interval]:
    """Return the first share less the second, with its interval.

    Args:
        hits: of two groups of different people.
        of: how many people each has, at least one.

    Source: Newcombe 1998, Statistics in Medicine 17, 873-890, method 10 (hybrid score).

    >>> gap, (low, high) = share_gap((56, 48), (70, 80))  # his example
    >>> round(gap, 4), round(low, 4), round(high, 4)
    (0.2, 0.0524, 0.3339)
    """
    first, second = (number / whole for number, whole in zip(hits, of, strict=True))
    (low_1, high_1), (low_2, high_2) = (_wilson(*each) for each in zip(hits, of, strict=True))
    below = math.hypot(first - low_1, high_2 - second)
    above = math.hypot(high_1 - first, second - low_2)
    return first - second, (first - second - below, first - second + above)


def _wilson(hits: int, of: int) -> Interval:
    """Return the score interval of a share."""
    z = -float(special.ndtri((1 - LEVEL) / 2))
    middle = hits + z * z / 2
    half = z * math.sqrt(hits * (of - hits) / of + z * z / 4)
    return (middle - half) / (of + z * z), (middle + half) / (of + z * z)
