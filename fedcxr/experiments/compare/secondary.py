"""What one model of an arm says at thresholds, of calibration and by group; and its curves."""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.metrics.calibration import NO_TEMPERATURE, fit_temperature, tempered
from fedcxr.metrics.calibration_intervals import (
    CalibrationEstimates,
    calibration_estimates,
)
from fedcxr.metrics.curves import pr_points, roc_points
from fedcxr.metrics.estimate import Estimate
from fedcxr.metrics.operating_point import POINTS, Operating, apply_all, thresholds
from fedcxr.metrics.subgroups import GAP_NOTE, age_band, subgroups
from fedcxr.results.details import (
    Bin,
    Calibration,
    CalibrationNumbers,
    Curves,
    Gap,
    Group,
    LabelCalibration,
    ModelDetails,
    OperatingPoint,
    Subgroups,
)
from fedcxr.results.score import Score
from fedcxr.runs.predictions import Predictions
from fedcxr.seeding import derive_seed

LEVEL = 0.95
_POINTS_DRAWN = 120
_NO_VIEW = "By view there are no groups: scores are by study, and one study may have several views."


def model_details(test: Predictions, val: Predictions, config: ExperimentConfig) -> ModelDetails:
    """Return what thresholds and probabilities say of one model.

    Args:
        test: as it is scored, by image or by study.
        val: likewise; thresholds and the temperature are from it.
        config: of the comparison.
    """
    labels, unit = range(len(test.labels)), unit_of(config)
    chosen = [thresholds(val.target[:, k], val.probs[:, k]) for k in labels]
    prevalence = [config.compare.prevalence.get(label) for label in test.labels]
    at_points = apply_all(
        test.target,
        test.probs,
        test.patient_id,
        chosen,
        prevalence=prevalence,
        resamples=config.compare.resamples,
        seed=derive_seed(config.seed, "compare"),
        level=LEVEL,
    )
    return ModelDetails(
        curves={label: _curves(test, k) for k, label in enumerate(test.labels)},
        operating_points=tuple(
            _operating(label, point, of_label[point], unit)
            for label, of_label in zip(test.labels, at_points, strict=True)
            for point in POINTS
        ),
        calibration=_calibrations(test, val),
        subgroups=_subgroups(test, [points["youden"].value for points in chosen], config),
    )


def unit_of(config: ExperimentConfig) -> str:
    """Return what one row of the scored predictions is called, in the plural."""
    return "studies" if config.data.score_by == "study" else "images"


def in_unit(text: str | None, unit: str) -> str | None:
    """Return what the metrics say, with the rows called by their unit: they call each an image.

    >>> in_unit("no image called positive of 2 images", "studies")
    'no study called positive of 2 studies'
    """
    if text is None or unit == "images":
        return text
    return text.replace("images", "studies").replace("image", "study")


def _subgroups(test: Predictions, at: Sequence[float], config: ExperimentConfig) -> Subgroups:
    """Return the scores of each group, positives being called at one threshold a label (L,)."""
    by_study, unit = config.data.score_by == "study", unit_of(config)
    found = subgroups(
        test.target,
        test.probs,
        _groups(test, with_view=not by_study),
        test.patient_id,
        labels=test.labels,
        thresholds=at,
        resamples=config.compare.resamples,
        seed=derive_seed(config.seed, "compare"),
        level=LEVEL,
    )
    rule = " ".join([found.rule, GAP_NOTE, *([_NO_VIEW] if by_study else [])])
    rows = []
    for row in found.rows:
        scores = {key: _score(getattr(row, key), unit) for key in ("auroc", "tpr", "fpr")}
        told = {**asdict(row), **scores, "reason": in_unit(row.reason, unit)}
        rows.append(Group.model_validate(told))
    gaps = [
        Gap(
            attribute=gap.attribute,
            label=gap.label,
            tpr_gap=_score(gap.tpr_gap, unit),
            fpr_gap=_score(gap.fpr_gap, unit),
        )
        for gap in found.gaps
    ]
    return Subgroups(rule=str(in_unit(rule, unit)), rows=tuple(rows), gaps=tuple(gaps))


def _groups(test: Predictions, *, with_view: bool) -> dict[str, NDArray[np.str_]]:
    """Return who belongs to which group: sex, age band, and the view, where the file says so."""
    found: dict[str, NDArray[np.str_]] = {}
    given = test.attributes
    if "sex" in given:
        found["sex"] = np.array([str(sex) or "unknown" for sex in given["sex"]])
    if "age" in given:
        found["age band"] = np.array([age_band(float(age)) for age in given["age"]])
    if "projection" in given and with_view:
        found["view"] = np.array([str(view) or "unknown" for view in given["projection"]])
    return found


def _curves(test: Predictions, column: int) -> Curves:
    target, probs = test.target[:, column], test.probs[:, column]
    fpr, tpr = roc_points(target, probs, _POINTS_DRAWN)
    recall, precision = pr_points(target, probs, _POINTS_DRAWN)
    return Curves(
        fpr=tuple(fpr.tolist()),
        tpr=tuple(tpr.tolist()),
        recall=tuple(recall.tolist()),
        precision=tuple(precision.tolist()),
    )


def _operating(label: str, point: str, found: Operating, unit: str) -> OperatingPoint:
    return OperatingPoint(
        label=label,
        point=point,
        threshold=found.threshold if math.isfinite(found.threshold) else None,
        sensitivity=_score(found.sensitivity, unit),
        specificity=_score(found.specificity, unit),
        ppv=_score(found.ppv, unit),
        npv=_score(found.npv, unit),
        ppv_at_prevalence=_score(found.ppv_at_prevalence, unit),
        accuracy=_score(found.accuracy, unit),
        f1=_score(found.f1, unit),
        prevalence=found.prevalence,
        tp=found.tp,
        fp=found.fp,
        tn=found.tn,
        fn=found.fn,
        reason=in_unit(found.reason, unit),
    )


def _score(found: Estimate, unit: str) -> Score:
    return Score.of(replace(found, reason=in_unit(found.reason, unit)))


def _calibrations(test: Predictions, val: Predictions) -> Calibration:
    """Return each label's calibration on test, as it is and after the temperature from val."""
    temperature = fit_temperature(val.target, val.probs)
    has_one = math.isfinite(temperature)
    before = _calibrated(test, test.probs)
    after = _calibrated(test, tempered(test.probs, temperature)) if has_one else None
    by_label = {}
    for column, label in enumerate(test.labels):
        found = before[column]
        by_label[label] = LabelCalibration(
            **dict(_numbers(found)),
            reason=found.reason,
            bins=tuple(Bin(**asdict(bin_)) for bin_ in found.bins),
            tempered=None if after is None else _numbers(after[column]),
        )
    return Calibration(
        temperature=temperature if has_one else None,
        reason=None if has_one else NO_TEMPERATURE,
        by_label=by_label,
    )


def _calibrated(test: Predictions, probs: ArrayLike) -> tuple[CalibrationEstimates, ...]:
    return calibration_estimates(test.target, probs, test.patient_id, level=LEVEL)


def _numbers(found: CalibrationEstimates) -> CalibrationNumbers:
    return CalibrationNumbers(
        brier=Score.of(found.brier),
        slope=Score.of(found.slope),
        intercept=Score.of(found.intercept),
        ece=Score.of(found.ece),
    )
