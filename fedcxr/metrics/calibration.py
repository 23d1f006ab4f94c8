"""Calibration: whether of the images given a probability of 0.3, three in ten are positive.

Expected calibration error and the bins of a reliability diagram say how far off the probabilities
are; slope and intercept say in which way (`calibration_line`). `scored_calibration` has these two
and the Brier score of many models, with intervals. A temperature, one number for all labels fitted
on validation data, mends probabilities that are too extreme or too timid without changing the order
of the images. Not for comparing models by themselves: a model that gives every image the prevalence
is perfectly calibrated and finds nothing.

Sources: Wilson 1927 (interval of a proportion); Guo et al. 2017, "On Calibration of
Modern Neural Networks", §4.2 (temperature); Nixon et al. 2019, "Measuring Calibration in Deep
Learning" (bins of equal mass).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, ndtri

from fedcxr.metrics.auroc import FloatArray, Interval, check_scores
from fedcxr.metrics.calibration_line import to_logit
from fedcxr.metrics.root import root

NO_TEMPERATURE = (
    "no temperature: on the validation data no target is known, or the probabilities separate the "
    "classes, or they tell the classes apart no better than chance"
)
"""When `fit_temperature` gives nan."""

BINS = 15
"""Of the reliability diagram and the ECE."""

_SHARPEST, _FLATTEST = 1e-3, 1e3  # temperatures; outside there is no minimum worth the name
_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Bin:
    """One point of the reliability diagram."""

    place: int  # among the bins that there could be, from 0
    predicted: float  # mean probability
    observed: float  # fraction of positives
    count: int
    ci: Interval  # Wilson's, of `observed`; takes images for independent, so a little narrow


def reliability(
    target: ArrayLike, probs: ArrayLike, bins: int = BINS, *, level: float = 0.95
) -> tuple[Bin, ...]:
    """Return the bins of one label that hold an image, lowest probabilities first.

    Args:
        target: (N,) in {0, 1, nan}; nan is left out.
        probs: (N,) in [0, 1].
        bins: of equal mass, cut at quantiles; ties stay together, so there may be fewer.
        level: of the bins' intervals.

    Raises:
        RunError: a probability is not finite.
        ValueError: arrays that do not agree, or a number out of range.

    >>> found = reliability([0, 1, 0, 1], [0.2, 0.4, 0.6, 0.8], bins=2)
    >>> [one.observed for one in found], round(expected_error(found), 3)
    ([0.5, 0.5], 0.2)
    """
    truth, chance = check_probs(target, probs)
    if truth.ndim != 1 or bins < 1 or not 0 < level < 1:
        raise ValueError(f"need (N,), bins >= 1, 0 < level < 1: {truth.shape}, {bins}, {level}")
    known = ~np.isnan(truth)
    return _bins(truth[known], chance[known], bins, level) if known.any() else ()


def expected_error(bins: Sequence[Bin]) -> float:
    """Return the ECE, the mean |observed - predicted| over the images; too high on few images."""
    total = sum(one.count for one in bins)
    return sum(one.count * abs(one.observed - one.predicted) for one in bins) / total


def mean_bins(models: Sequence[Sequence[Bin]], level: float = 0.95) -> tuple[Bin, ...]:
    """Return the bins of several models as one: means, place by place.

    A place is left out of a model that has no image there, for its ties. The interval is that of
    one model's number of images: the models are of the same patients, and no more of them.
    """
    found = []
    for place in sorted({one.place for bins in models for one in bins}):
        here = [one for bins in models for one in bins if one.place == place]
        predicted, observed, count = (
            float(np.mean([getattr(one, key) for one in here]))
            for key in ("predicted", "observed", "count")
        )
        found.append(
            Bin(place, predicted, observed, round(count), wilson(observed * count, count, level))
        )
    return tuple(found)


def fit_temperature(target_val: ArrayLike, probs_val: ArrayLike) -> float:
    """Return the temperature with the lowest cross-entropy, nan where none is (`NO_TEMPERATURE`).

    Args:
        target_val: (N, L) in {0, 1, nan}, of validation images; nan is left out.
        probs_val: (N, L) in [0, 1].

    Returns:
        One number > 0 for all labels; above 1 the probabilities were too extreme.

    Raises:
        RunError: a probability is not finite.
        ValueError: the arrays do not agree, or are out of range.

    >>> round(fit_temperature([[0], [0], [1]], [[0.8], [0.8], [0.8]]), 3)  # 2 of 3 negative
    nan
    >>> # logit(0.8) = 2 ln 2 and logit(2/3) = ln 2: two in three at 0.8 are half as sure
    >>> round(fit_temperature([[0], [1], [1]], [[0.8], [0.8], [0.8]]), 3)
    2.0
    """
    truth, chance = check_probs(target_val, probs_val)
    known = ~np.isnan(truth)
    y, x = truth[known], to_logit(chance[known])

    def slope(inverse: float) -> float:
        """Return how fast the cross-entropy rises with 1/temperature; itself rising (convex)."""
        return float(np.mean(x * (expit(inverse * x) - y)))

    if not len(y) or not slope(1 / _FLATTEST) < 0 < slope(1 / _SHARPEST):
        return _NAN
    return 1 / root(slope, 1 / _FLATTEST, 1 / _SHARPEST, 1e-12)


def tempered(probs: ArrayLike, temperature: float) -> FloatArray:
    """Return the probabilities with their logits divided by the temperature.

    Args:
        probs: any shape, in [0, 1].
        temperature: > 0.

    Raises:
        ValueError: a temperature or probability out of range.

    >>> tempered([0.5, 0.8], 2.0).round(3)
    array([0.5  , 0.667])
    """
    chance = np.asarray(probs, dtype=np.float64)
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be finite and > 0, got {temperature}")
    if not np.all((chance >= 0) & (chance <= 1)):
        raise ValueError("probs must be in [0, 1]")
    result: FloatArray = expit(to_logit(chance) / temperature)
    return result


def wilson(hits: float, count: float, level: float) -> Interval:
    """Return Wilson's score interval of the proportion hits / count.

    >>> low, high = wilson(5, 10, 0.95)
    >>> round(low, 4), round(high, 4)
    (0.2366, 0.7634)
    """
    z = float(ndtri((1 + level) / 2))
    centre = (hits + z**2 / 2) / (count + z**2)
    half = z * np.sqrt(hits * (count - hits) / count + z**2 / 4) / (count + z**2)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def check_probs(target: ArrayLike, probs: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return targets and probabilities as float64, once they agree and are in range.

    Raises:
        RunError: a probability is not finite.
        ValueError: the arrays do not agree, or are out of range.
    """
    truth, chance = check_scores(target, probs)
    if not np.all((chance >= 0) & (chance <= 1)):
        raise ValueError("probs must be in [0, 1]")
    return truth, chance


def bin_places(chance: FloatArray, bins: int) -> NDArray[np.intp]:
    """Return (N,) the bin of each image, from 0: of equal mass, cut at quantiles.

    They are cut as scikit-learn's `calibration_curve` does; ties stay together.

    >>> bin_places(np.array([0.1, 0.9, 0.2, 0.8]), 2)
    array([0, 1, 0, 1])
    """
    edges = np.percentile(chance, np.linspace(0, 1, bins + 1) * 100)
    return np.searchsorted(edges[1:-1], chance)


def _bins(truth: FloatArray, chance: FloatArray, bins: int, level: float) -> tuple[Bin, ...]:
    """Return the bins that hold an image."""
    place = bin_places(chance, bins)
    count = np.bincount(place, minlength=bins)
    hits = np.bincount(place, weights=truth, minlength=bins)
    total = np.bincount(place, weights=chance, minlength=bins)
    return tuple(
        Bin(
            place=int(row),
            predicted=float(total[row] / count[row]),
            observed=float(hits[row] / count[row]),
            count=int(count[row]),
            ci=wilson(int(hits[row]), int(count[row]), level),
        )
        for row in np.flatnonzero(count)
    )
