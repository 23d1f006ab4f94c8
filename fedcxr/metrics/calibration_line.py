"""Logistic regressions of the truth on a model's own logit: in which way its probabilities are off.

The slope is of the line fitted freely: 1 is right, below 1 the probabilities are too extreme. The
intercept is that of the line whose slope is held at 1, calibration-in-the-large: 0 is right, above
0 the probabilities are too low on average. The intercept of the free line says neither: it is the
height at a probability of one half, so a model that is right on average and twice too sharp has one
far from 0. Not for recalibrating a model: see `fit_temperature`.

Sources: Cox 1958, "Two further applications of a model for binary regression"; Van Calster et al.
2019, "Calibration: the Achilles heel of predictive analytics", BMC Medicine 17, 230 (slope, and
intercept with the logit as an offset).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from fedcxr.metrics.auroc import FloatArray
from fedcxr.metrics.root import root

_FLOOR = 1e-7  # probabilities are kept this far from 0 and 1: float32 sigmoids do reach them
_MAX_STEPS = 100  # Newton needs about 8
_TOLERANCE = 1e-12  # of the mean gradient
_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Line:
    """The truth's logit as a line in the model's logit, both of its numbers fitted."""

    slope: float  # nan if there is none
    height: float  # where the model's logit is 0; of the fit's own use, it is not reported
    reason: str | None = None  # why there is none


def to_logit(chance: FloatArray) -> FloatArray:
    """Return the logits of probabilities in [0, 1], finite."""
    result: FloatArray = logit(np.clip(chance, _FLOOR, 1 - _FLOOR))
    return result


def missing_class(truth: FloatArray) -> str | None:
    """Return which class no known target has, None if both are there.

    >>> missing_class(np.array([0.0, 0.0])), missing_class(np.array([0.0, 1.0]))
    ('no known positive', None)
    """
    for state, name in ((1, "positive"), (0, "negative")):
        if state not in truth:
            return f"no known {name}"
    return None


def fit_line(truth: FloatArray, x: FloatArray) -> Line:
    """Return the line of highest likelihood.

    Args:
        truth: (N,) in {0, 1}.
        x: (N,) finite logits.
    """
    if lacking := missing_class(truth):
        return Line(_NAN, _NAN, f"no slope: {lacking}")
    if x.min() == x.max():
        return Line(_NAN, _NAN, "no slope: all probabilities are the same")
    positive, negative = x[truth == 1], x[truth == 0]
    if negative.max() <= positive.min() or positive.max() <= negative.min():
        return Line(_NAN, _NAN, "no slope: the probabilities separate the classes")
    return _newton(x, truth) or Line(_NAN, _NAN, "no slope: the fit did not converge")


def fit_intercept(truth: FloatArray, x: FloatArray) -> float:
    """Return the intercept of highest likelihood with slope 1, nan without both classes.

    It is the one number that, added to every logit, makes the mean probability the share of
    positives.

    Args:
        truth: (N,) in {0, 1}.
        x: (N,) finite logits.

    >>> x = np.array([0.0, 0.0, 0.0, 0.0])  # one half is said, three in four are positive: ln 3
    >>> round(fit_intercept(np.array([0.0, 1.0, 1.0, 1.0]), x), 6)
    1.098612
    """
    if missing_class(truth):
        return _NAN
    share = truth.mean()

    def shortfall(intercept: float) -> float:
        """Return how far the mean probability stays below the share of positives."""
        return float(share - np.mean(expit(intercept + x)))

    # With all logits moved to at most that of the share it is too low, with at least that too high.
    middle = float(logit(share))
    return root(shortfall, middle - x.max() - 1, middle - x.min() + 1, 1e-12)


def _newton(x: FloatArray, y: FloatArray) -> Line | None:
    """Return the line of highest likelihood by Newton's steps, halved where too long.

    No matrix library is asked: the last bits would depend on its number of threads.
    """
    centre, scale = x.mean(), x.std()
    z = (x - centre) / scale
    intercept, slope, loss = 0.0, 0.0, float(np.log(2))
    for _ in range(_MAX_STEPS):
        chance = expit(intercept + slope * z)
        rest, weight = y - chance, chance * (1 - chance)
        g0, g1 = rest.mean(), (rest * z).mean()
        if max(abs(g0), abs(g1)) < _TOLERANCE:
            return Line(float(slope / scale), float(intercept - slope * centre / scale))
        h00, h01, h11 = weight.mean(), (weight * z).mean(), (weight * z * z).mean()
        det = h00 * h11 - h01**2
        if not det > 0:
            return None
        d0, d1 = (h11 * g0 - h01 * g1) / det, (h00 * g1 - h01 * g0) / det
        before = loss + _TOLERANCE  # near the end a step may cost what rounding costs
        while (loss := _loss(intercept + d0 + (slope + d1) * z, y)) > before:
            d0, d1 = d0 / 2, d1 / 2
        intercept, slope = intercept + d0, slope + d1
    return None


def _loss(logits: FloatArray, y: FloatArray) -> float:
    """Return the mean cross-entropy in nats."""
    return float(np.mean(np.logaddexp(0, logits) - y * logits))
