"""Area under the ROC curve per label, and its mean over the labels that have one.

The AUROC is the chance that a positive scores above a negative, a tie counting one half; it is
computed as just that, from ranks. A label with one class only has none: its value is None with
the reason, and the macro mean says over how many labels it was taken. Never 0, never 0.5.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcxr.errors import RunError

FloatArray = NDArray[np.float64]
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class LabelScore:
    """The AUROC of one label and what it rests on."""

    label: str
    value: float | None
    ci: Interval | None
    positives: int
    negatives: int
    reason: str | None = None  # why `value` or `ci` is None; None if there is nothing to explain


@dataclass(frozen=True, slots=True)
class Ranks:
    """Where the positives stand among the negatives: all of an AUROC but the weights."""

    positive_rows: NDArray[np.intp]  # (P,) rows of the positives
    negative_rows: NDArray[np.intp]  # (M,) rows of the negatives, lowest score first
    below: NDArray[np.intp]  # (P,) number of negatives with a lower score
    up_to: NDArray[np.intp]  # (P,) number of negatives with a lower or equal score


def auroc(target: ArrayLike, probs: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the area under the ROC curve, nan where the known targets have one class only.

    Args:
        target: (N,) in {0, 1, nan}; nan = not known, left out.
        probs: (N,) scores, any monotone scale; ties count one half.
        weights: (N,) not negative; 1 each if not given.

    Raises:
        RunError: a score is not finite.
        ValueError: the arrays differ in length, or a target or weight is out of range.

    >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    >>> auroc([1, 1], [0.1, 0.4])
    nan
    """
    truth, scores = check_scores(target, probs)
    if truth.ndim != 1:
        raise ValueError(f"auroc takes one label, (N,), got {truth.shape}; see score_labels")
    mass = check_weights(weights, truth)
    return float(weighted_auroc(rank(truth, scores), mass[None])[0])


def score_labels(
    target: ArrayLike, probs: ArrayLike, labels: Sequence[str]
) -> tuple[LabelScore, ...]:
    """Return the score of every label, in order; `ci` is None (see `run_scores`).

    Args:
        target: (N, L) in {0, 1, nan}.
        probs: (N, L) scores.
        labels: the L names.

    Raises:
        RunError: a score is not finite.
        ValueError: the shapes do not agree.
    """
    truth, scores = check_scores(target, probs, labels)
    return tuple(
        _score_label(label, truth[:, column], scores[:, column])
        for column, label in enumerate(labels)
    )


def macro(scores: Sequence[LabelScore]) -> tuple[float | None, int]:
    """Return the mean AUROC over the labels that have one, and their number.

    >>> macro([LabelScore("a", 0.8, None, 3, 5), LabelScore("b", None, None, 0, 8, "no positive")])
    (0.8, 1)
    >>> macro([])
    (None, 0)
    """
    values = [score.value for score in scores if score.value is not None]
    return (float(np.mean(values)) if values else None), len(values)


def check_weights(weights: ArrayLike | None, truth: FloatArray) -> FloatArray:
    """Return the weights of the rows as float64, 1 each if none are given.

    Raises:
        ValueError: not one for each target, or one that is negative or not finite.
    """
    mass = np.ones(truth.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if mass.shape != truth.shape or not np.all(np.isfinite(mass) & (mass >= 0)):
        raise ValueError(f"weights must be {truth.shape}, finite and not negative")
    return mass


def check_scores(
    target: ArrayLike, probs: ArrayLike, labels: Sequence[str] | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return both arrays as float64 once they are fit to be scored.

    Raises:
        RunError: a score is not finite.
        ValueError: the shapes do not agree, or a target is not 0, 1 or nan.
    """
    truth = np.asarray(target, dtype=np.float64)
    scores = np.asarray(probs, dtype=np.float64)
    if truth.shape != scores.shape or (
        labels is not None and (truth.ndim != 2 or truth.shape[1] != len(labels))
    ):
        columns = "" if labels is None else f" for {len(labels)} labels"
        raise ValueError(f"target {truth.shape} and probs {scores.shape} do not agree{columns}")
    if not np.all(np.isnan(truth) | (truth == 0) | (truth == 1)):
        raise ValueError("target must be 0, 1 or nan; turn label states into targets first")
    bad = np.count_nonzero(~np.isfinite(scores))
    if bad:
        raise RunError(
            f"Scores: {bad} of {scores.size} probabilities are not finite, so no AUROC can be "
            f"computed. The model has diverged: lower train.learning_rate, or take the "
            f"checkpoint of an earlier round."
        )
    return truth, scores


def rank(truth: FloatArray, scores: FloatArray) -> Ranks:
    """Return where each positive stands among the negatives; unknown targets are left out."""
    positive_rows = np.flatnonzero(truth == 1)
    negative_rows = np.flatnonzero(truth == 0)
    negative_rows = negative_rows[np.argsort(scores[negative_rows], kind="stable")]
    ordered = scores[negative_rows]
    return Ranks(
        positive_rows=positive_rows,
        negative_rows=negative_rows,
        below=np.searchsorted(ordered, scores[positive_rows], side="left"),
        up_to=np.searchsorted(ordered, scores[positive_rows], side="right"),
    )


def weighted_auroc(ranks: Ranks, weights: NDArray[np.number]) -> FloatArray:
    """Return the (R,) AUROCs under R weightings of the rows at once, nan where a class is gone.

    Args:
        ranks: of one label.
        weights: (R, N), not negative. Whole numbers are summed as such, which is exact and, since
            the next addition need not wait for the last, five times as fast as floats.
    """
    positive = weights.take(ranks.positive_rows, axis=1)  # (R, P)
    total = np.zeros((len(weights), len(ranks.negative_rows) + 1), weights.dtype)  # (R, M + 1)
    np.cumsum(weights.take(ranks.negative_rows, axis=1), axis=1, out=total[:, 1:])
    won = total.take(ranks.below, axis=1) + total.take(ranks.up_to, axis=1)
    wins = np.einsum("rp,rp->r", positive, won) / 2  # (R,)
    pairs = positive.sum(axis=1) * total[:, -1]
    result: FloatArray = np.full(pairs.shape, np.nan)
    np.divide(wins, pairs, out=result, where=pairs > 0)
    return result


def _score_label(label: str, truth: FloatArray, scores: FloatArray) -> LabelScore:
    positives = int(np.count_nonzero(truth == 1))
    negatives = int(np.count_nonzero(truth == 0))
    if positives and negatives:
        return LabelScore(label, auroc(truth, scores), None, positives, negatives)
    if positives:
        reason = "no known negative"
    elif negatives:
        reason = "no known positive"
    else:
        reason = "no known target"
    return LabelScore(label, None, None, positives, negatives, reason)
