"""How far AUROCs on the same images can be trusted, in closed form: DeLong's covariance.

The spread of the placements gives the variance of their mean, the AUROC. `clustered` first sums
the placements of one patient, since images of one patient are alike.

Not for average precision, which has no placements, or a mean over labels: see `macro_difference`.

Source: DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44, 837-845; Obuchowski 1997, Biometrics
53, 567-578 (clustered); Brunner and Munzel 2000, Biometrical Journal 42, 17-25 (degrees of
freedom).
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from fedcxr.metrics.auroc import FloatArray, Interval
from fedcxr.metrics.placements import (
    by_pairs,
    by_ranks,
    check_contrast,
    clustered_parts,
    known_rows,
    mean,
    nans,
    spread,
)

_NO_VARIANCE = 1e-14
"""A variance of a difference is 0 if it is less than this share of the AUROCs' own: rounding."""


class ZTest(NamedTuple):
    """A difference of AUROCs, judged by the normal distribution."""

    difference: float
    se: float  # standard error; nan where a class has fewer than two (patients)
    z: float  # nan where `se` is nan or 0: then the scores rank every pair alike
    p: float  # two-sided
    ci: Interval  # (nan, nan) where z is nan


class TTest(NamedTuple):
    """A difference of AUROCs, judged by Student's t: wider than normal where patients are few."""

    difference: float
    se: float
    t: float  # nan as in `ZTest`
    df: float  # degrees of freedom
    p: float  # two-sided
    ci: Interval


def delong(target: ArrayLike, scores: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return K AUROCs (K,) and their covariance (K, K), every image being another patient's.

    In O(K N log N). The AUROCs are nan where a class is missing, the covariance where one has fewer
    than two images.

    Args:
        target: (N,) in {0, 1, nan}; nan is left out.
        scores: (K, N) of the same images; ties count one half.

    Raises:
        RunError: a score is not finite.
        ValueError: the shapes do not agree.

    >>> delong([0, 0, 1, 1], [[0.1, 0.4, 0.35, 0.8]])
    (array([0.75]), array([[0.125]]))
    """
    truth, marks, _ = known_rows(target, scores)
    above, below = by_ranks(truth, marks)
    return mean(above), spread(above) + spread(below)


def delong_placements(target: ArrayLike, scores: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return what `delong` does, from all pairs of a positive and a negative, in O(K N^2)."""
    truth, marks, _ = known_rows(target, scores)
    above, below = by_pairs(truth, marks)
    if min(above.shape[1], below.shape[1]) < 2:
        return mean(above), nans(len(marks))
    cov = np.cov(above) / above.shape[1] + np.cov(below) / below.shape[1]
    return mean(above), np.atleast_2d(cov)


def clustered(
    target: ArrayLike, scores: ArrayLike, patient: ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Return K AUROCs (K,) and their covariance (K, K), images of one patient being alike.

    In O(K N log N). With one image a patient it is `delong`; if every record is there twice, it is
    what it was. The covariance is nan where a class has fewer than two patients.

    Args:
        target: (N,) in {0, 1, nan}; nan is left out.
        scores: (K, N) of the same images.
        patient: (N,) whose image each is, any type that sorts.

    Raises:
        RunError: a score is not finite.
        ValueError: the shapes do not agree.

    >>> clustered([0, 0, 1, 1], [[0.1, 0.4, 0.35, 0.8]], ["a", "b", "c", "d"])
    (array([0.75]), array([[0.125]]))
    """
    parts = clustered_parts(target, scores, patient)
    return parts.aurocs, parts.cov


def clustered_placements(
    target: ArrayLike, scores: ArrayLike, patient: ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Return what `clustered` does, pair by pair and patient by patient, in O(K N^2)."""
    truth, marks, group = known_rows(target, scores, patient)
    above, below = by_pairs(truth, marks)
    aurocs, size = mean(above), len(marks)
    positive, negative, both = np.zeros((3, size, size))
    with_positive = with_negative = 0
    patients = np.unique(group)
    for one in patients:
        mine = group == one
        ours = above[:, mine[truth]] - aurocs[:, None]  # (K, its positives)
        theirs = below[:, mine[~truth]] - aurocs[:, None]  # (K, its negatives)
        up, down = ours.sum(axis=1), theirs.sum(axis=1)
        positive += np.outer(up, up)
        negative += np.outer(down, down)
        both += np.outer(up, down) + np.outer(down, up)
        with_positive += ours.shape[1] > 0
        with_negative += theirs.shape[1] > 0
    if min(with_positive, with_negative) < 2:
        return aurocs, nans(size)
    positive *= with_positive / (with_positive - 1) / above.shape[1] ** 2
    negative *= with_negative / (with_negative - 1) / below.shape[1] ** 2
    both *= len(patients) / (len(patients) - 1) / (above.shape[1] * below.shape[1])
    return aurocs, positive + negative + both


def z_test(
    aurocs: ArrayLike,
    cov: ArrayLike,
    contrast: ArrayLike | None = None,
    *,
    level: float = 0.95,
) -> ZTest:
    """Return the first AUROC minus the second, its standard error, z, two-sided p and interval.

    Args:
        aurocs: (K,).
        cov: (K, K), of `delong` or `clustered`.
        contrast: (K,) weights of the AUROCs; (1, -1) if not given. The mean over two seeds of two
            arms is (0.5, 0.5, -0.5, -0.5).
        level: of the interval.

    Raises:
        ValueError: not one weight an AUROC.

    >>> test = z_test([0.8, 0.7], [[0.0025, 0.0], [0.0, 0.0025]])
    >>> round(test.z, 4), round(test.p, 4)
    (1.4142, 0.1573)
    """
    weights = check_contrast(contrast, np.asarray(aurocs).shape)
    difference = float(weights @ np.asarray(aurocs))
    se = _standard_error(weights, np.asarray(cov))
    if not se > 0:
        return ZTest(difference, se, math.nan, math.nan, (math.nan, math.nan))
    z = difference / se
    half = float(special.ndtri((1 + level) / 2)) * se
    p = 2 * float(special.ndtr(-abs(z)))
    return ZTest(difference, se, z, p, (difference - half, difference + half))


def clustered_test(
    target: ArrayLike,
    scores: ArrayLike,
    patient: ArrayLike,
    contrast: ArrayLike | None = None,
    *,
    level: float = 0.95,
) -> TTest:
    """Return the difference of AUROCs by `clustered`, judged by t instead of z.

    The variance is a sum of one part from the positive and one from the negative patients, each
    with one degree of freedom less than patients; Satterthwaite's rule joins them. Patients who
    have both count in both.

    Args:
        target: (N,) in {0, 1, nan}; nan is left out.
        scores: (K, N) of the same images.
        patient: (N,).
        contrast: (K,) as in `z_test`.
        level: of the interval.

    Raises:
        RunError: a score is not finite.
        ValueError: the shapes do not agree, or not one weight an AUROC.
    """
    parts = clustered_parts(target, scores, patient)
    weights = check_contrast(contrast, parts.aurocs.shape)
    difference = float(weights @ parts.aurocs)
    se = _standard_error(weights, parts.cov)
    if not se > 0:
        return TTest(difference, se, math.nan, math.nan, math.nan, (math.nan, math.nan))
    positives = float(weights @ parts.positives @ weights)
    negatives = float(weights @ parts.negatives @ weights)
    df = (positives + negatives) ** 2 / (
        positives**2 / (parts.positive_patients - 1) + negatives**2 / (parts.negative_patients - 1)
    )
    t = difference / se
    half = float(special.stdtrit(df, (1 + level) / 2)) * se
    p = 2 * float(special.stdtr(df, -abs(t)))
    return TTest(difference, se, t, df, p, (difference - half, difference + half))


def _standard_error(weights: FloatArray, cov: FloatArray) -> float:
    """Return the standard error of the weighted sum; 0 if only rounding is left, else nan."""
    variance = float(weights @ cov @ weights)
    own = float(weights**2 @ np.abs(np.diagonal(cov)))
    if abs(variance) <= _NO_VARIANCE * own:
        return 0.0
    return math.sqrt(variance) if variance > 0 else math.nan
