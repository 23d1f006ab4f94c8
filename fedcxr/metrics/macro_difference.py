"""The difference of two macro AUROCs judged by Student's t: the patient jackknife in closed form.

A patient's influence is how far the difference moves when all images of the patient are left out;
its sum of squares is the variance. Influences add up over labels, so this holds for a macro mean,
whose labels share their patients, as for a single label. Student's t has as many degrees of freedom
as there are patients who could have moved the difference much.

Where BCa's quantiles need hundreds of positives, this interval was found to hold from ten on: see
`regime`. Not for average precision, which is no mean of placements.

Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", equation 11.5 (jackknife);
Satterthwaite 1946, Biometrics Bulletin 2, 110-114, with the shares of Carter, Schnepel and
Steigerwald 2017, Review of Economics and Statistics 99, 698-709 (patients of unequal size). Joining
the labels' shares is our own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fedcxr.metrics.areas import ratio
from fedcxr.metrics.auroc import FloatArray, Interval, check_scores
from fedcxr.metrics.delong import TTest
from fedcxr.metrics.placements import by_ranks, check_contrast
from fedcxr.metrics.resampling import group

_NO_CI: Interval = (math.nan, math.nan)
_ROUNDING = 1e-12
"""Of AUROCs, which lie between 0 and 1: a standard error below this is none."""


def macro_test(
    target: ArrayLike,
    scores: ArrayLike,
    patient: ArrayLike,
    contrast: ArrayLike | None = None,
    *,
    level: float = 0.95,
) -> TTest:
    """Return the first model's macro AUROC minus the second's, with standard error and interval.

    The mean is over the labels that have both classes. All but the difference is nan where one of
    them has a class that is all of one patient, or where no patient moves the difference.

    Args:
        target: (N, L) in {0, 1, nan}; nan is left out.
        scores: (K, N, L) of K models on the same images.
        patient: (N,) whose image each is, any type that sorts.
        contrast: (K,) weights of the models; (1, -1) if not given. The mean over two seeds of two
            arms is (0.5, 0.5, -0.5, -0.5).
        level: of the interval.

    Raises:
        RunError: a score is not finite.
        ValueError: the shapes do not agree, or not one weight a model.

    >>> target = [[0], [0], [0], [1], [1], [1]]
    >>> scores = [[[1], [2], [4], [3], [5], [6]], [[1], [2], [5], [3], [4], [6]]]
    >>> test = macro_test(target, scores, ["a", "b", "c", "d", "e", "f"])
    >>> round(test.difference, 4), round(test.se, 4)  # 8 and 7 of 9 pairs
    (0.1111, 0.1757)
    """
    return Placed.of(target, scores, patient).test(contrast, level=level)


@dataclass(frozen=True, slots=True)
class Placed:
    """Models whose images are in their order already: for many tests of the same ones."""

    num_models: int
    labels: "tuple[_Label | None, ...]"
    """(L,); None without both classes."""

    @classmethod
    def of(cls, target: ArrayLike, scores: ArrayLike, patient: ArrayLike) -> "Placed":
        """Return K models of N images and L labels; arguments and errors are `macro_test`'s."""
        truth, marks, owner = _checked(target, scores, patient)
        labels = (
            _Label.of(column, marks[:, :, place], owner)
            if {0.0, 1.0} <= set(np.unique(column))
            else None
            for place, column in enumerate(truth.T)
        )
        return cls(len(marks), tuple(labels))

    def test(
        self,
        contrast: ArrayLike | None = None,
        *,
        columns: Sequence[int] | None = None,
        level: float = 0.95,
    ) -> TTest:
        """Return the difference of `macro_test`, over some of the labels; all if not given."""
        weights = check_contrast(contrast, (self.num_models,))
        chosen = self.labels if columns is None else [self.labels[column] for column in columns]
        moved = [label.moved(weights) for label in chosen if label is not None]
        if not moved:
            return TTest(math.nan, math.nan, math.nan, math.nan, math.nan, _NO_CI)
        difference = float(np.mean([each.difference for each in moved]))
        influence = np.mean([each.influence for each in moved], axis=0)  # (P,)
        patients = len(influence)
        se = math.sqrt((patients - 1) / patients * np.sum((influence - influence.mean()) ** 2))
        if not se > _ROUNDING:
            return TTest(difference, se, math.nan, math.nan, math.nan, _NO_CI)
        shares = np.sum([each.shares for each in moved], axis=0)  # (P,)
        df = max(1.0, float(shares.sum() ** 2 / np.sum(shares**2)) - 1)
        t = difference / se
        half = float(special.stdtrit(df, (1 + level) / 2)) * se
        p = 2 * float(special.stdtr(df, -abs(t)))
        return TTest(difference, se, t, df, p, (difference - half, difference + half))


@dataclass(frozen=True, slots=True)
class _Moved:
    """What one label adds to a difference. P patients."""

    difference: float
    influence: FloatArray  # (P,) how far leaving a patient out moves it, sign turned
    shares: FloatArray  # (P,) of its variance, by each patient's share of the images of a class


@dataclass(frozen=True, slots=True)
class _Label:
    """The placements of one label's images, and whose they are."""

    above: FloatArray  # (K, positives)
    below: FloatArray  # (K, negatives)
    of_positives: NDArray[np.intp]
    of_negatives: NDArray[np.intp]
    patients: int

    @classmethod
    def of(cls, target: FloatArray, scores: FloatArray, owner: NDArray[np.intp]) -> "_Label":
        """Return it from target (N,), scores (K, N) and patients (N,)."""
        known = ~np.isnan(target)
        truth, whose = target[known] == 1, owner[known]
        above, below = by_ranks(truth, scores[:, known])
        return cls(above, below, whose[truth], whose[~truth], int(owner.max()) + 1)

    def moved(self, weights: FloatArray) -> _Moved:
        """Return what it adds to the difference with these weights of the models, (K,).

        A patient who has both classes moves the difference a little otherwise than the sum of both
        influences says: the pairs of that patient's own images are left out of account.
        """
        above, below = weights @ self.above, weights @ self.below
        difference = float(above.mean())
        influence, shares = np.zeros(self.patients), np.zeros(self.patients)
        for values, whose in ((above, self.of_positives), (below, self.of_negatives)):
            images = np.bincount(whose, minlength=self.patients)
            sums = np.bincount(whose, values - difference, minlength=self.patients)
            one = ratio(sums, len(values) - images)
            influence += one
            shares += np.sum(one**2) * images / len(values)
        return _Moved(difference, influence, shares)


def _checked(
    target: ArrayLike, scores: ArrayLike, patient: ArrayLike
) -> tuple[FloatArray, FloatArray, NDArray[np.intp]]:
    """Return target (N, L), scores (K, N, L) and patients (N,) from 0, once they agree."""
    truth = np.asarray(target, dtype=np.float64)
    marks = np.asarray(scores, dtype=np.float64)
    if truth.ndim != 2 or marks.ndim != 3 or marks.shape[1:] != truth.shape:
        need = "need target (N, L) and scores (K, N, L)"
        raise ValueError(f"{need}, got {truth.shape}, {marks.shape}")
    check_scores(np.broadcast_to(truth, marks.shape), marks)
    owner = group(patient)
    if owner.shape != truth.shape[:1]:
        raise ValueError(f"patient must be {truth.shape[:1]}, got {owner.shape}")
    return truth, marks, owner
