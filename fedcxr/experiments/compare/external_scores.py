"""All arms on a data set from elsewhere, from what their models said of its images.

The difference of two arms, its interval and its verdict are made as on the run's own test patients.
"""

from collections.abc import Sequence
from dataclasses import replace

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.errors import some
from fedcxr.experiments.compare.arm_scores import known
from fedcxr.experiments.compare.arms import Training
from fedcxr.experiments.compare.predict_held_out import external_file
from fedcxr.experiments.compare.verdicts import differences_of
from fedcxr.metrics.studies import read_scored, units_of
from fedcxr.results.differences import Difference, Verdict
from fedcxr.results.external import ExternalArm, ExternalResult
from fedcxr.results.frozen import ExternalEndpoint, Protocol
from fedcxr.results.judging.all_models import LEVEL, same_patients
from fedcxr.results.judging.scored_arms import ScoredArms
from fedcxr.results.score import Score
from fedcxr.runs.predictions import Predictions


def external_result(
    planned: ExternalEndpoint,
    trainings: Sequence[Training],
    protocol: Protocol,
    config: ExperimentConfig,
) -> ExternalResult:
    """Return all arms on one external set.

    Args:
        planned: the set and its endpoint.
        trainings: of all arms, each scored on the set.
        protocol: of the comparison.
        config: of the comparison.

    Raises:
        ArtefactError: a training has no predictions of the set, or they are not of the same images.
    """
    data, endpoint = planned.data, planned.endpoint
    scored = {t.name: _predictions(t, data.name, data.labels) for t in trainings}
    test, units = same_patients(scored), units_of(config.data.score_by)
    arms = ScoredArms.of(test, [(t, scored[t.name].probs) for t in trainings], LEVEL, units)
    columns = endpoint.columns(test.labels)
    differences = differences_of(protocol, arms, test, endpoint=endpoint)
    if not endpoint.patients:
        differences = tuple(_withheld(each, planned) for each in differences)
    return ExternalResult(
        data=data,
        endpoint=endpoint,
        scored=len(test.target),
        arms=tuple(_arm(name, arms, test.labels, columns) for name in protocol.arms),
        differences=differences,
    )


def _predictions(training: Training, name: str, labels: Sequence[str]) -> Predictions:
    """Return what a training's model said of a set, of the labels whose truth is known there."""
    kept = next(place for place in training.external if place.name == name)
    found = read_scored(external_file(training.folder, kept), ["test"])["test"]
    columns = [found.labels.index(label) for label in labels]
    return replace(
        found,
        labels=tuple(labels),
        probs=found.probs[:, columns],
        target=found.target[:, columns],
    )


def _arm(name: str, arms: ScoredArms, labels: Sequence[str], columns: Sequence[int]) -> ExternalArm:
    return ExternalArm(
        name=name,
        macro_auroc=Score.of(arms.mean("auroc", name, columns)),
        macro_ap=Score.of(arms.mean("ap", name, columns)),
        macro_by_seed=tuple(known(arms.by_seed("auroc", name, columns))),
        by_label={
            label: Score.of(arms.mean("auroc", name, [column]))
            for column, label in enumerate(labels)
        },
    )


def _withheld(found: Difference, planned: ExternalEndpoint) -> Difference:
    """Return a difference with the reason for which a set without a primary label has none."""
    reason = f"{planned.data.name} has none of the primary labels: {some(planned.lacking, 20)}"
    return found.model_copy(update={"verdict": Verdict(word="withheld", reason=reason)})
