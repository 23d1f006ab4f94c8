"""One arm of `comparison.json`: scores, curves, thresholds, calibration, subgroups, costs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.experiments.arms import Arm, Training, steps_of_largest_site
from fedcxr.metrics import confusion, paired
from fedcxr.metrics.calibration import (
    NO_TEMPERATURE,
    Calibration,
    calibration,
    fit_temperature,
    tempered,
)
from fedcxr.metrics.curves import pr_points, roc_points
from fedcxr.metrics.operating_point import POINTS, Operating, apply_all, thresholds
from fedcxr.metrics.paired import ArmScores, PairedDraws
from fedcxr.metrics.seeds import seed_spread
from fedcxr.metrics.subgroups import GAP_NOTE, age_band, subgroups
from fedcxr.runs.folder import RunFolder
from fedcxr.runs.predictions import Predictions
from fedcxr.seeding import derive_seed
from partitions.plan import read_plan

LEVEL = 0.95
_POINTS_DRAWN = 120
_VALUES = ("sensitivity", "specificity", "ppv", "npv", "ppv_at_prevalence", "accuracy", "f1")


def arm_entry(
    arm: Arm,
    trainings: Sequence[Training],
    test: Predictions,
    draws: PairedDraws,
    *,
    one: tuple[Predictions, Predictions],
    config: ExperimentConfig,
    five: Sequence[int],
) -> dict[str, Any]:
    """Return an arm as it stands in `comparison.json`.

    Args:
        arm: what it is.
        trainings: of it, seed by seed.
        test: the truth of the test patients.
        draws: of all arms.
        one: test and val predictions of its first model, for what needs thresholds.
        config: of the comparison.
        five: columns of the competition labels, or none.
    """
    auroc, ap = draws.auroc[arm.name], draws.ap[arm.name]
    columns = range(len(test.labels))
    by_seed = macro_by_seed(auroc, trainings)
    return {
        "name": arm.name,
        "title": arm.title,
        "budget": arm.budget,
        "models": len(trainings),
        **_costs(arm, trainings),
        "macro_auroc": told(paired.estimate(auroc, columns=columns, level=LEVEL)),
        "macro_ap": told(paired.estimate(ap, columns=columns, level=LEVEL)),
        "five_auroc": told(paired.estimate(auroc, columns=five, level=LEVEL)) if five else None,
        "seed_sd": seed_spread(by_seed),
        "macro_by_seed": by_seed,
        "by_label": {
            label: {
                "auroc": told(paired.estimate(auroc, columns=[column], level=LEVEL)),
                "ap": told(paired.estimate(ap, columns=[column], level=LEVEL)),
                "positives": int((test.target[:, column] == 1).sum()),
                "negatives": int((test.target[:, column] == 0).sum()),
            }
            for column, label in enumerate(test.labels)
        },
        "learning": [_learning(training) for training in trainings],
        **_of_one_model(*one, config),
    }


def macro_by_seed(scores: ArmScores, trainings: Sequence[Training]) -> list[float]:
    """Return the macro AUROC of each seed: in the local arm the mean over its sites' models."""
    defined = ~np.isnan(scores.value)
    each = scores.by_seed[:, defined].mean(axis=1)
    seeds = [training.seed for training in trainings]
    return [
        float(np.mean([value for value, own in zip(each, seeds, strict=True) if own == seed]))
        for seed in sorted(set(seeds))
    ]


def told(found: paired.Estimate | confusion.Estimate) -> dict[str, Any]:
    """Return a number with its interval as the file holds it: nan becomes null."""
    value = found.value
    known = value is not None and math.isfinite(value)
    return {
        "value": value if known else None,
        "ci": list(found.ci) if found.ci else None,
        "reason": found.reason,
    }


def _of_one_model(test: Predictions, val: Predictions, config: ExperimentConfig) -> dict[str, Any]:
    """Return what thresholds and probabilities say of one model."""
    labels = range(len(test.labels))
    chosen = [thresholds(val.target[:, k], val.probs[:, k]) for k in labels]
    seed = derive_seed(config.seed, "compare")
    prevalence = [config.compare.prevalence.get(label) for label in test.labels]
    resamples = config.compare.resamples
    found = apply_all(
        test.target,
        test.probs,
        test.patient_id,
        chosen,
        prevalence=prevalence,
        resamples=resamples,
        seed=seed,
        level=LEVEL,
    )
    groups = _groups(test)
    apart = subgroups(
        test.target,
        test.probs,
        groups,
        test.patient_id,
        labels=test.labels,
        thresholds=[points["youden"].value for points in chosen],
        resamples=resamples,
        seed=seed,
        level=LEVEL,
    )
    return {
        "curves": {label: _curves(test, k) for k, label in enumerate(test.labels)},
        "operating_points": [
            _operating(label, point, of_label[point])
            for label, of_label in zip(test.labels, found, strict=True)
            for point in POINTS
        ],
        "calibration": _calibrations(test, val),
        "subgroups": {
            "rule": f"{apart.rule} {GAP_NOTE}",
            "rows": [
                {
                    **{k: v for k, v in asdict(row).items() if k not in ("auroc", "tpr", "fpr")},
                    **{k: told(getattr(row, k)) for k in ("auroc", "tpr", "fpr")},
                }
                for row in apart.rows
            ],
            "gaps": [
                {
                    "attribute": gap.attribute,
                    "label": gap.label,
                    "tpr_gap": told(gap.tpr_gap),
                    "fpr_gap": told(gap.fpr_gap),
                }
                for gap in apart.gaps
            ],
        },
    }


def _groups(test: Predictions) -> dict[str, NDArray[np.str_]]:
    """Return who belongs to which group: sex, age band, and the view, where the file says so."""
    found: dict[str, NDArray[np.str_]] = {}
    given = test.attributes
    if "sex" in given:
        found["sex"] = np.array([str(sex) or "unknown" for sex in given["sex"]])
    if "age" in given:
        found["age band"] = np.array([age_band(float(age)) for age in given["age"]])
    if "projection" in given:
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
        **{name: told(getattr(found, name)) for name in _VALUES},
        "precision": told(found.ppv),
        "recall": told(found.sensitivity),
        "prevalence": found.prevalence,
        "tp": found.tp,
        "fp": found.fp,
        "tn": found.tn,
        "fn": found.fn,
        "reason": found.reason,
    }


def _calibrations(test: Predictions, val: Predictions) -> dict[str, Any]:
    temperature = fit_temperature(val.target, val.probs)
    has_one = math.isfinite(temperature)
    after = tempered(test.probs, temperature) if has_one else None
    by_label = {}
    for column, label in enumerate(test.labels):
        target = test.target[:, column]
        found = calibration(target, test.probs[:, column])
        by_label[label] = {
            **_numbers(found),
            "reason": found.reason,
            "bins": [{**asdict(bin_), "ci": list(bin_.ci)} for bin_ in found.bins],
            "tempered": None if after is None else _numbers(calibration(target, after[:, column])),
        }
    return {
        "temperature": temperature if has_one else None,
        "reason": None if has_one else NO_TEMPERATURE,
        "by_label": by_label,
    }


def _numbers(found: Calibration) -> dict[str, float | None]:
    names = ("brier", "ece", "slope", "intercept")
    values = {name: getattr(found, name) for name in names}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _learning(training: Training) -> dict[str, Any]:
    lines = RunFolder(training.folder).read_lines("rounds.jsonl")
    keys = ("round", "train_loss", "val_loss", "val_macro_auroc", "val_accuracy")
    series: Mapping[str, list[Any]] = {key: [line.get(key) for line in lines] for key in keys}
    return {"seed": training.seed, "site": training.site or None, **series}


def _costs(arm: Arm, trainings: Sequence[Training]) -> dict[str, Any]:
    """Return what the arm took over all its trainings; `steps` are those one after another."""
    lines = [line for t in trainings for line in RunFolder(t.folder).read_lines("rounds.jsonl")]
    total = {
        key: sum(line.get(key) or 0 for line in lines)
        for key in ("images", "seconds_train", "bytes_up", "bytes_down")
    }
    rounds = arm.config.server.rounds
    steps = [steps_of_largest_site(arm.config, read_plan(p)) for p in arm.plans.values()]
    most = arm.config.train.max_steps
    return {
        "images_seen": int(total["images"]),
        "steps": rounds * (min(max(steps), most) if most else max(steps)),
        "seconds": total["seconds_train"],
        # between places: a training at one place sends nothing
        "bytes_up": int(total["bytes_up"]) if arm.travels else 0,
        "bytes_down": int(total["bytes_down"]) if arm.travels else 0,
    }
