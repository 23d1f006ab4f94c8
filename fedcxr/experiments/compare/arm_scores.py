"""One arm of `comparison.json`: its scores, label by label and macro, learning curves and costs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.experiments.compare.arms import Arm, Training, steps_by_site
from fedcxr.experiments.compare.scored_arms import ScoredArms
from fedcxr.experiments.compare.secondary import estimate_to_json, model_entry
from fedcxr.metrics.scored_models import Measure
from fedcxr.runs.folder import RunFolder
from fedcxr.runs.predictions import Predictions
from partitions.plan import read_plan


def arm_entry(
    arm: Arm,
    trainings: Sequence[Training],
    test: Predictions,
    arms: ScoredArms,
    *,
    one: tuple[Predictions, Predictions],
    config: ExperimentConfig,
    endpoint_columns: Sequence[int],
    competition_columns: Sequence[int],
) -> dict[str, Any]:
    """Return an arm as it stands in `comparison.json`.

    Args:
        arm: what it is.
        trainings: of it, seed by seed.
        test: the truth of the test patients.
        arms: the scored models of all.
        one: test and val predictions of its first model, for what needs thresholds.
        config: of the comparison.
        endpoint_columns: columns of the labels that macro means are over.
        competition_columns: columns of the competition labels, or none.
    """
    by_seed = arms.by_seed("auroc", arm.name, endpoint_columns)

    def scored(measure: Measure, columns: Sequence[int]) -> dict[str, Any]:
        return estimate_to_json(arms.mean(measure, arm.name, columns))

    return {
        "name": arm.name,
        "title": arm.title,
        "budget": arm.budget,
        "models": len(trainings),
        **_costs(arm, trainings),
        "scored": len(test.target),
        "macro_labels": len(arms.scored["auroc"].defined(endpoint_columns)),
        "macro_auroc": scored("auroc", endpoint_columns),
        "macro_ap": scored("ap", endpoint_columns),
        "five_auroc": _competition_auroc(arms, arm.name, test.labels, competition_columns),
        "seed_sd": _spread(by_seed),
        "macro_by_seed": by_seed,
        "by_label": {
            label: {
                "auroc": scored("auroc", [column]),
                "ap": scored("ap", [column]),
                "positives": int((test.target[:, column] == 1).sum()),
                "negatives": int((test.target[:, column] == 0).sum()),
            }
            for column, label in enumerate(test.labels)
        },
        "learning": [_learning(training) for training in trainings],
        **model_entry(*one, config),
    }


def undefined_among(arms: ScoredArms, labels: Sequence[str], columns: Sequence[int]) -> str | None:
    """Return which of these labels have no AUROC, and why; None if all have one."""
    scores = arms.scored["auroc"]
    lacking = sorted(set(columns) - set(scores.defined(columns)))
    named = ", ".join(f"{labels[column]} ({scores.reasons[column]})" for column in lacking)
    return f"not defined for all {len(columns)} labels: {named}" if lacking else None


def _spread(by_seed: Sequence[float]) -> float | None:
    """Return the standard deviation over seeds (S - 1 below), None for one or where undefined."""
    if len(by_seed) < 2 or np.isnan(by_seed).any():
        return None
    return float(np.std(by_seed, ddof=1))


def _competition_auroc(
    arms: ScoredArms, arm: str, labels: Sequence[str], columns: Sequence[int]
) -> dict[str, Any] | None:
    """Return the mean AUROC of the competition labels, which is of all of them or there is none."""
    if not columns:
        return None
    if reason := undefined_among(arms, labels, columns):
        return {"value": None, "ci": None, "reason": reason}
    return estimate_to_json(arms.mean("auroc", arm, columns))


def _learning(training: Training) -> dict[str, Any]:
    lines = RunFolder(training.folder).read_lines("rounds.jsonl")
    keys = ("round", "train_loss", "val_loss", "val_macro_auroc", "val_accuracy")
    series: Mapping[str, list[Any]] = {key: [line.get(key) for line in lines] for key in keys}
    return {"seed": training.seed, "site": training.site or None, **series}


def _costs(arm: Arm, trainings: Sequence[Training]) -> dict[str, Any]:
    """Return what the arm took over all its trainings.

    `steps` are those one after another in its longest training; with early stopping they differ.
    """
    lines = [line for t in trainings for line in RunFolder(t.folder).read_lines("rounds.jsonl")]
    total = {
        key: sum(line.get(key) or 0 for line in lines)
        for key in ("images", "seconds_train", "bytes_up", "bytes_down")
    }
    rounds = max(line["round"] for line in lines)
    steps = [max(steps_by_site(arm.config, read_plan(p))) for p in arm.plans.values()]
    return {
        "images_seen": int(total["images"]),
        "steps": rounds * max(steps),
        "seconds": total["seconds_train"],
        # between places: a training at one place sends nothing
        "bytes_up": int(total["bytes_up"]) if arm.travels else 0,
        "bytes_down": int(total["bytes_down"]) if arm.travels else 0,
    }
