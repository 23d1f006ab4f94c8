"""From the trainings' predictions to `comparison.json`: every figure of a comparison's page.

Nothing is trained or predicted here, so asking twice gives the same numbers. An arm's value is the
mean over its models: over the seeds, and in the local arm over the sites of each seed. In a
cross-validation it is the mean over the folds; what is beside the areas is of the first fold.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from fedcxr.config.compare import ARM_NAMES
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import by_key, read_config
from fedcxr.experiments.compare.arm_scores import arm_result
from fedcxr.experiments.compare.arms import Arm, Training, names_of
from fedcxr.experiments.compare.draws import (
    all_seeds,
    folds_of,
    held_out_set,
    read_draws,
    seeds_of,
)
from fedcxr.experiments.compare.external_scores import external_result
from fedcxr.experiments.compare.fairness import warnings_of
from fedcxr.experiments.compare.freezing import deviations, plan_protocol, read_protocol
from fedcxr.experiments.compare.predictions_file import write_predictions_file
from fedcxr.experiments.compare.site_differences import site_differences
from fedcxr.experiments.compare.sites import site_matrix
from fedcxr.experiments.compare.task_examples import task_examples
from fedcxr.experiments.compare.tested_folds import (
    TestedTogether,
    all_tested,
    by_test_set,
    score_folds,
)
from fedcxr.experiments.compare.verdicts import differences_of
from fedcxr.metrics.studies import read_scored, units_of
from fedcxr.results.arms import ArmResult
from fedcxr.results.comparison import (
    Comparison,
    Data,
    Draw,
    LabelFrequency,
    Partition,
    Statistics,
    TrainingSettings,
    label_frequencies,
    write_comparison_result,
)
from fedcxr.results.frozen import Protocol
from fedcxr.results.judging.all_details import AllDetails, all_details
from fedcxr.results.judging.all_models import LEVEL, AllModels, Pair
from fedcxr.results.judging.scored_arms import ScoredArms
from fedcxr.results.judging.task_judge import task_scores
from fedcxr.runs.folder import RunFolder
from fedcxr.runs.predictions import Predictions
from fedcxr.version import __version__
from partitions.plan import PartitionPlan
from partitions.table import read_table

PREDICTIONS = "predictions.npz"
_RATE = "train.learning_rate"


def judge(folder: Path, arms: Sequence[Arm], trainings: Sequence[Training]) -> Comparison:
    """Write `comparison.json` into the comparison's folder and return what it holds.

    Raises:
        ArtefactError: a training has no predictions, or they are not of the same patients; or the
            protocol is not as it was.
    """
    config = read_config(folder / "config.yaml")
    plans = read_draws(folder, config)
    protocol = plan_protocol(folder, config, names_of(arms))
    frozen = read_protocol(folder)
    arms = [arm for arm in arms if not arm.partition]  # what is told of an arm is of the first
    by_arm = {arm.name: [t for t in trainings if t.arm == arm.name] for arm in arms}
    on_first = {name: [t for t in own if not t.partition] for name, own in by_arm.items()}
    folds, models = read_models(config, trainings, protocol.pairs)
    test, units = all_tested(folds), models.units
    scores = models.scored if len(folds) == 1 else score_folds(folds, plans, LEVEL, units)
    details = all_details(models, config.compare.prevalence)
    found = Comparison(
        name=folder.name,
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        fedcxr=__version__,
        data=_data(folder, config, plans, test),
        training=_training(config, trainings[0]),
        statistics=_statistics(protocol),
        protocol=frozen,
        deviations=tuple(deviations(frozen, protocol)) if frozen else (),
        endpoint=protocol.endpoint,
        arms=_arm_results(
            config, arms, by_arm, scores=scores, test=test, details=details, protocol=protocol
        ),
        differences=differences_of(
            protocol,
            scores,
            test,
            endpoint=protocol.endpoint,
            details=details.pairs,
        ),
        site_matrix=site_matrix(plans[0], on_first, config.data.score_by),
        site_differences=site_differences(plans[0], on_first, config, LEVEL),
        label_frequencies=_frequencies(on_first[arms[0].name], models.val[0], test),
        external=tuple(
            external_result(each, trainings, protocol, config) for each in protocol.external
        ),
        task=task_scores(
            {arm.name: arm.config for arm in arms},
            models,
            task_examples(folder, [on_first[arm.name][0] for arm in arms]),
        ),
        warnings=tuple(warnings_of(config, arms, by_arm)),
        notes=tuple(_notes(folder, by_arm, has_folds=len(folds) > 1)),
    )
    return _written(folder, found, trainings)


def _written(folder: Path, found: Comparison, trainings: Sequence[Training]) -> Comparison:
    write_comparison_result(folder, found)
    write_predictions_file(folder, trainings)
    return found


def _statistics(protocol: Protocol) -> Statistics:
    return Statistics(level=protocol.level, margin=protocol.margin, question=protocol.question)


def read_models(
    config: ExperimentConfig, trainings: Sequence[Training], pairs: Sequence[Pair]
) -> tuple[list[TestedTogether], AllModels]:
    """Return who was tested together, and the models of those that are tested first."""
    scored = {t.name: read_scored(t.folder / PREDICTIONS, ["test", "val"]) for t in trainings}
    on_test = {name: sets["test"] for name, sets in scored.items()}
    folds = by_test_set(on_test, trainings, folds_of(config))
    return folds, AllModels.of(
        folds[0].trainings,
        folds[0].scored,
        [scored[t.name]["val"] for t in folds[0].trainings],
        pairs=pairs,
        units=units_of(config.data.score_by),
    )


def _arm_results(
    config: ExperimentConfig,
    arms: Sequence[Arm],
    by_arm: Mapping[str, Sequence[Training]],
    *,
    scores: ScoredArms,
    test: Predictions,
    details: AllDetails,
    protocol: Protocol,
) -> tuple[ArmResult, ...]:
    labels = test.labels
    return tuple(
        arm_result(
            arm,
            by_arm[arm.name],
            test,
            scores,
            details=details.arms[arm.name],
            endpoint_columns=protocol.endpoint.columns(labels),
            differs=_differs(config, arm),
        )
        for arm in arms
    )


def _data(
    folder: Path, config: ExperimentConfig, plans: Sequence[PartitionPlan], test: Predictions
) -> Data:
    plan = plans[0]
    val = read_table(plan.val_csv)
    folds = folds_of(config)
    tested = plans[:1] if folds is None else plans  # draws have the same test patients
    return Data(
        source=_manifest(folder)["source"],
        layout=plan.layout,
        synthetic=not config.data.roots,
        labels=test.labels,
        test_images=sum(len(read_table(each.test_csv)) for each in tested),
        test_patients=len(set(test.patient_id.tolist())),
        val_images=len(val),
        val_patients=len(set(val.patient_id)),
        score_by=config.data.score_by,
        test_set=held_out_set(config, plans),
        partition=Partition(
            scheme=plan.scheme,
            clients=len(plan.sites),
            digest=plan.digest,
            pairs_compared=_pairs_compared(plan),
            folds=folds,
            draws=tuple(
                Draw(
                    digest=draw.digest,
                    pairs_compared=_pairs_compared(draw),
                    seeds=tuple(seeds_of(config, number)),
                    test_patients=draw.test_set.patients,
                )
                for number, draw in enumerate(plans)
            ),
        ),
    )


def _pairs_compared(plan: PartitionPlan) -> int:
    return plan.proof.pairs_checked if plan.proof else 0


def _manifest(folder: Path) -> dict[str, Any]:
    return RunFolder(folder).read_json("manifest.json")


def _training(config: ExperimentConfig, first: Training) -> TrainingSettings:
    """Return how the arms were trained, but for what `_differs` says of one of them."""
    manifest = RunFolder(first.folder).read_json("manifest.json")
    rates = config.compare.learning_rates
    how = (
        f"the best on val of {', '.join(f'{r:g}' for r in rates)}, tried by each arm with one seed"
    )
    return TrainingSettings.of(
        config,
        seeds=all_seeds(config),
        precision=manifest["precision"]["dtype"],
        learning_rate_how=how if rates else "fixed in advance",
        has_one_rate=not rates,
    )


def _differs(config: ExperimentConfig, arm: Arm) -> dict[str, str]:
    """Return what was set otherwise for an arm, by dotted key, but for what makes it that arm."""
    base, own = by_key(config), by_key(arm.config)
    sections = ("model", "data", "train", "server")
    both = sorted(base.keys() | own.keys())
    keys = [k for k in both if k.split(".")[0] in sections and own.get(k) != base.get(k)]
    if arm.name in ARM_NAMES or arm.variant:
        keys = [key for key in keys if key == _RATE]
    if config.compare.learning_rates and _RATE not in keys:
        keys.append(_RATE)
    return {key: str(own.get(key)) for key in keys}


def _frequencies(
    trainings: Sequence[Training], val: Predictions, test: Predictions
) -> dict[str, LabelFrequency]:
    """Return positive and known targets by label and split.

    Args:
        trainings: of an arm; those of its first seed are of all sites together.
        val: as it is scored.
        test: as it is scored.
    """
    trained = [
        RunFolder(training.folder).read_json("manifest.json")["label_counts"]["after"]
        for training in trainings
        if training.seed == trainings[0].seed
    ]
    return label_frequencies(trained, val, test)


def _notes(folder: Path, by_arm: Mapping[str, Sequence[Training]], *, has_folds: bool) -> list[str]:
    notes = [str(note) for note in _manifest(folder)["notes"]]
    models = {name: len(own) for name, own in by_arm.items()}
    if "local" in models:
        notes.append(
            "The local arm's value is the mean over its sites' models, each judged on the same "
            "test patients as the others."
        )
    notes.append(
        "Every arm's round is the one with the best macro AUROC on the same validation patients. "
        "A hospital on its own would have only its own patients to choose it by."
    )
    notes.append(
        "Curves, operating points, calibration and subgroups are means over all models of an arm, "
        "each at its own thresholds and temperature, which come from validation patients."
    )
    partitions = {training.partition for own in by_arm.values() for training in own}
    if has_folds:
        notes.append(
            f"There are {len(partitions)} folds of a cross-validation, and every arm was trained "
            "on each: every patient is tested once, by models that never saw them. Curves, "
            "operating points, calibration, decision curves, subgroups, label frequencies of "
            "training and validation and what is told by site are of the first fold."
        )
    elif len(partitions) > 1:
        notes.append(
            f"There are {len(partitions)} partitions of the patients into sites, and every arm was "
            "trained on each. What is told by site is of the first one's sites."
        )
    notes.append(
        "A site's row in the site matrix is of its own held-out patients, on whom nothing was "
        "trained or chosen; the label counts behind its mean AUROC stand beside it."
    )
    return notes
