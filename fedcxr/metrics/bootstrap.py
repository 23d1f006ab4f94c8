"""Percentile intervals of the AUROC, resampling patients rather than images.

The images of one patient resemble one another, so drawing images would give intervals that are
too narrow. Patients are drawn with replacement, and a patient drawn twice brings all images
twice. Nothing is copied: an image's weight in a resample is how often its patient was drawn.

Rules for what a resample can lose:
- A label that keeps one class only in a resample has no AUROC there; its interval is taken over
  the other resamples, and `lost` counts the ones left out.
- The macro mean of every resample is over the same labels, those defined on the full set. Where
  one is lost, its full-set value stands in; leaving it out would move the mean by which labels
  happen to be in it.
- A label whose positives, or negatives, all come from one patient gets no interval: drawing
  patients cannot show how much that patient matters.

Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13 (percentile).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcxr.metrics.auroc import (
    FloatArray,
    Interval,
    LabelScore,
    check_scores,
    macro,
    rank,
    score_labels,
    weighted_auroc,
)
from fedcxr.metrics.resampling import CHUNK_ELEMENTS, group, image_weights


@dataclass(frozen=True, slots=True)
class BootstrapResult:
    """Scores with intervals, and the macro mean with its own."""

    scores: tuple[LabelScore, ...]
    macro: float | None
    macro_ci: Interval | None
    macro_labels: int  # number of labels in the macro mean
    resamples: int
    lost: dict[str, int]  # label: resamples without both classes; defined labels only


def bootstrap_auroc(
    target: ArrayLike,
    probs: ArrayLike,
    labels: Sequence[str],
    patient_id: ArrayLike,
    *,
    resamples: int,
    seed: int,
    level: float = 0.95,
) -> BootstrapResult:
    """Return the AUROC of every label and their macro mean, each with a percentile interval.

    Args:
        target: (N, L) in {0, 1, nan}.
        probs: (N, L) scores.
        labels: the L names.
        patient_id: (N,) whose image each row is.
        resamples: how many times the patients are drawn.
        seed: root seed of the draws.
        level: share of resamples inside the interval.

    Raises:
        RunError: a score is not finite.
        ValueError: shapes that do not agree, or a level or number of resamples out of range.
    """
    truth, scores = check_scores(target, probs, labels)
    ids = np.asarray(patient_id)
    if ids.shape != truth.shape[:1]:
        raise ValueError(f"patient_id must be {truth.shape[:1]}, got {ids.shape}")
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(f"need resamples >= 1 and 0 < level < 1, got {resamples} and {level}")
    found = score_labels(truth, scores, labels)
    value, num_labels = macro(found)
    if not num_labels:
        return BootstrapResult(found, None, None, 0, resamples, {})
    patient = group(ids)
    columns = [c for c, score in enumerate(found) if score.value is not None]
    draws = _resampled(truth[:, columns], scores[:, columns], patient, resamples, seed)
    lost = np.count_nonzero(np.isnan(draws), axis=0)  # (D,)
    with_ci = list(found)
    for place, column in enumerate(columns):
        with_ci[column] = _with_interval(
            found[column], draws[:, place], truth[:, column], patient, level
        )
    full = np.array([found[c].value for c in columns], dtype=np.float64)
    means = np.where(np.isnan(draws), full, draws).mean(axis=1)
    return BootstrapResult(
        scores=tuple(with_ci),
        macro=value,
        macro_ci=_interval(means, level) if patient.max() > 0 else None,
        macro_labels=num_labels,
        resamples=resamples,
        lost={labels[c]: int(lost[place]) for place, c in enumerate(columns)},
    )


def _resampled(
    truth: FloatArray, scores: FloatArray, patient: NDArray[np.intp], resamples: int, seed: int
) -> FloatArray:
    """Return the (R, D) AUROCs of the resamples, nan where a label lost a class."""
    ranks = [rank(truth[:, column], scores[:, column]) for column in range(truth.shape[1])]
    parts = [
        np.stack([weighted_auroc(label, weights) for label in ranks], axis=1)
        for weights in image_weights(patient, resamples, seed, elements=CHUNK_ELEMENTS)
    ]
    return np.concatenate(parts)


def _with_interval(
    score: LabelScore,
    draws: FloatArray,
    truth: FloatArray,
    patient: NDArray[np.intp],
    level: float,
) -> LabelScore:
    """Return the score with its interval, or with the reason for having none."""
    for state, name in ((1, "positives"), (0, "negatives")):
        if len(np.unique(patient[truth == state])) < 2:
            return replace(score, reason=f"no interval: all {name} are of one patient")
    kept = draws[~np.isnan(draws)]
    if not len(kept):
        return replace(score, reason="no interval: no resample has both classes")
    return replace(score, ci=_interval(kept, level))


def _interval(draws: FloatArray, level: float) -> Interval:
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
