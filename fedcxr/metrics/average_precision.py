"""Average precision: the mean precision over the positives, each taken at its own score.

Beside the AUROC it tells what a rare finding's alarms are worth; its floor is the prevalence, so
it is comparable between models on the same images, not between labels or data sets. It is the sum
of the precision-recall curve's steps; no line is drawn between them. Tied scores are one step. A
label without a positive has none: nan, never 0. One without a negative has 1, whatever the model.

Source: scikit-learn's `average_precision_score`; Davis and Goadrich 2006, §4.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcxr.metrics.areas import Steps, find_steps, weighted_areas
from fedcxr.metrics.auroc import FloatArray, check_scores, check_weights


def average_precision(
    target: ArrayLike, probs: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """Return the average precision, nan where no known target is positive.

    Args:
        target: (N,) in {0, 1, nan}; nan = not known, left out.
        probs: (N,) scores, any monotone scale; ties are one step.
        weights: (N,) not negative; 1 each if not given.

    Raises:
        RunError: a score is not finite.
        ValueError: the arrays differ in length, or a target or weight is out of range.

    >>> average_precision([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1])  # (1/1 + 2/3) / 2
    0.8333333333333333
    >>> average_precision([0, 0], [0.1, 0.4])
    nan
    """
    truth, scores = check_scores(target, probs)
    if truth.ndim != 1:
        raise ValueError(f"average_precision takes one label, (N,), got {truth.shape}")
    mass = check_weights(weights, truth)
    steps = find_steps(truth, scores, np.arange(len(truth)))
    return float(weighted_average_precision(steps, mass[None])[0])


def weighted_average_precision(steps: Steps, weights: NDArray[np.number]) -> FloatArray:
    """Return the (R,) average precisions under R weightings, nan where no positive is left.

    Args:
        steps: of one label, by image (see `find_steps`).
        weights: (R, N), not negative.
    """
    return weighted_areas(steps, np.ascontiguousarray(weights.T)).ap
