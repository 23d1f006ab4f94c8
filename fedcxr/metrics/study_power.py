"""The power of a verdict of non-inferiority about ways of training, from a pilot's variances.

The interval has two parts, patients drawn and trainings repeated, each with its own quantile of
Student's t:

    difference ± sqrt( t²(seeds - 1) · s² / seeds  +  t²(df) · v )

Given the two variances, its lower bound lies above minus the margin with a probability that is a
double integral over the chi-square variables of s² and v. It is computed on a grid, without random
numbers. Trainings on several partitions are nested in them: then s² is over the partitions, each
the mean of its trainings, and holds what both vary. Not for superiority.

Source: Cochran 1964, Biometrics 20, 191-195 (each variance with its own t); the sum of squares of
the two half widths is also MOVER's, Zou and Donner 2008, Statistics in Medicine 27, 1693-1702. The
bounds of a variance are those of the chi-square distribution. The integral is our own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from fedcxr.metrics.auroc import FloatArray

LUCK = 0.8
"""One-sided confidence of the bounds that `upper_variances` gives if not told otherwise."""
_FARTHEST_Z = 6.5  # what lies beyond has a probability below 1e-10
_COARSEST_STEP = 0.4


@dataclass(frozen=True, slots=True)
class Variances:
    """What a pilot says of how far a difference in macro AUROC would vary."""

    patients: float
    """Squared standard error of the mean difference over the test patients drawn."""
    patients_df: float
    """Its degrees of freedom."""
    trainings: float
    """Variance of the difference of one pair of trainings, over seeds on one partition."""
    seeds: int
    """That the pilot had on each partition, at least 2."""
    num_patients: int
    """Test patients of the pilot, which `patients` belongs to."""
    partitions: float | None = None
    """Variance of the difference over partitions, beyond what trainings make it; None if not
    known."""
    partitions_df: float | None = None
    """One less than the partitions that the pilot had."""

    @property
    def trainings_df(self) -> float:
        """Degrees of freedom of `trainings`."""
        return (self.seeds - 1.0) * (1.0 + (self.partitions_df or 0.0))


def power(
    variances: Variances,
    patients: float,
    seeds: int,
    margin: float,
    true_difference: float = 0.0,
    level: float = 0.95,
    *,
    partitions: int = 1,
) -> float:
    """Return the probability that the interval's lower bound lies above minus the margin.

    The patients' variance falls as one over their number, and its degrees of freedom grow with it.
    With several partitions each has so many seeds, and what is known is how far their means lie
    apart, with one degree of freedom less than there are partitions.

    Args:
        variances: of the pilot.
        patients: test patients of the study; may be infinite.
        seeds: trainings of each arm on each partition, at least 2.
        margin: the largest loss that does not matter, positive.
        true_difference: of the arms.
        level: of the interval, in (0, 1).
        partitions: drawn anew, 1 where the pilot knows nothing of them, at least 2 where it does.

    Raises:
        ValueError: a number is out of range.

    >>> alike = Variances(1e-5, math.inf, 0.0, 2, 1000)
    >>> round(power(alike, 1000, 2, 0.01), 4)  # Φ(0.01 / sqrt(1e-5) - 1.96) = Φ(1.2023)
    0.8854
    """
    if not patients > 0 or seeds < 2 or not 0 < margin < math.inf or not 0 < level < 1:
        raise ValueError(
            "need patients > 0, seeds >= 2, margin > 0 and 0 < level < 1: "
            f"{patients}, {seeds}, {margin}, {level}"
        )
    if (partitions < 2) != (variances.partitions is None):
        raise ValueError(
            "need several partitions where their variance is known, one where it is not: "
            f"{partitions}, {variances.partitions}"
        )
    times = patients / variances.num_patients
    of_one = variances.trainings / seeds + (variances.partitions or 0.0)
    parts = [
        (of_one / partitions, (seeds if variances.partitions is None else partitions) - 1.0),
        (variances.patients / times, max(1.0, variances.patients_df * times)),
    ]
    return _chance([part for part in parts if part[0] > 0], margin + true_difference, level)


def upper_variances(variances: Variances, confidence: float = LUCK) -> Variances:
    """Return the variances at the upper ends of their one-sided bounds: if the pilot was lucky.

    >>> round(upper_variances(Variances(1e-5, math.inf, 1.0, 3, 1000)).trainings, 3)  # 2 / 0.4463
    4.481
    """

    def bound(variance: float, df: float) -> float:
        return variance * _upper_factor(df, confidence)

    partitions = variances.partitions
    if partitions is not None and variances.partitions_df is not None:
        # The pilot knows how far the means of partitions vary; trainings are a part of that.
        of_trainings = variances.trainings / variances.seeds
        partitions = bound(partitions + of_trainings, variances.partitions_df) - of_trainings
    return replace(
        variances,
        patients=bound(variances.patients, variances.patients_df),
        trainings=bound(variances.trainings, variances.trainings_df),
        partitions=partitions,
    )


def _upper_factor(df: float, confidence: float) -> float:
    """Return what a variance of so many degrees of freedom may be too small by."""
    if math.isinf(df):
        return 1.0
    return float(df / 2 / special.gammaincinv(df / 2, 1 - confidence))


def _chance(parts: Sequence[tuple[float, float]], room: float, level: float) -> float:
    """Return the probability that a normal difference clears its own interval's half width.

    Args:
        parts: variance of the mean difference and degrees of freedom of each part.
        room: true difference plus margin.
        level: of the interval.
    """
    spread = math.sqrt(sum(variance for variance, _ in parts))
    if spread == 0:
        return float(room > 0)
    squares = np.zeros(())  # of the half width, an axis a part
    weights = np.ones(())
    for variance, df in parts:
        t = float(special.ndtri((1 + level) / 2))
        if math.isfinite(df):
            t = float(special.stdtrit(df, (1 + level) / 2))
        ratios, shares = _estimated(df, t)
        squares = np.add.outer(squares, t**2 * variance * ratios)
        weights = np.multiply.outer(weights, shares)
    chances = special.ndtr((room - np.sqrt(squares)) / spread)
    return float(np.sum(weights * chances))


def _estimated(df: float, t: float) -> tuple[FloatArray, FloatArray]:
    """Return what an estimated variance may be over the true one, (n,), and how likely, (n,).

    A chi-square variable over its degrees of freedom is a smooth function of a normal one, z. The
    trapezoid rule over z converges faster than any power of the step, if the step is small beside
    the width in z over which the power goes from 0 to 1, about sqrt(df) / t.
    """
    if math.isinf(df):
        return np.ones(1), np.ones(1)
    step = min(_COARSEST_STEP, 0.8 * math.sqrt(df) / t)
    count = math.ceil(_FARTHEST_Z / step)
    z = np.arange(-count, count + 1) * step
    # Each from its own tail: 1 minus a small probability would lose it.
    low = special.gammaincinv(df / 2, special.ndtr(z[:count]))
    high = special.gammainccinv(df / 2, special.ndtr(-z[count:]))
    shares = np.exp(-(z**2) / 2)
    return np.concatenate([low, high]) / (df / 2), shares / shares.sum()
