"""ROC and precision-recall curves small enough to draw, and the cross-entropy of probabilities."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcxr.metrics.auroc import FloatArray, check_scores
from fedcxr.metrics.thresholds import called_positive

Counts = NDArray[np.int64]

_FLOOR = 1e-7  # probabilities are kept this far from 0 and 1: float32 sigmoids do reach them


def roc_points(
    target: ArrayLike, probs: ArrayLike, max_points: int = 200
) -> tuple[FloatArray, FloatArray]:
    """Return false and true positive rates, both (K,), from (0, 0) to (1, 1).

    Args:
        target: (N,) in {0, 1, nan}; nan is left out.
        probs: (N,) scores; tied ones make one sloping segment.
        max_points: K is at most this, at even steps along the curve; corners are kept first.

    Returns:
        Two empty arrays where the known targets have one class only.

    >>> roc_points([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4])
    (array([0. , 0. , 0.5, 0.5, 1. ]), array([0. , 0.5, 0.5, 1. , 1. ]))
    """
    hits, alarms = _counts(target, probs)
    if not len(hits):
        return np.empty(0), np.empty(0)
    keep = _corners(alarms, hits)  # on counts, where collinear is exact
    fpr = np.concatenate([[0.0], alarms[keep] / alarms[-1]])
    tpr = np.concatenate([[0.0], hits[keep] / hits[-1]])
    return _thin(fpr, tpr, max_points)


def pr_points(
    target: ArrayLike, probs: ArrayLike, max_points: int = 200
) -> tuple[FloatArray, FloatArray]:
    """Return recall and precision, both (K,), from the highest score to the last positive.

    The arguments are those of `roc_points`. Precision at a recall is drawn as a step that ends
    there, as the average precision counts it: between two points there is no straight line.

    Returns:
        Two empty arrays where no target is a known positive, or none a known negative.

    >>> pr_points([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4])
    (array([0.5, 1. ]), array([1.        , 0.66666667]))
    """
    hits, alarms = _counts(target, probs)
    if not len(hits):
        return np.empty(0), np.empty(0)
    rises = np.flatnonzero(np.diff(hits, prepend=0))
    if len(rises) > max_points:
        rises = rises[np.unique(np.linspace(0, len(rises) - 1, max_points).astype(np.intp))]
    return hits[rises] / hits[-1], hits[rises] / (hits[rises] + alarms[rises])


def bce(target: ArrayLike, probs: ArrayLike) -> float:
    """Return the mean binary cross-entropy over the known targets in nats, nan if there is none.

    Args:
        target: any shape, in {0, 1, nan}.
        probs: the same shape, in [0, 1].

    >>> round(bce([1.0, float("nan")], [0.5, 0.1]), 4)
    0.6931
    """
    truth, chance = check_scores(target, probs)
    known = ~np.isnan(truth)
    if not known.any():
        return float("nan")
    given = np.clip(chance[known], _FLOOR, 1 - _FLOOR)
    return float(-np.mean(np.where(truth[known] == 1, np.log(given), np.log1p(-given))))


def _counts(target: ArrayLike, probs: ArrayLike) -> tuple[Counts, Counts]:
    """Return hits and alarms from each distinct score on; empty unless both classes are there."""
    truth, scores = check_scores(target, probs)
    if not (np.any(truth == 1) and np.any(truth == 0)):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    _, hits, alarms = called_positive(truth, scores)
    return hits, alarms


def _corners(alarms: Counts, hits: Counts) -> NDArray[np.intp]:
    """Return where the curve from (0, 0) through these counts turns, and its end."""
    right = np.diff(alarms, prepend=0)
    up = np.diff(hits, prepend=0)
    turn = right[:-1] * up[1:] != right[1:] * up[:-1]
    return np.flatnonzero(np.append(turn, True))


def _thin(fpr: FloatArray, tpr: FloatArray, max_points: int) -> tuple[FloatArray, FloatArray]:
    """Return at most `max_points` of the points, at even steps along the curve."""
    if len(fpr) <= max_points:
        return fpr, tpr
    way = fpr + tpr  # rises from 0 to 2
    rows = np.unique(np.searchsorted(way, np.linspace(0, 2, max_points)).clip(max=len(way) - 1))
    rows[0], rows[-1] = 0, len(way) - 1
    return fpr[rows], tpr[rows]
