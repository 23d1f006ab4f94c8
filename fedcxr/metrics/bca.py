"""Intervals from resampled values: the plain percentile, and BCa, which mends its two faults.

The percentile interval is off where the resamples lie to one side of the value, and where the
spread changes with the value. BCa moves its two quantiles for both: by the share of resamples
below the value (`z0`) and by the skewness of the leave-one-patient-out values (`a`). It cannot
mend having hardly any positives. What leaves it nothing to go by gives nan and the reason.

Sources: Efron 1987, "Better Bootstrap Confidence Intervals"; Efron and Tibshirani 1993, chapter
14, equations 14.9 to 14.15.
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from fedcxr.metrics.auroc import FloatArray, Interval

_NOTHING: Interval = (float("nan"), float("nan"))
_ROUNDING = 1e-12  # areas and their differences nearer than this are the same number


def percentile(draws: ArrayLike, level: float) -> Interval:
    """Return the quantiles that leave `level` of the draws between them, nan where none is left.

    Args:
        draws: (R,) resampled values; nan = lost, left out.
        level: in (0, 1).

    Raises:
        ValueError: a level out of range.

    >>> percentile([0.0, 1.0, 2.0, float("nan"), 3.0, 4.0], 0.5)
    (1.0, 3.0)
    """
    return _quantiles(_kept(draws), (1 - _checked(level)) / 2, (1 + level) / 2)


def bca(
    value: float, draws: ArrayLike, jackknife: ArrayLike, level: float
) -> tuple[Interval, str | None]:
    """Return the bias-corrected and accelerated interval, or nan bounds with the reason.

    Args:
        value: on the full set; an area, or a difference of two.
        draws: (R,) resampled values; nan = lost, left out.
        jackknife: (P,) the value without each patient; nan is left out.
        level: in (0, 1).

    Raises:
        ValueError: a level out of range.

    >>> bca(0.5, [0.2, 0.4, 0.5, 0.6, 0.8], [0.4, 0.5, 0.6], 0.5)  # no bias, no skewness
    ((0.4, 0.6), None)
    """
    _checked(level)
    kept, without = _kept(draws), _kept(jackknife)
    if np.isnan(value):
        return _NOTHING, "no interval: there is no value"
    if len(without) < 2:
        return _NOTHING, "no interval: fewer than two patients can be left out"
    if not len(kept):
        return _NOTHING, "no interval: no resample has both classes"
    if kept.max() - kept.min() <= _ROUNDING:
        return _NOTHING, "no interval: every resample gives the same value"
    over = kept - value
    ties = np.count_nonzero(np.abs(over) <= _ROUNDING)
    share = (np.count_nonzero(over < -_ROUNDING) + ties / 2) / len(kept)
    if not 0 < share < 1:
        return _NOTHING, "no interval: all resamples lie on the same side of the value"
    z0, a = float(ndtri(share)), acceleration(without)
    low, high = (_moved(tail, z0, a) for tail in ((1 - level) / 2, (1 + level) / 2))
    return _quantiles(kept, low, high), None


def acceleration(jackknife: FloatArray) -> float:
    """Return BCa's `a`, a sixth of the skewness of the leave-one-out values; 0 if all are alike.

    Args:
        jackknife: (P,) without nan.

    Source: Efron and Tibshirani 1993, equation 14.15.

    >>> round(acceleration(np.array([0.0, 0.0, 3.0])), 4)  # 1, 1, -2: -6 / (6 · 6^1.5)
    -0.068
    """
    away = jackknife.mean() - jackknife
    square = float(np.sum(away**2))
    if square <= _ROUNDING**2 * len(jackknife):
        return 0.0
    return float(np.sum(away**3)) / (6 * square * math.sqrt(square))


def _moved(tail: float, z0: float, a: float) -> float:
    """Return where BCa puts the quantile `tail`, equation 14.10, in [0, 1].

    Beyond the pole at a · (z0 + z) = 1 the formula turns back; the limit before it is kept.
    """
    z = z0 + float(ndtri(tail))
    if a * z >= 1:
        return 1.0 if z > 0 else 0.0
    return float(ndtr(z0 + z / (1 - a * z)))


def _quantiles(kept: FloatArray, low: float, high: float) -> Interval:
    if not len(kept):
        return _NOTHING
    first, last = np.quantile(kept, [low, high])
    return float(first), float(last)


def _kept(values: ArrayLike) -> FloatArray:
    found = np.asarray(values, dtype=np.float64)
    return found[~np.isnan(found)]


def _checked(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    return level
