"""Where each image stands among those of the other class, and the covariance that follows.

A positive's placement is the share of negatives that score below it, a negative's the share of
positives above it, a tie counting one half; the mean of either is the AUROC. See `delong` for what
is done with them.

Source: DeLong et al. 1988, Biometrics 44, 837-845; Sun and Xu 2014, IEEE Signal Processing Letters
21, 1389-1393 (from midranks); Obuchowski 1997, Biometrics 53, 567-578 (summed by patient).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from fedcxr.metrics.auroc import FloatArray, check_scores

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Parts:
    """The three parts of a clustered covariance, each (K, K), and what they rest on."""

    aurocs: FloatArray  # (K,)
    positives: FloatArray  # from the spread of the positives' placements
    negatives: FloatArray
    both: FloatArray  # from patients who have positives and negatives
    positive_patients: int
    negative_patients: int

    @property
    def cov(self) -> FloatArray:
        """The covariance of the AUROCs, (K, K)."""
        return self.positives + self.negatives + self.both


def known_rows(
    target: ArrayLike, scores: ArrayLike, patient: ArrayLike | None = None
) -> tuple[BoolArray, FloatArray, NDArray[np.intp]]:
    """Return truth (N',), scores (K, N') and patients (N',) from 0 of the images with a target.

    Args:
        target: (N,) in {0, 1, nan}.
        scores: (K, N).
        patient: (N,); each image is another patient's if not given.

    Raises:
        RunError: a score is not finite.
        ValueError: the shapes do not agree, or a target is not 0, 1 or nan.
    """
    truth = np.asarray(target, dtype=np.float64)
    marks = np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or marks.ndim != 2 or marks.shape[1:] != truth.shape:
        raise ValueError(f"need target (N,) and scores (K, N), got {truth.shape}, {marks.shape}")
    check_scores(np.broadcast_to(truth, marks.shape), marks)
    ids = np.arange(len(truth)) if patient is None else np.asarray(patient)
    if ids.shape != truth.shape:
        raise ValueError(f"patient must be {truth.shape}, got {ids.shape}")
    known = ~np.isnan(truth)
    _, group = np.unique(ids[known], return_inverse=True)
    return truth[known] == 1, marks[:, known], group


def by_ranks(truth: BoolArray, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the placements of the positives (K, P) and negatives (K, M), in O(K N log N).

    All nan where a class is missing.

    >>> by_ranks(np.array([False, False, True, True]), np.array([[0.1, 0.4, 0.35, 0.8]]))
    (array([[0.5, 1. ]]), array([[1. , 0.5]]))
    """
    positive, negative = scores[:, truth], scores[:, ~truth]
    if not positive.size or not negative.size:
        return np.full(positive.shape, np.nan), np.full(negative.shape, np.nan)
    among_all = stats.rankdata(scores, axis=1)
    above = among_all[:, truth] - stats.rankdata(positive, axis=1)
    below = among_all[:, ~truth] - stats.rankdata(negative, axis=1)
    return above / negative.shape[1], 1 - below / positive.shape[1]


def by_pairs(truth: BoolArray, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return what `by_ranks` does, from every pair of a positive and a negative, in O(K N^2)."""
    positive, negative = scores[:, truth, None], scores[:, None, ~truth]
    if not positive.size or not negative.size:
        return np.full(positive.shape[:2], np.nan), np.full(negative.shape[::2], np.nan)
    won = (positive > negative) + 0.5 * (positive == negative)  # (K, P, M)
    return won.mean(axis=2), won.mean(axis=1)


def mean(placements: FloatArray) -> FloatArray:
    """Return the (K,) AUROCs of placements (K, n), nan without one."""
    if not placements.shape[1]:
        return np.full(len(placements), np.nan)
    return np.asarray(placements.mean(axis=1))


def spread(placements: FloatArray) -> FloatArray:
    """Return the (K, K) covariance of the means of placements (K, n), nan for n < 2."""
    count = placements.shape[1]
    if count < 2:
        return nans(len(placements))
    off = placements - placements.mean(axis=1, keepdims=True)
    return np.asarray(off @ off.T / (count * (count - 1)))


def clustered_parts(target: ArrayLike, scores: ArrayLike, patient: ArrayLike) -> Parts:
    """Return the AUROCs and their covariance in parts, nan where a class has under two patients.

    The arguments and errors are those of `known_rows`.
    """
    truth, marks, group = known_rows(target, scores, patient)
    above, below = by_ranks(truth, marks)
    aurocs, num = mean(above), int(group.max(initial=-1)) + 1
    with_positive, with_negative = (len(np.unique(group[rows])) for rows in (truth, ~truth))
    if min(with_positive, with_negative) < 2:
        none = nans(len(marks))
        return Parts(aurocs, none, none, none, with_positive, with_negative)
    up = _by_patient(above - aurocs[:, None], group[truth], num)  # (K, P)
    down = _by_patient(below - aurocs[:, None], group[~truth], num)
    positives, negatives = above.shape[1], below.shape[1]
    cross = up @ down.T
    return Parts(
        aurocs,
        with_positive / (with_positive - 1) * (up @ up.T) / positives**2,
        with_negative / (with_negative - 1) * (down @ down.T) / negatives**2,
        num / (num - 1) * (cross + cross.T) / (positives * negatives),
        with_positive,
        with_negative,
    )


def check_contrast(contrast: ArrayLike | None, shape: tuple[int, ...]) -> FloatArray:
    """Return the weights of AUROCs in a difference, (1, -1) if none are given.

    Raises:
        ValueError: not one weight an AUROC.
    """
    weights = np.asarray([1.0, -1.0] if contrast is None else contrast, dtype=np.float64)
    if weights.shape != shape:
        raise ValueError(f"contrast must be {shape}, one weight an AUROC, got {weights.shape}")
    return weights


def nans(size: int) -> FloatArray:
    """Return the covariance (size, size) that cannot be computed."""
    return np.full((size, size), np.nan)


def _by_patient(values: FloatArray, group: NDArray[np.intp], num: int) -> FloatArray:
    """Return the (K, num) sums of values (K, n) over the rows of each patient."""
    return np.stack([np.bincount(group, row, minlength=num) for row in values])
