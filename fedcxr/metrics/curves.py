"""ROC and precision-recall curves small enough to draw, and the cross-entropy of probabilities."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcxr.metrics.auroc import FloatArray, check_scores
from fedcxr.metrics.thresholds import called_positive

Counts = NDArray[np.int64]

_RATES = np.linspace(0, 1, 101)
_RECALLS = np.linspace(0.01, 1, 100)
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


@dataclass(frozen=True, slots=True)
class MeanCurve:
    """Curves of several models as one: means at the same places, and the models' range."""

    x: FloatArray  # (G,)
    mean: FloatArray  # (G,)
    low: FloatArray  # (G,) the lowest model at each place; empty where there is one model
    high: FloatArray  # (G,)


def mean_roc(target: ArrayLike, models: ArrayLike) -> MeanCurve:
    """Return the ROC curves averaged vertically, at each of 101 false positive rates.

    It begins at (0, 0), and where a curve rises straight up it is taken at the top.

    Args:
        target: (N,) in {0, 1, nan}; nan is left out.
        models: (K, N) scores.

    Returns:
        Empty arrays where the known targets have one class only.

    Source: Fawcett 2006, "An introduction to ROC analysis", algorithm 3 (vertical averaging).

    >>> found = mean_roc([0, 1, 0, 1], [[0.1, 0.2, 0.3, 0.4], [0.1, 0.3, 0.2, 0.4]])
    >>> [float(found.mean[place]) for place in (0, 1, -1)]  # of 0.5 and 1 without an alarm
    [0.0, 0.75, 1.0]
    """

    def heights(scores: FloatArray) -> FloatArray:
        hits, alarms = _counts(target, scores)
        fpr = np.append(0.0, alarms / alarms[-1])
        tpr = np.append(0.0, hits / hits[-1])
        last = np.append(np.diff(fpr) > 0, True)  # of the points at the same rate the highest
        return np.append(0.0, np.asarray(np.interp(_RATES, fpr[last], tpr[last])))

    return _mean_curve(target, models, np.append(0.0, _RATES), heights)


def mean_pr(target: ArrayLike, models: ArrayLike) -> MeanCurve:
    """Return the precision-recall curves averaged vertically, at each of 100 recalls.

    The arguments are those of `mean_roc`. The precision at a recall is that of the highest
    threshold which reaches it, as the average precision counts it: between two points of such a
    curve there is no straight line.

    Returns:
        Empty arrays where no target is a known positive, or none a known negative.

    >>> found = mean_pr([0, 1, 0, 1], [[0.1, 0.2, 0.3, 0.4]])
    >>> [round(float(found.mean[place]), 3) for place in (0, 49, 50, 99)]
    [1.0, 1.0, 0.667, 0.667]
    """

    def heights(scores: FloatArray) -> FloatArray:
        hits, alarms = _counts(target, scores)
        needed = np.ceil(_RECALLS * hits[-1] - 1e-9)
        precision = np.asarray(hits / (hits + alarms), dtype=np.float64)
        return np.asarray(precision[np.searchsorted(hits, needed)])

    return _mean_curve(target, models, _RECALLS, heights)


def _mean_curve(
    target: ArrayLike, models: ArrayLike, x: FloatArray, heights: Callable[[FloatArray], FloatArray]
) -> MeanCurve:
    scores, truth, none = np.asarray(models, dtype=np.float64), np.asarray(target), np.empty(0)
    if not (np.any(truth == 1) and np.any(truth == 0)):
        return MeanCurve(none, none, none, none)
    each = np.stack([heights(own) for own in scores])  # (K, G)
    if len(each) == 1:
        return MeanCurve(x, each[0], none, none)
    return MeanCurve(x, each.mean(axis=0), each.min(axis=0), each.max(axis=0))


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
