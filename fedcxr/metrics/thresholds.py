"""Thresholds chosen on validation data, from which on an image is called positive.

Every threshold is one of the scores it was chosen among, so that it means the same wherever it is
applied. Not for the test images themselves: a threshold chosen on the images that it is judged on
flatters the model.

Source: Youden 1950, "Index for rating diagnostic tests".
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcxr.metrics.auroc import FloatArray, check_scores

POINTS = ("youden", "sens90", "spec90")

_PART, _WHOLE = 9, 10  # 0.90 in whole numbers, so that 27 of 30 is not missed by rounding


@dataclass(frozen=True, slots=True)
class Threshold:
    """The score from which on an image is called positive."""

    value: float  # nan if there is none
    reason: str | None = None  # why there is none


def thresholds(target_val: ArrayLike, probs_val: ArrayLike) -> dict[str, Threshold]:
    """Return the threshold of each of `POINTS`.

    - `youden`: the highest sensitivity + specificity; of several, the highest threshold.
    - `sens90`: the highest specificity with a sensitivity of at least 0.90; of several, the one
      with the highest sensitivity.
    - `spec90`: the highest sensitivity with a specificity of at least 0.90; of several, the one
      with the highest specificity.

    Args:
        target_val: (N,) in {0, 1, nan}, of validation images; nan is left out.
        probs_val: (N,) scores.

    Raises:
        RunError: a score is not finite.
        ValueError: the arrays do not agree, or are not of one label.

    >>> found = thresholds([0, 0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4, 0.5])
    >>> [found[point].value for point in POINTS]
    [0.3, 0.3, 0.5]
    """
    truth, scores = check_scores(target_val, probs_val)
    if truth.ndim != 1:
        raise ValueError(f"thresholds takes one label, (N,), got {truth.shape}")
    lacking = [name for state, name in ((1, "positive"), (0, "negative")) if state not in truth]
    if lacking:
        missing = "target" if len(lacking) == 2 else lacking[0]
        none = _no_threshold(f"no known {missing} in the validation data")
        return dict.fromkeys(POINTS, none)
    levels, hits, alarms = called_positive(truth, scores)
    rows = (_youden(hits, alarms), _by_sensitivity(hits, alarms), _by_specificity(hits, alarms))
    return {
        point: Threshold(float(levels[row])) if isinstance(row, int) else _no_threshold(row)
        for point, row in zip(POINTS, rows, strict=True)
    }


def called_positive(
    truth: FloatArray, scores: FloatArray
) -> tuple[FloatArray, NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct scores, highest first, and the positives and negatives from each on.

    Args:
        truth: (N,) in {0, 1, nan}; nan is left out.
        scores: (N,), finite.

    >>> parts = called_positive(np.array([0.0, 1, 1]), np.array([0.3, 0.3, 0.9]))
    >>> [part.tolist() for part in parts]
    [[0.9, 0.3], [1, 2], [0, 1]]
    """
    known = ~np.isnan(truth)
    truth, scores = truth[known], scores[known]
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    hits = np.cumsum(truth[order].astype(np.int64))[last_of_tie]
    return scores[order][last_of_tie], hits, last_of_tie + 1 - hits


def _youden(hits: NDArray[np.int64], alarms: NDArray[np.int64]) -> int | str:
    """Return the row of the highest Youden index, the first of equals, or why there is none."""
    index = hits * alarms[-1] - alarms * hits[-1]  # times both class sizes: whole, so ties are seen
    row = int(np.argmax(index))
    return row if index[row] > 0 else "no score separates the classes better than chance"


def _by_sensitivity(hits: NDArray[np.int64], alarms: NDArray[np.int64]) -> int | str:
    """Return the row with the fewest alarms that finds 9 of 10, the last of equals."""
    first = np.searchsorted(_WHOLE * hits, _PART * hits[-1], side="left")
    return int(np.searchsorted(alarms, alarms[first], side="right")) - 1


def _by_specificity(hits: NDArray[np.int64], alarms: NDArray[np.int64]) -> int | str:
    """Return the row with the most hits that spares 9 of 10, the first of equals, or why none."""
    allowed = np.searchsorted(_WHOLE * alarms, (_WHOLE - _PART) * alarms[-1], side="right")
    most = hits[allowed - 1] if allowed else 0
    if not most:
        return "every threshold with a specificity of at least 0.90 misses all positives"
    return int(np.searchsorted(hits, most, side="left"))


def _no_threshold(reason: str) -> Threshold:
    return Threshold(float("nan"), f"no threshold: {reason}")
