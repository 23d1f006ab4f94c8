"""One arm's scores, label by label and macro, its learning curves and its costs."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.experiments.compare.arms import Arm, Training, steps_by_site
from fedcxr.experiments.compare.planned_images import added_images
from fedcxr.metrics.scored_areas import Measure
from fedcxr.results.arms import ArmResult, LabelScores, LearningCurve
from fedcxr.results.details import ArmDetails
from fedcxr.results.judging.all_models import over_competition
from fedcxr.results.judging.scored_arms import ScoredArms
from fedcxr.results.reading import read_rounds
from fedcxr.results.score import Score
from fedcxr.runs.predictions import Predictions
from partitions.plan import read_plan


def arm_result(
    arm: Arm,
    trainings: Sequence[Training],
    test: Predictions,
    arms: ScoredArms,
    *,
    details: ArmDetails,
    endpoint_columns: Sequence[int],
    differs: Mapping[str, str],
) -> ArmResult:
    """Return what an arm's models score.

    Args:
        arm: what it is.
        trainings: of it, seed by seed.
        test: the truth of the test patients.
        arms: the scored models of all.
        details: what its models say at thresholds, of calibration and by group.
        endpoint_columns: columns of the labels that macro means are over.
        differs: what was set otherwise for it, by key.
    """
    by_unit = arms.by_unit("auroc", arm.name, endpoint_columns)
    on_one = by_unit if arms.is_nested else by_unit.T  # (partitions, trainings)
    by_partition = on_one.mean(axis=1) if arms.is_nested else np.zeros(0)

    def score(measure: Measure, columns: Sequence[int]) -> Score:
        return Score.of(arms.mean(measure, arm.name, columns))

    return ArmResult(
        name=arm.name,
        title=arm.title,
        budget=arm.budget,
        models=len(trainings),
        **_costs(arm, trainings),
        scored=len(test.target),
        macro_labels=len(arms.scored["auroc"].defined(endpoint_columns)),
        macro_auroc=score("auroc", endpoint_columns),
        macro_ap=score("ap", endpoint_columns),
        five_auroc=over_competition(arms, test.labels, partial(arms.mean, "auroc", arm.name)),
        seed_sd=_spread(on_one),
        macro_by_seed=tuple(known(by_unit.ravel().tolist())),
        partition_sd=_spread(by_partition[None]),
        macro_by_partition=tuple(known(by_partition.tolist())),
        by_label=_by_label(arms, arm.name, test),
        learning=tuple(
            LearningCurve.of(
                read_rounds(each.folder),
                seed=each.seed,
                site=each.site or None,
                partition=each.partition,
            )
            for each in trainings
        ),
        setting=arm.setting,
        added=added_images(arm, trainings, test.labels),
        differs=dict(differs),
        **dict(details),
    )


def _by_label(arms: ScoredArms, arm: str, test: Predictions) -> dict[str, LabelScores]:
    return {
        label: LabelScores(
            auroc=Score.of(arms.mean("auroc", arm, [column])),
            ap=Score.of(arms.mean("ap", arm, [column])),
            positives=int((test.target[:, column] == 1).sum()),
            negatives=int((test.target[:, column] == 0).sum()),
        )
        for column, label in enumerate(test.labels)
    }


def known(values: Sequence[float]) -> list[float | None]:
    """Return the values as a file holds them: nan becomes None."""
    return [value if math.isfinite(value) else None for value in values]


def _spread(values: NDArray[np.float64]) -> float | None:
    """Return the standard deviation within the rows of (R, N) values (N - 1 below), pooled.

    None for one value a row, or where one is not defined.
    """
    if values.shape[1] < 2 or np.isnan(values).any():
        return None
    return float(np.sqrt(np.var(values, axis=1, ddof=1).mean()))


def _costs(arm: Arm, trainings: Sequence[Training]) -> dict[str, Any]:
    """Return what the arm took over all its trainings.

    `steps` are those one after another in its longest training; with early stopping they differ.
    """
    rounds = [line for training in trainings for line in read_rounds(training.folder)]
    by_place = {Path(str(t.config.partition.folder)): t.config for t in trainings}
    steps = [max(steps_by_site(own, read_plan(place))) for place, own in by_place.items()]
    return {
        "images_seen": sum(line.images for line in rounds),
        "steps": max(line.round for line in rounds) * max(steps),
        "seconds": sum(line.seconds_train or 0.0 for line in rounds),
        # between places: a training at one place sends nothing
        "bytes_up": sum(line.bytes_up for line in rounds) if arm.travels else 0,
        "bytes_down": sum(line.bytes_down for line in rounds) if arm.travels else 0,
    }
