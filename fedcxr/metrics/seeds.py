"""What the seeds of two arms say: their spread, and a claim about training in general.

A bootstrap over patients holds the trained models fixed. Whether one way of training beats another
in general hangs on the seeds as well, each a training of its own, and a few of them hardly tell:
below five no interval is given, and the page should speak of these models only.

Source: Bouthillier et al. 2021, "Accounting for Variance in Machine Learning Benchmarks" (why the
spread over trainings counts). The sum of the two variances with the seeds' degrees of freedom is
our own, on the safe side: the patients' part is known far better than from S values.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from fedcxr.metrics.auroc import Interval

MIN_SEEDS = 5


def seed_spread(by_seed: ArrayLike) -> float | None:
    """Return the standard deviation over seeds (S - 1 below), None for one seed.

    >>> seed_spread([0.5, 0.75, 1.0])
    0.25
    >>> seed_spread([0.8]) is None
    True
    """
    values = np.asarray(by_seed, dtype=np.float64)
    return float(values.std(ddof=1)) if len(values) > 1 else None


def training_claim(
    first: ArrayLike, second: ArrayLike, patient_variance: float | None, level: float
) -> tuple[float, Interval | None, str | None]:
    """Return how far apart two arms are on average over trainings, its interval, and why not.

    Args:
        first: (S,) one arm's value by seed.
        second: (S,) the other's, from the same seeds in the same order.
        patient_variance: of the mean difference over the patients drawn; None if not known.
        level: of the interval, in (0, 1).

    Returns:
        First minus second; the t interval with S - 1 degrees of freedom and the variance
        s² / S + patient_variance, or None with the reason, as for fewer than 5 seeds.

    Raises:
        ValueError: the seeds are not paired, or a level or variance out of range.

    >>> training_claim([0.80, 0.82], [0.81, 0.81], 0.0, 0.95)[2]
    '2 seeds: a claim about training in general needs at least 5'
    """
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.ndim != 1 or one.shape != two.shape or not len(one):
        raise ValueError(f"need the same seeds of both arms, got {one.shape} and {two.shape}")
    if not 0 < level < 1 or (patient_variance is not None and not patient_variance >= 0):
        raise ValueError(f"need 0 < level < 1 and variance >= 0: {level}, {patient_variance}")
    apart, num_seeds = one - two, len(one)
    value = float(apart.mean())
    if np.isnan(value):
        return value, None, "a seed has no value"
    if num_seeds < MIN_SEEDS:
        many = f"{num_seeds} seed{'s' if num_seeds > 1 else ''}"
        return value, None, f"{many}: a claim about training in general needs at least {MIN_SEEDS}"
    if patient_variance is None:
        return value, None, "no variance over patients is known"
    variance = float(apart.var(ddof=1)) / num_seeds + patient_variance
    half = float(stdtrit(num_seeds - 1, (1 + level) / 2)) * variance**0.5
    return value, (value - half, value + half), None
