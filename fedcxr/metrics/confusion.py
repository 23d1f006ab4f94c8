"""Confusion matrices at fixed thresholds: of the images, and of resampled patients.

At a fixed threshold an image falls into one of four cells. A resample of patients is then a sum
of counts per patient, and all resamples are one matrix product. Whole numbers are added in
float64, which is exact, so the result is the same for any number of threads. Not for measures
that depend on the order of the scores, such as the AUROC.

A number that cannot be computed is nan and says why. It has no interval, and says why, where
- what it is a share of comes from one patient, as in `bootstrap`;
- every resample gives the same value (a share of exactly 0 or 1): the interval would have no width,
  which looks like certainty and is none.

Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13 (percentile).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcxr.metrics.auroc import FloatArray
from fedcxr.metrics.estimate import Estimate
from fedcxr.metrics.resampling import group, patient_weights, percentile

TP, FN, FP, TN = range(4)  # the cells, as the last axis of every array of them

_BATCH_ROWS = 128  # resamples in one product: with few, reading the counts again takes the time


@dataclass(frozen=True, slots=True)
class Ratio:
    """A measure as a ratio of two weighted sums over the cells, and what it rests on."""

    above: tuple[int, int, int, int]
    below: tuple[int, int, int, int]
    base: tuple[int, int, int, int]  # must hold an image for a value, two patients for an interval
    one: str  # of the images in `base`
    many: str


RATIOS = {
    "sensitivity": Ratio((1, 0, 0, 0), (1, 1, 0, 0), (1, 1, 0, 0), "known positive", "positives"),
    "specificity": Ratio((0, 0, 0, 1), (0, 0, 1, 1), (0, 0, 1, 1), "known negative", "negatives"),
    "fpr": Ratio((0, 0, 1, 0), (0, 0, 1, 1), (0, 0, 1, 1), "known negative", "negatives"),
    "ppv": Ratio(
        (1, 0, 0, 0), (1, 0, 1, 0), (1, 0, 1, 0), "image called positive", "images called positive"
    ),
    "npv": Ratio(
        (0, 0, 0, 1), (0, 1, 0, 1), (0, 1, 0, 1), "image called negative", "images called negative"
    ),
    "accuracy": Ratio((1, 0, 0, 1), (1, 1, 1, 1), (1, 1, 1, 1), "known target", "images"),
    # tp / (tp + (fn + fp) / 2) is 0 where no image is positive; but then there is no recall
    "f1": Ratio((2, 0, 0, 0), (2, 1, 1, 0), (1, 1, 0, 0), "known positive", "positives"),
}


def confusion_cells(truth: FloatArray, scores: FloatArray, cuts: ArrayLike) -> NDArray[np.bool_]:
    """Return whether each image is in each cell, (..., 4); an unknown target is in none.

    Args:
        truth: in {0, 1, nan}.
        scores: an image is called positive where its score is at least the cut.
        cuts: nan calls nothing positive; the three broadcast against one another.

    >>> confusion_cells(np.array([1.0, 0.0]), np.array([0.5, 0.5]), 0.5).argmax(-1)
    array([0, 2])
    """
    called = scores >= np.nan_to_num(np.asarray(cuts, dtype=np.float64), nan=np.inf)
    positive, negative = truth == 1, truth == 0
    return np.stack(
        [positive & called, positive & ~called, negative & called, negative & ~called], axis=-1
    )


def resampled_counts(
    cells: NDArray[np.bool_], patient: NDArray[np.intp], resamples: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Return the images in each cell by patient, (P, ...), and by resample, (R, ...).

    Args:
        cells: (N, ...).
        patient: (N,) in 0..P-1, none left out.
        resamples: R, how many times the patients are drawn.
        seed: root seed of the draws, the same for every measure.
    """
    num_patients = int(patient.max()) + 1
    order = np.argsort(patient, kind="stable")
    first = np.searchsorted(patient[order], np.arange(num_patients))
    flat = cells.reshape(len(cells), -1)[order]
    counts: FloatArray = np.add.reduceat(flat, first, axis=0, dtype=np.float64)
    weights = patient_weights(num_patients, resamples, seed, at_once=_BATCH_ROWS)
    draws = np.concatenate([times.astype(np.float64) @ counts for times in weights])
    shape = cells.shape[1:]
    return counts.reshape(num_patients, *shape), draws.reshape(resamples, *shape)


def measure(name: str, cells: FloatArray) -> FloatArray:
    """Return the measure of confusion matrices (..., 4), nan where it is not defined.

    >>> cells = np.array([[3.0, 1.0, 1.0, 5.0], [0.0, 0.0, 1.0, 5.0]])
    >>> measure("sensitivity", cells), measure("f1", cells)
    (array([0.75,  nan]), array([0.75,  nan]))
    """
    ratio = RATIOS[name]
    below = cells @ np.array(ratio.below, dtype=np.float64)
    result: FloatArray = np.full(below.shape, np.nan)
    above = cells @ np.array(ratio.above, dtype=np.float64)
    defined = cells @ np.array(ratio.base, dtype=np.float64) > 0
    np.divide(above, below, out=result, where=defined)
    return result


def patients_behind(name: str, counts: FloatArray) -> NDArray[np.intp]:
    """Return the number of patients (...) that a measure rests on, from counts (P, ..., 4)."""
    behind = counts @ np.array(RATIOS[name].base, dtype=np.float64) > 0
    number: NDArray[np.intp] = np.count_nonzero(behind, axis=0)
    return number


def estimate_of(
    name: str, value: float, draws: FloatArray, *, patients: int, level: float
) -> Estimate:
    """Return a measure with its interval, or with the reasons.

    Args:
        name: of the measure.
        value: on the full set.
        draws: (R,) its values in the resamples.
        patients: that it rests on.
        level: share of resamples inside the interval.
    """
    if np.isnan(value):
        return Estimate(value, None, f"no {RATIOS[name].one}")
    if patients < 2:
        return Estimate(value, None, f"no interval: all {RATIOS[name].many} are of one patient")
    return estimate(value, draws, level)


def estimate(value: float, draws: FloatArray, level: float) -> Estimate:
    """Return a value with the percentile interval of its resamples, (R,), nan left out.

    >>> estimate(0.5, np.array([0.4, 0.5, 0.6, np.nan]), 0.5).ci
    (0.45, 0.55)
    >>> estimate(1.0, np.array([1.0, 1.0]), 0.95).reason
    'no interval: every resample gives the same value'
    """
    kept = draws[~np.isnan(draws)]
    if not len(kept):
        return Estimate(value, None, "no interval: it cannot be computed in any resample")
    if kept.min() == kept.max():
        return Estimate(value, None, "no interval: every resample gives the same value")
    return Estimate(value, percentile(kept, level), None)


def check_draws(
    num_images: int, patient_id: ArrayLike, resamples: int, level: float
) -> NDArray[np.intp]:
    """Return each image's patient as a number, (N,), once patients can be drawn.

    Raises:
        ValueError: there is no image, or `patient_id` is not (N,), or a number is out of range.
    """
    ids = np.asarray(patient_id)
    if not num_images or ids.shape != (num_images,):
        raise ValueError(f"patient_id must be ({num_images},) and not empty, got {ids.shape}")
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(f"need resamples >= 1 and 0 < level < 1, got {resamples} and {level}")
    return group(ids)
