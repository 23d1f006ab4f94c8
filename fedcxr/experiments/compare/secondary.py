"""One model of an arm in `comparison.json`: curves, thresholds, calibration, subgroups."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

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
from fedcxr.runs.predictions import Predictions
from fedcxr.seeding import derive_seed

LEVEL = 0.95
_POINTS_DRAWN = 120
_NO_VIEW = "By view there are no groups: scores are by study, and one study may have several views."
_SENTENCES = ("reason", "rule")
_VALUES = ("sensitivity", "specificity", "ppv", "npv", "ppv_at_prevalence", "accuracy", "f1")


def model_entry(test: Predictions, val: Predictions, config: ExperimentConfig) -> dict[str, Any]:
    """Return what thresholds and probabilities say of one model.

    Args:
        test: as it is scored, by image or by study.
        val: likewise; thresholds and the temperature are from it.
        config: of the comparison.
    """
    labels = range(len(test.labels))
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
    found = {
        "curves": {label: _curves(test, k) for k, label in enumerate(test.labels)},
        "operating_points": [
            _operating(label, point, of_label[point])
            for label, of_label in zip(test.labels, at_points, strict=True)
            for point in POINTS
        ],
        "calibration": _calibrations(test, val),
        "subgroups": _subgroups(test, [points["youden"].value for points in chosen], config),
    }
    return in_unit(found, unit_of(config))


def estimate_to_json(found: Estimate) -> dict[str, Any]:
    """Return a number with its interval as the file holds it: nan becomes null."""
    return {
        "value": found.value if math.isfinite(found.value) else None,
        "ci": list(found.ci) if found.ci else None,
        "reason": found.reason,
    }


def unit_of(config: ExperimentConfig) -> str:
    """Return what one row of the scored predictions is called, in the plural."""
    return "studies" if config.data.score_by == "study" else "images"


def in_unit(found: Mapping[str, Any], unit: str) -> dict[str, Any]:
    """Return what the metrics found, with the rows in its reasons and rules called by their unit.

    The metrics call every row an image.

    >>> in_unit({"reason": "no image called positive", "rule": "2 images"}, "studies")
    {'reason': 'no study called positive', 'rule': '2 studies'}
    """
    return {
        key: value if unit == "images" else _by_study(key, value) for key, value in found.items()
    }


def _by_study(key: str, value: object) -> object:
    if isinstance(value, dict):
        return {inner: _by_study(inner, each) for inner, each in value.items()}
    if isinstance(value, list):
        return [_by_study(key, each) for each in value]
    if key in _SENTENCES and isinstance(value, str):
        return value.replace("images", "studies").replace("image", "study")
    return value


def _subgroups(test: Predictions, at: Sequence[float], config: ExperimentConfig) -> dict[str, Any]:
    """Return the scores of each group, positives being called at one threshold a label (L,)."""
    by_study = config.data.score_by == "study"
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
    scores = ("auroc", "tpr", "fpr")
    return {
        "rule": " ".join([found.rule, GAP_NOTE, *([_NO_VIEW] if by_study else [])]),
        "rows": [
            {
                **{key: value for key, value in asdict(row).items() if key not in scores},
                **{key: estimate_to_json(getattr(row, key)) for key in scores},
            }
            for row in found.rows
        ],
        "gaps": [
            {
                "attribute": gap.attribute,
                "label": gap.label,
                "tpr_gap": estimate_to_json(gap.tpr_gap),
                "fpr_gap": estimate_to_json(gap.fpr_gap),
            }
            for gap in found.gaps
        ],
    }


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


def _curves(test: Predictions, column: int) -> dict[str, list[float]]:
    target, probs = test.target[:, column], test.probs[:, column]
    fpr, tpr = roc_points(target, probs, _POINTS_DRAWN)
    recall, precision = pr_points(target, probs, _POINTS_DRAWN)
    return {
        "fpr": fpr.tolist(),
        "tpr": tpr.tolist(),
        "recall": recall.tolist(),
        "precision": precision.tolist(),
    }


def _operating(label: str, point: str, found: Operating) -> dict[str, Any]:
    return {
        "label": label,
        "point": point,
        "threshold": found.threshold if math.isfinite(found.threshold) else None,
        **{name: estimate_to_json(getattr(found, name)) for name in _VALUES},
        "precision": estimate_to_json(found.ppv),
        "recall": estimate_to_json(found.sensitivity),
        "prevalence": found.prevalence,
        "tp": found.tp,
        "fp": found.fp,
        "tn": found.tn,
        "fn": found.fn,
        "reason": found.reason,
    }


def _calibrations(test: Predictions, val: Predictions) -> dict[str, Any]:
    """Return each label's calibration on test, as it is and after the temperature from val."""
    temperature = fit_temperature(val.target, val.probs)
    has_one = math.isfinite(temperature)
    before = _calibrated(test, test.probs)
    after = _calibrated(test, tempered(test.probs, temperature)) if has_one else None
    by_label = {}
    for column, label in enumerate(test.labels):
        found = before[column]
        by_label[label] = {
            **_numbers(found),
            "reason": found.reason,
            "bins": [{**asdict(bin_), "ci": list(bin_.ci)} for bin_ in found.bins],
            "tempered": None if after is None else _numbers(after[column]),
        }
    return {
        "temperature": temperature if has_one else None,
        "reason": None if has_one else NO_TEMPERATURE,
        "by_label": by_label,
    }


def _calibrated(test: Predictions, probs: ArrayLike) -> tuple[CalibrationEstimates, ...]:
    return calibration_estimates(test.target, probs, test.patient_id, level=LEVEL)


def _numbers(found: CalibrationEstimates) -> dict[str, dict[str, Any]]:
    """Return the four numbers with intervals, the smooth ones with their degrees of freedom."""
    smooth = {"brier": found.brier, "slope": found.slope, "intercept": found.intercept}
    by_t = {
        name: {**estimate_to_json(each), "df": each.parts[0].df if each.parts else None}
        for name, each in smooth.items()
    }
    return {**by_t, "ece": estimate_to_json(found.ece)}
