"""How sure calibration is: intervals of Brier score, slope, intercept and ECE over the patients.

The first three are smooth, so the patient jackknife gives their variance: how far each moves when
all images of a patient are left out, in closed form, with the slope and intercept taken one Newton
step from the fit. Quantiles are Student's t, whose degrees of freedom are Satterthwaite's: as many
as there are patients, less one, who could have moved the number much (`macro_difference` has the
formula). With a rare finding these are the patients who have it, not all of the test set.

The ECE is not smooth, and biased upwards: it is a mean of absolute values, so noise in a bin never
cancels, and a model without any error has an ECE above 0. Resampling adds the noise once more, so
its percentile interval lies too high as well: above 0 always, and in half of the studies of a model
that is right above the ECE itself. It says how far the number moves with other patients, not where
the true error lies: in simulated studies of 120 patients it held that in 87 % where the error was
large, and in 14 to 19 % where it was near the noise. Not for telling whether a model is calibrated:
slope, intercept and the reliability diagram do.

Sources: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", equation 11.5 (jackknife)
and chapter 13 (percentile); Pregibon 1981, "Logistic Regression Diagnostics", Annals of Statistics
9, 705-724 (one step); Bröcker 2012, Climate Dynamics 39, 655-667 (bias of binned reliability).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, stdtrit

from fedcxr.metrics.areas import ratio
from fedcxr.metrics.auroc import FloatArray, Interval
from fedcxr.metrics.calibration import (
    BINS,
    Bin,
    Calibration,
    bin_places,
    calibration,
    check_probs,
)
from fedcxr.metrics.calibration_line import fit_line, missing_class, to_logit
from fedcxr.metrics.confusion import Estimate, check_draws, estimate
from fedcxr.metrics.resampling import group, patient_weights

_AT_ONCE = 128  # resamples in one product
_UNIT = 2.0**-30
"""What probabilities are rounded to in the resamples of the ECE: their sums are then exact, and so
the same for any number of threads."""
_ALONE = 1e-10
"""Share of the information about the slope that must be left without any one patient."""
_ROUNDING = 1e-12
"""A standard error below this is none."""
_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class TEstimate:
    """A number with the interval of Student's t."""

    value: float  # nan if it cannot be computed
    ci: Interval | None
    reason: str | None  # why `value` is nan or `ci` None; None if there is nothing to explain
    se: float = _NAN  # standard error, nan without an interval
    df: float = _NAN  # degrees of freedom, nan without an interval


@dataclass(frozen=True, slots=True)
class CalibrationEstimates:
    """The calibration of one label; `Calibration` says what each number is."""

    brier: TEstimate
    ece: Estimate
    slope: TEstimate
    intercept: TEstimate
    bins: tuple[Bin, ...]
    reason: str | None  # why there is no slope, None if there is one


def calibration_estimates(
    target: ArrayLike,
    probs: ArrayLike,
    patient_id: ArrayLike,
    *,
    resamples: int,
    seed: int,
    level: float = 0.95,
) -> tuple[CalibrationEstimates, ...]:
    """Return the calibration of each label, with intervals.

    There is no interval, and the reason says so, where a class is missing or all of one patient.

    Args:
        target: (N, L) in {0, 1, nan}; nan is left out.
        probs: (N, L) in [0, 1].
        patient_id: (N,) whose image each row is.
        resamples: of the ECE: how many times the patients are drawn, the same draws for all labels.
        seed: root seed of the draws.
        level: of the intervals.

    Raises:
        RunError: a probability is not finite.
        ValueError: arrays that do not agree, or a number out of range.
    """
    truth, chance = check_probs(target, probs)
    if truth.ndim != 2:
        raise ValueError(f"calibration_estimates takes (N, L), got {truth.shape}")
    patient = check_draws(len(truth), patient_id, resamples, level)
    eces = _resampled_eces(truth, chance, patient, resamples, seed)
    return tuple(
        _of_label(truth[:, column], chance[:, column], patient, eces[:, column], level)
        for column in range(truth.shape[1])
    )


@dataclass(frozen=True, slots=True)
class _Label:
    """The N known images of a label, of P patients."""

    truth: FloatArray  # (N,)
    chance: FloatArray  # (N,)
    patient: NDArray[np.intp]  # (N,) in 0 to P - 1, each of them met

    def by_class(self, values: FloatArray) -> FloatArray:
        """Return (2, P) the sums over each patient's positives, and negatives."""
        num_patients = int(self.patient.max()) + 1
        return np.array(
            [
                np.bincount(self.patient[rows], values[rows], minlength=num_patients)
                for rows in (self.truth == 1, self.truth == 0)
            ]
        )

    def left_out(self, values: FloatArray) -> FloatArray:
        """Return (P,) the sum over all images but each patient's."""
        own = self.by_class(values).sum(axis=0)
        rest: FloatArray = own.sum() - own
        return rest


def _of_label(
    truth: FloatArray,
    chance: FloatArray,
    patient: NDArray[np.intp],
    eces: FloatArray,
    level: float,
) -> CalibrationEstimates:
    """Return what `calibration_estimates` does for one label, from (N,) each and (R,) ECEs."""
    found = calibration(truth, chance, level=level)
    known = ~np.isnan(truth)
    if not known.any():
        none = TEstimate(_NAN, None, found.reason)
        ece = Estimate(_NAN, None, found.reason)
        return CalibrationEstimates(none, ece, none, none, (), found.reason)
    label = _Label(truth[known], chance[known], group(patient[known]))
    why = _no_interval(label)
    if why:
        lacking = missing_class(label.truth)
        slope = TEstimate(found.slope, None, found.reason or why)
        intercept = TEstimate(found.intercept, None, f"no intercept: {lacking}" if lacking else why)
        brier, ece = TEstimate(found.brier, None, why), Estimate(found.ece, None, why)
    else:
        brier, intercept = _brier(label, found, level), _intercept(label, found, level)
        slope, ece = _slope(label, found, level), estimate(found.ece, eces, level)
    return CalibrationEstimates(brier, ece, slope, intercept, found.bins, found.reason)


def _no_interval(label: _Label) -> str | None:
    """Return why patients that are drawn or left out cannot tell how sure the numbers are."""
    if lacking := missing_class(label.truth):
        return f"no interval: {lacking}"
    for state, name in ((1, "positives"), (0, "negatives")):
        if len(np.unique(label.patient[label.truth == state])) < 2:
            return f"no interval: all {name} are of one patient"
    return None


def _brier(label: _Label, found: Calibration, level: float) -> TEstimate:
    """Return it with an interval inside 0 to 1; leaving a patient out is exact."""
    squares = (label.chance - label.truth) ** 2
    moved = label.by_class(squares - found.brier) / label.left_out(np.ones(len(squares)))
    whole = _by_t(label, found.brier, moved, level)
    if whole.ci is None:
        return whole
    return replace(whole, ci=(max(0.0, whole.ci[0]), min(1.0, whole.ci[1])))


def _intercept(label: _Label, found: Calibration, level: float) -> TEstimate:
    fitted = expit(found.intercept + to_logit(label.chance))
    moved = label.by_class(label.truth - fitted) / label.left_out(fitted * (1 - fitted))
    return _by_t(label, found.intercept, moved, level)


def _slope(label: _Label, found: Calibration, level: float) -> TEstimate:
    x = to_logit(label.chance)
    line = fit_line(label.truth, x)
    if line.reason:
        return TEstimate(_NAN, None, line.reason)
    fitted = expit(line.height + line.slope * x)
    rest, weight, z = label.truth - fitted, fitted * (1 - fitted), x - x.mean()
    # One Newton step: the information without the patient, inverted, times the patient's score.
    h00, h01, h11 = (label.left_out(weight * power) for power in (np.ones(len(z)), z, z * z))
    determinant = h00 * h11 - h01**2
    if not determinant.min() > _ALONE * weight.sum() * np.sum(weight * z * z):
        return TEstimate(found.slope, None, "no interval: one patient decides it")
    moved = (h00 * label.by_class(rest * z) - h01 * label.by_class(rest)) / determinant
    return _by_t(label, found.slope, moved, level)


def _by_t(label: _Label, value: float, moved: FloatArray, level: float) -> TEstimate:
    """Return the number with the interval of Student's t.

    Args:
        label: whose number it is.
        value: of all patients.
        moved: (2, P) how far leaving out a patient's positives, and negatives, moves it; the sign
            is turned. A patient has moved it by the sum of both.
        level: of the interval.
    """
    influence = moved.sum(axis=0)
    num_patients = len(influence)
    spread = float(np.sum((influence - influence.mean()) ** 2))
    se = math.sqrt((num_patients - 1) / num_patients * spread)
    if not se > _ROUNDING:
        return TEstimate(value, None, "no interval: no patient moves it")
    # A patient's share of the variance: of that of a class, by the share of the class's images.
    images = label.by_class(np.ones(len(label.truth)))
    of_class = np.sum(moved**2, axis=1, keepdims=True)
    shares = np.sum(of_class * images / images.sum(axis=1, keepdims=True), axis=0)
    df = max(1.0, float(shares.sum() ** 2 / np.sum(shares**2)) - 1)
    half = float(stdtrit(df, (1 + level) / 2)) * se
    return TEstimate(value, (value - half, value + half), None, se, df)


def _resampled_eces(
    truth: FloatArray, chance: FloatArray, patient: NDArray[np.intp], resamples: int, seed: int
) -> FloatArray:
    """Return (R, L) the ECE of each label in each resample, nan where no known image is left.

    The bins are those of the full set. In each, observed minus predicted, times the images, is a
    sum over patients, so all resamples are one matrix product.
    """
    num_patients, num_labels = int(patient.max()) + 1, truth.shape[1]
    apart = np.zeros((num_patients, num_labels, BINS))
    images = np.zeros((num_patients, num_labels))
    for column in range(num_labels):
        known = ~np.isnan(truth[:, column])
        if not known.any():
            continue
        said, whose = chance[known, column], patient[known]
        cell = whose * BINS + bin_places(said, BINS)
        off = truth[known, column] - np.round(said / _UNIT) * _UNIT
        sums = np.bincount(cell, off, minlength=num_patients * BINS)
        apart[:, column] = sums.reshape(num_patients, BINS)
        images[:, column] = np.bincount(whose, minlength=num_patients)
    found = []
    for times in patient_weights(num_patients, resamples, seed, at_once=_AT_ONCE):
        drawn = times.astype(np.float64)
        off = np.abs(drawn @ apart.reshape(num_patients, -1)).reshape(-1, num_labels, BINS)
        found.append(ratio(off.sum(axis=-1), drawn @ images))
    return np.concatenate(found)
