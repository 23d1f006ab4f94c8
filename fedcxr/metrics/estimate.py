"""A number with its standard error over patients, and Student's t intervals of it.

Two sources of chance stand behind a difference of two ways of training: the patients drawn for the
test set, and the trainings drawn (seeds). Each has a variance of its own, known with degrees of
freedom of its own. Their interval takes each part with its own quantile of Student's t,

    half² = t²(S − 1) · s² / S + t²(df) · v        s²: over S trainings, v: over patients

(Cochran 1964, Biometrics 20, 191-195, as squares; Zou and Donner 2008, Statistics in Medicine 27,
1693-1702, call such sums MOVER). Where one part is 0 it is that part's exact t interval.
Satterthwaite's degrees of freedom for the sum give 88 to 95 % coverage at 2 and 92 to 95 % at 3
seeds where the trainings' part is large; this gives 95 to 98 %.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from fedcxr.metrics.auroc import Interval
from fedcxr.metrics.root import root

MIN_SEEDS = 2
"""A variance over trainings needs two of them."""


class Part(NamedTuple):
    """One source of chance of an estimate."""

    variance: float  # of the estimate itself, not negative
    df: float  # degrees of freedom that it is known with; inf = exactly


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval, or the reason for having none."""

    value: float  # nan where not defined
    ci: Interval | None
    reason: str | None  # why there is no value or no interval
    parts: tuple[Part, ...] = ()  # patients, then trainings if they are in it; empty without `ci`

    @property
    def se(self) -> float:
        """Its standard error, of all parts together; nan without an interval."""
        return math.sqrt(sum(p.variance for p in self.parts)) if self.parts else math.nan

    @property
    def p(self) -> float:
        """Two-sided p value of the value being 0; nan without an interval."""
        return p_value(self.value, self.parts) if self.parts else math.nan


def symmetric(value: float, parts: tuple[Part, ...], level: float) -> Estimate:
    """Return a value with its interval, half a width to either side."""
    half = half_width(parts, level)
    return Estimate(value, (value - half, value + half), None, parts)


def bounded(value: float, part: Part, level: float) -> Estimate:
    """Return a value between 0 and 1 with its score interval, which stays between them.

    The variance at another value θ is taken as v · θ (1 − θ) / (value (1 − value)), and the ends
    are where |value − θ| is t standard errors at θ (Wilson 1927, JASA 22, 209-212, with Student's t
    and as many trials as give that variance). Near 1 a symmetric interval reaches beyond 1, and one
    of the logit holds too seldom: where the value came out high its variance came out small. At 0
    or 1 itself there is no interval.

    >>> found = bounded(0.9, Part(0.0009, 30.0), 0.95)  # as of 100 trials, t = 2.042
    >>> [round(bound, 3) for bound in found.ci]
    [0.822, 0.946]
    """
    if not 0 < value < 1:
        return Estimate(value, None, f"no interval: it is {value:g} itself, whoever is left out")
    per_trial = half_width((part,), level) ** 2 / (value * (1 - value))  # t² / trials
    return Estimate(value, _score_interval(value, per_trial), None, (part,))


def bounded_share(value: float, part: Part, level: float, *, patients: float) -> Estimate:
    """Return a share of images with its score interval, at 0 and 1 too.

    As in `bounded_auroc` the jackknife's variance is averaged with another, which counts as much as
    two patients: that of a share of so many independent patients. A share of 0 or 1, which no
    patient moves, has the latter alone: as wide as if all images of a patient were one.

    Args:
        value: in [0, 1].
        part: its variance over patients, 0 for a share of 0 or 1.
        level: of the interval.
        patients: that the share is of, as many as would tell as much had all as many images.

    >>> found = bounded_share(1.0, Part(0.0, 11.0), 0.95, patients=12.0)  # 12 / (12 + 2.201²)
    >>> [round(bound, 3) for bound in found.ci]
    [0.712, 1.0]
    """
    is_inside = 0 < value < 1
    few = patients if is_inside else 0.0
    per_spread = part.variance / (value * (1 - value)) if is_inside else 0.0
    spread = (few * per_spread + 2 / patients) / (few + 2)  # 1 / trials
    per_trial = half_width((Part(1.0, part.df),), level) ** 2 * spread
    return Estimate(value, _score_interval(value, per_trial), None, (part,))


def bounded_auroc(
    value: float, part: Part, level: float, *, positives: int, negatives: int
) -> Estimate:
    """Return one label's AUROC with its score interval.

    Of few patients the variance comes out small where the AUROC came out high. So the jackknife's
    is averaged with that of exponential scores at θ (Hanley and McNeil 1982, Radiology 143, 29-36,
    as in method 5 of Newcombe 2006, Statistics in Medicine 25, 559-573), which counts as much as
    two patients of the rarer class. The two patients are our own: with them the interval held from
    ten on. A perfect AUROC has the latter variance alone.

    Args:
        value: in [0, 1].
        part: its variance over patients, 0 for a perfect one.
        level: of the interval.
        positives: patients with the finding.
        negatives: patients without it.

    >>> found = bounded_auroc(1.0, Part(0.0, 10.0), 0.95, positives=12, negatives=40)
    >>> [round(bound, 3) for bound in found.ci]
    [0.827, 1.0]
    """
    is_inside = 0 < value < 1
    few = min(positives, negatives) if is_inside else 0
    per_spread = part.variance / (value * (1 - value)) if is_inside else 0.0
    quantile = half_width((Part(1.0, part.df),), level)

    def beyond(theta: float) -> float:
        theirs = _exponential_variance(theta, positives, negatives)
        variance = (few * per_spread * theta * (1 - theta) + 2 * theirs) / (few + 2)
        return abs(value - theta) - quantile * math.sqrt(variance)

    tiny = 1e-9
    low = root(beyond, tiny, min(value, 1 - tiny)) if beyond(tiny) > 0 else 0.0
    high = root(beyond, max(value, tiny), 1 - tiny) if beyond(1 - tiny) > 0 else 1.0
    return Estimate(value, (low, high), None, (part,))


def with_trainings(patients: Estimate, by_seed: ArrayLike, level: float) -> Estimate:
    """Return the same mean over trainings, with an interval for other patients and trainings.

    Args:
        patients: a mean over the trainings' models, with its interval over patients.
        by_seed: (S,) what each training gave; their mean is the value.
        level: of the interval, in (0, 1).

    >>> patients = symmetric(0.01, (Part(0.0001, math.inf),), 0.95)
    >>> found = with_trainings(patients, [0.0, 0.02], 0.95)  # s² / S = 0.0002 / 2, t(1) = 12.71
    >>> round(found.ci[1], 4)
    0.1386
    """
    each = np.asarray(by_seed, dtype=np.float64)
    if each.ndim != 1 or not np.allclose(each.mean(), patients.value, atol=1e-9, equal_nan=True):
        raise ValueError(f"need (S,) values whose mean is {patients.value}, got {each}")
    if patients.ci is None:
        return patients
    if len(each) < MIN_SEEDS:
        reason = f"1 training of each arm: at least {MIN_SEEDS} are needed"
        return replace(patients, ci=None, parts=(), reason=reason)
    trainings = Part(float(each.var(ddof=1)) / len(each), len(each) - 1.0)
    return symmetric(patients.value, (*patients.parts, trainings), level)


def over_folds(by_fold: ArrayLike, test_share: float, level: float) -> Estimate:
    """Return the mean over the folds of a cross-validation, for other patients and trainings.

    Two folds' models have most of their training patients in common, so that their values are no
    independent looks, and s² / K is too small. The variance of the mean is taken as

        (1 / K + test patients / training patients) · s²,        with K - 1 degrees of freedom.

    Nothing is added for the patients: each is tested in one fold, so their chance is in s² whole.

    Args:
        by_fold: (K,) the difference found in each fold.
        test_share: patients that a fold tests over those that its models were trained on.
        level: of the interval, in (0, 1).

    Source: Nadeau and Bengio 2003, "Inference for the Generalization Error", Machine Learning 52,
    239-281, section 4.1 (corrected resampled t), with the folds as its draws as in Bouckaert and
    Frank 2004, PAKDD, 3-12.

    >>> found = over_folds([0.00, 0.01, 0.02], 0.5, 0.95)  # (1/3 + 1/2) · 0.0001, t(2) = 4.303
    >>> round(found.se, 6), round(found.ci[1], 5)
    (0.009129, 0.04928)
    """
    each = np.asarray(by_fold, dtype=np.float64)
    if each.ndim != 1 or len(each) < MIN_SEEDS or not test_share > 0:
        raise ValueError(f"need (K,) values of 2 folds or more, a share > 0: {each}, {test_share}")
    variance = (1 / len(each) + test_share) * float(each.var(ddof=1))
    return symmetric(float(each.mean()), (Part(variance, len(each) - 1.0),), level)


def half_width(parts: Sequence[Part], level: float) -> float:
    """Return half the width of the symmetric interval that these parts give together.

    Raises:
        ValueError: a level out of range, or a variance below 0.
    """
    if not 0 < level < 1 or not all(part.variance >= 0 for part in parts):
        raise ValueError(f"need 0 < level < 1 and variances >= 0: {level}, {list(parts)}")
    return _half(parts, (1 - level) / 2)


def p_value(value: float, parts: Sequence[Part]) -> float:
    """Return 1 minus the level at which an end of the interval is 0.

    >>> round(p_value(1.96, [Part(1.0, math.inf)]), 4)
    0.05
    """
    apart = abs(value)
    if not apart:
        return 1.0
    if not _half(parts, 0.0) > apart:  # no part varies
        return 0.0

    def beyond(log_tail: float) -> float:
        return _half(parts, math.exp(log_tail)) - apart

    least, most = -230.0, math.log(0.5)  # below 1e-100 a p value is 0; t²(1) would overflow
    if beyond(least) < 0:
        return 0.0
    return 2 * math.exp(root(beyond, least, most, 1e-12))


def _score_interval(value: float, per_trial: float) -> Interval:
    """Return Wilson's interval, per_trial being the squared quantile over the trials."""
    middle = value + per_trial / 2
    half = math.sqrt(per_trial * value * (1 - value) + per_trial**2 / 4)
    low, high = ((middle + side * half) / (1 + per_trial) for side in (-1, 1))
    return low, high


def _exponential_variance(auroc: float, positives: int, negatives: int) -> float:
    """Return the variance of an AUROC of exponential scores (Hanley and McNeil 1982, eq. 1, 2)."""
    first, second = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    spread = (positives - 1) * (first - auroc**2) + (negatives - 1) * (second - auroc**2)
    return (auroc * (1 - auroc) + spread) / (positives * negatives)


def _half(parts: Sequence[Part], tail: float) -> float:
    """Return half the width at which so much lies beyond either end."""
    total = 0.0
    for variance, df in parts:
        quantile = -special.ndtri(tail) if math.isinf(df) else -special.stdtrit(df, tail)
        total += variance * quantile**2 if variance else 0.0
    return math.sqrt(total)
