"""What all arms' models say beside the areas: curves, thresholds, calibration, groups.

Of a comparison's arms and pairs, and of the one arm that a run is.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fedcxr.cores import cores
from fedcxr.metrics.curves import MeanCurve, mean_pr, mean_roc
from fedcxr.results.details import ArmDetails, Curves, DifferenceDetails
from fedcxr.results.judging.all_models import AllModels, Pair
from fedcxr.results.judging.calibration_details import (
    ModelTemperatures,
    calibrations,
    decision_curves,
)
from fedcxr.results.judging.group_details import subgroups
from fedcxr.results.judging.point_details import operating_points


@dataclass(frozen=True, slots=True)
class AllDetails:
    """Details of every arm and of every pair of arms."""

    arms: Mapping[str, ArmDetails]
    pairs: Mapping[Pair, DifferenceDetails]


def all_details(models: AllModels, prevalences: Mapping[str, float]) -> AllDetails:
    """Return everything that is beside the areas, over all trainings of each arm.

    Args:
        models: all of them.
        prevalences: of the clinic, by label, where they are stated.
    """
    prevalence = [prevalences.get(label) for label in models.test.labels]
    temperatures = ModelTemperatures(models)
    with ThreadPoolExecutor(cores()) as pool:
        by_group = pool.submit(subgroups, models)  # the longest first
        at_points = pool.submit(operating_points, models, prevalence)
        of_probs = pool.submit(calibrations, models, temperatures)
        by_benefit = pool.submit(decision_curves, models, temperatures)
        curves = {arm: _curves(models, arm) for arm in models.names}
    points, point_differences = at_points.result()
    calibration, calibration_differences = of_probs.result()
    decisions, decision_differences = by_benefit.result()
    groups, group_differences = by_group.result()
    return AllDetails(
        arms={
            arm: ArmDetails(
                curves=curves[arm],
                operating_points=points[arm],
                calibration=calibration[arm],
                decision_curves=decisions[arm],
                subgroups=groups[arm],
            )
            for arm in models.names
        },
        pairs={
            pair: DifferenceDetails(
                operating_points=point_differences[pair],
                calibration=calibration_differences[pair],
                decision_curves=decision_differences[pair],
                subgroups=group_differences[pair],
            )
            for pair in models.pairs
        },
    )


def _curves(models: AllModels, arm: str) -> dict[str, Curves]:
    found = {}
    for column, label in enumerate(models.test.labels):
        target, probs = models.test.target[:, column], models.probs[models.rows(arm), :, column]
        roc, pr = mean_roc(target, probs), mean_pr(target, probs)
        found[label] = Curves(
            fpr=tuple(roc.x.tolist()),
            **_heights("tpr", roc),
            recall=tuple(pr.x.tolist()),
            **_heights("precision", pr),
        )
    return found


def _heights(name: str, curve: MeanCurve) -> dict[str, tuple[float, ...]]:
    return {
        name: tuple(curve.mean.tolist()),
        f"{name}_low": tuple(curve.low.tolist()),
        f"{name}_high": tuple(curve.high.tolist()),
    }
