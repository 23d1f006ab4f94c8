"""How sure calibration is: intervals of Brier score, slope, intercept and ECE over the patients.

The first three are smooth, so the patient jackknife gives their variance: how far each moves when
all images of a patient are left out, in closed form, with the slope and intercept taken one Newton
step from the fit. Quantiles are Student's t, whose degrees of freedom are Satterthwaite's: as many
as there are patients, less one, who could have moved the number much (`scored_models` has the
formula). With a rare finding these are the patients who have it, not all of the test set.

The ECE has none. It is a mean of absolute values, so noise in a bin never cancels: a model without
any error has an ECE above 0. Resampling patients adds the noise once more; its percentile interval
held the true error in 87 % of simulated studies of 120 patients where that was large, and in 14 to
19 % where it was near the noise. Slope, intercept and the reliability diagram say whether a model
is calibrated.

Sources: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", equation 11.5 (jackknife);
Pregibon 1981, "Logistic Regression Diagnostics", Annals of Statistics 9, 705-724 (one step);
Bröcker 2012, Climate Dynamics 39, 655-667 (bias of binned reliability).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from fedcxr.metrics.auroc import FloatArray
from fedcxr.metrics.calibration import (
    Bin,
    Calibration,
    calibration,
    check_probs,
)
from fedcxr.metrics.calibration_line import fit_line, missing_class, to_logit
from fedcxr.metrics.confusion import check_draws
from fedcxr.metrics.estimate import Estimate, Part, symmetric
from fedcxr.metrics.resampling import group

NO_ECE_INTERVAL = "no interval: it is biased upward, and none held in simulated studies"
_ALONE = 1e-10
"""Share of the information about the slope that must be left without any one patient."""
_ROUNDING = 1e-12
"""A standard error below this is none."""
_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class CalibrationEstimates:
    """The calibration of one label; `Calibration` says what each number is."""

    brier: Estimate
    ece: Estimate
    slope: Estimate
    intercept: Estimate
    bins: tuple[Bin, ...]
    reason: str | None  # why there is no slope, None if there is one


def calibration_estimates(
    target: ArrayLike,
    probs: ArrayLike,
    patient_id: ArrayLike,
    *,
    level: float = 0.95,
) -> tuple[CalibrationEstimates, ...]:
    """Return the calibration of each label, with intervals.

    There is no interval, and the reason says so, where a class is missing or all of one patient.

    Args:
        target: (N, L) in {0, 1, nan}; nan is left out.
        probs: (N, L) in [0, 1].
        patient_id: (N,) whose image each row is.
        level: of the intervals.

    Raises:
        RunError: a probability is not finite.
        ValueError: arrays that do not agree, or a number out of range.
    """
    truth, chance = check_probs(target, probs)
    if truth.ndim != 2:
        raise ValueError(f"calibration_estimates takes (N, L), got {truth.shape}")
    patient = check_draws(len(truth), patient_id, 1, level)
    return tuple(
        _of_label(truth[:, column], chance[:, column], patient, level)
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
    level: float,
) -> CalibrationEstimates:
    """Return what `calibration_estimates` does for one label, from (N,) each."""
    found = calibration(truth, chance, level=level)
    known = ~np.isnan(truth)
    if not known.any():
        none = Estimate(_NAN, None, found.reason)
        ece = Estimate(_NAN, None, found.reason)
        return CalibrationEstimates(none, ece, none, none, (), found.reason)
    label = _Label(truth[known], chance[known], group(patient[known]))
    why = _no_interval(label)
    if why:
        lacking = missing_class(label.truth)
        slope = Estimate(found.slope, None, found.reason or why)
        intercept = Estimate(found.intercept, None, f"no intercept: {lacking}" if lacking else why)
        brier, ece = Estimate(found.brier, None, why), Estimate(found.ece, None, why)
    else:
        brier, intercept = _brier(label, found, level), _intercept(label, found, level)
        slope, ece = _slope(label, found, level), Estimate(found.ece, None, NO_ECE_INTERVAL)
    return CalibrationEstimates(brier, ece, slope, intercept, found.bins, found.reason)


def _no_interval(label: _Label) -> str | None:
    """Return why patients that are drawn or left out cannot tell how sure the numbers are."""
    if lacking := missing_class(label.truth):
        return f"no interval: {lacking}"
    for state, name in ((1, "positives"), (0, "negatives")):
        if len(np.unique(label.patient[label.truth == state])) < 2:
            return f"no interval: all {name} are of one patient"
    return None


def _brier(label: _Label, found: Calibration, level: float) -> Estimate:
    """Return it with an interval inside 0 to 1; leaving a patient out is exact."""
    squares = (label.chance - label.truth) ** 2
    moved = label.by_class(squares - found.brier) / label.left_out(np.ones(len(squares)))
    whole = _by_t(label, found.brier, moved, level)
    if whole.ci is None:
        return whole
    return replace(whole, ci=(max(0.0, whole.ci[0]), min(1.0, whole.ci[1])))


def _intercept(label: _Label, found: Calibration, level: float) -> Estimate:
    fitted = expit(found.intercept + to_logit(label.chance))
    moved = label.by_class(label.truth - fitted) / label.left_out(fitted * (1 - fitted))
    return _by_t(label, found.intercept, moved, level)


def _slope(label: _Label, found: Calibration, level: float) -> Estimate:
    x = to_logit(label.chance)
    line = fit_line(label.truth, x)
    if line.reason:
        return Estimate(_NAN, None, line.reason)
    fitted = expit(line.height + line.slope * x)
    rest, weight, z = label.truth - fitted, fitted * (1 - fitted), x - x.mean()
    # One Newton step: the information without the patient, inverted, times the patient's score.
    h00, h01, h11 = (label.left_out(weight * power) for power in (np.ones(len(z)), z, z * z))
    determinant = h00 * h11 - h01**2
    if not determinant.min() > _ALONE * weight.sum() * np.sum(weight * z * z):
        return Estimate(found.slope, None, "no interval: one patient decides it")
    moved = (h00 * label.by_class(rest * z) - h01 * label.by_class(rest)) / determinant
    return _by_t(label, found.slope, moved, level)


def _by_t(label: _Label, value: float, moved: FloatArray, level: float) -> Estimate:
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
        return Estimate(value, None, "no interval: no patient moves it")
    # A patient's share of the variance: of that of a class, by the share of the class's images.
    images = label.by_class(np.ones(len(label.truth)))
    of_class = np.sum(moved**2, axis=1, keepdims=True)
    shares = np.sum(of_class * images / images.sum(axis=1, keepdims=True), axis=0)
    df = max(1.0, float(shares.sum() ** 2 / np.sum(shares**2)) - 1)
    return symmetric(value, (Part(se**2, df),), level)
