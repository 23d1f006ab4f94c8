"""A run as a comparison of one arm.

Its AUROC is what the summary says; all that stands beside it is computed of its predictions, as a
comparison's is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from fedcxr.metrics.studies import units_of
from fedcxr.results.arms import ArmResult, LabelScores, LearningCurve
from fedcxr.results.at_sites import SiteMatrix
from fedcxr.results.comparison import (
    Comparison,
    Data,
    LabelFrequency,
    Partition,
    Statistics,
    TrainingSettings,
    label_frequencies,
)
from fedcxr.results.details import NO_DETAILS, ArmDetails
from fedcxr.results.judging.all_details import all_details
from fedcxr.results.judging.all_models import LEVEL, AllModels, over_competition
from fedcxr.results.judging.task_judge import task_scores
from fedcxr.results.run_files import Manifest, RunFacts, RunSummary
from fedcxr.results.score import UNDEFINED, Score
from fedcxr.results.task_scores import TaskScores
from fedcxr.runs.predictions import Predictions

ARM = "federated"
"""The name of a run's one arm."""
NO_PREDICTIONS = (
    "The run folder has no predictions.npz: curves, average precision, operating points, "
    "calibration, net benefit and subgroups cannot be computed."
)


def as_comparison(facts: RunFacts, test: Predictions | None, val: Predictions | None) -> Comparison:
    """Return a run as a comparison of one arm.

    Args:
        facts: of the run.
        test: predictions as they are scored; None where the run is not finished.
        val: likewise.
    """
    manifest, config = facts.manifest, facts.config
    judged = _judge(facts, test, val) if test and val else _Judged()
    is_lacking = facts.summary is not None and test is None
    return Comparison(
        name=manifest.run,
        created=manifest.created,
        fedcxr=manifest.fedcxr,
        data=_data(facts, test),
        training=TrainingSettings.of(
            config,
            seeds=(config.seed,),
            precision=manifest.precision.dtype,
            learning_rate_how=config.train.lr_schedule,
        ),
        statistics=Statistics(level=LEVEL, margin=None),
        protocol=None,
        deviations=(),
        endpoint=None,
        arms=(_arm(facts, judged),),
        differences=(),
        site_matrix=SiteMatrix(sites=(), models=(), macro_auroc=(), labels=(), worst={}),
        site_differences=(),
        label_frequencies=_frequencies(manifest, test, val),
        task=judged.task,
        warnings=(),
        notes=(*manifest.data.notes, *([NO_PREDICTIONS] if is_lacking else [])),
        run=facts,
    )


def _data(facts: RunFacts, test: Predictions | None) -> Data:
    manifest, splits, summary = facts.manifest, facts.plan.global_splits, facts.summary
    return Data(
        source=manifest.data.source,
        layout=manifest.data.layout,
        synthetic=manifest.data.source == "synthetic",
        labels=test.labels if test else manifest.labels,
        test_images=summary.test_images if summary else splits.test.images,
        test_patients=summary.test_patients if summary else splits.test.patients,
        val_images=splits.val.images,
        val_patients=splits.val.patients,
        score_by=manifest.score_by,
        test_set=manifest.data.test_set,
        partition=Partition(
            scheme=facts.plan.scheme,
            clients=len(facts.plan.sites),
            digest=manifest.partition_digest,
            pairs_compared=manifest.disjoint.pairs_checked if manifest.disjoint.verified else 0,
        ),
    )


@dataclass(frozen=True, slots=True)
class _OwnTraining:
    """The run's one training, as `judging` asks for it."""

    seed: int
    arm: str = ARM
    partition: int = 0


@dataclass(frozen=True, slots=True)
class _Judged:
    """What the predictions of the run's model say; nothing of one that is not finished."""

    scored: int = 0
    """Images, or studies."""
    macro_ap: Score = UNDEFINED
    five_auroc: Score | None = None
    ap: Mapping[str, Score] = field(default_factory=dict)
    """By label."""
    details: ArmDetails = NO_DETAILS
    task: TaskScores | None = None


def _judge(facts: RunFacts, test: Predictions, val: Predictions) -> _Judged:
    units, config = units_of(facts.manifest.score_by), facts.config
    trained = [_OwnTraining(config.seed)]
    models = AllModels.of(trained, [test], [val], pairs=(), units=units)
    arms = models.scored

    def ap(columns: Sequence[int]) -> Score:
        return Score.of(arms.mean("ap", ARM, columns))

    columns = arms.scored["ap"].defined(range(len(test.labels)))
    return _Judged(
        scored=len(test.target),
        macro_ap=ap(columns) if columns else UNDEFINED,
        five_auroc=over_competition(arms, test.labels, partial(arms.mean, "auroc", ARM)),
        ap={label: ap([column]) for column, label in enumerate(test.labels)},
        details=all_details(models, config.compare.prevalence).arms[ARM],
        task=task_scores({ARM: config}, models),
    )


def _arm(facts: RunFacts, judged: _Judged) -> ArmResult:
    """Return the run's model as an arm; nothing was judged of it yet where there is no summary."""
    summary, config = facts.summary, facts.config
    last = max((line.round for line in facts.rounds), default=0)
    return ArmResult(
        name=ARM,
        title="Global model",
        budget=f"rounds: {last}, local epochs: {config.train.local_epochs}",
        models=1,
        images_seen=sum(line.images for line in facts.rounds),
        steps=last
        * max((config.train.steps(each.train_images) for each in facts.plan.sites), default=0),
        seconds=sum(line.seconds_train or 0.0 for line in facts.rounds),
        bytes_up=sum(line.bytes_up for line in facts.rounds),
        bytes_down=sum(line.bytes_down for line in facts.rounds),
        scored=judged.scored,
        macro_labels=summary.macro_labels if summary else 0,
        macro_auroc=_macro(summary),
        macro_ap=judged.macro_ap,
        five_auroc=judged.five_auroc,
        seed_sd=None,
        macro_by_seed=(summary.macro_auroc if summary else None,),
        by_label=_by_label(summary, judged.ap) if summary else {},
        learning=_learning(facts),
        differs={},
        **dict(judged.details),
    )


def _macro(summary: RunSummary | None) -> Score:
    if summary is None:
        return Score(value=None, reason="no test result yet")
    why = summary.macro_auroc_reason
    if summary.macro_auroc is None:
        why = "not defined: no label has both classes in the test set"
    return Score(value=summary.macro_auroc, ci=summary.macro_auroc_ci, reason=why)


def _by_label(summary: RunSummary, ap: Mapping[str, Score]) -> dict[str, LabelScores]:
    return {
        label: LabelScores(
            auroc=Score(value=found.value, ci=found.ci, reason=found.reason),
            ap=ap.get(label, UNDEFINED),
            positives=found.positives,
            negatives=found.negatives,
        )
        for label, found in summary.auroc.items()
    }


def _learning(facts: RunFacts) -> tuple[LearningCurve, ...]:
    """Return the curve of the global model, and the training loss of each site."""
    if not facts.rounds:
        return ()
    curves = [LearningCurve.of(facts.rounds, seed=facts.config.seed)]
    numbers = curves[0].round
    losses: dict[str, dict[int, float | None]] = {}
    for line in facts.rounds:
        for site in line.sites:
            losses.setdefault(site.site_id, {})[line.round] = site.train_loss
    nothing = (None,) * len(numbers)
    for site_id, by_round in sorted(losses.items()) if len(losses) > 1 else ():
        curves.append(
            LearningCurve(
                seed=facts.config.seed,
                site=site_id,
                round=numbers,
                train_loss=tuple(by_round.get(number) for number in numbers),
                val_loss=nothing,
                val_macro_auroc=nothing,
                val_accuracy=nothing,
            )
        )
    return tuple(curves)


def _frequencies(
    manifest: Manifest, test: Predictions | None, val: Predictions | None
) -> dict[str, LabelFrequency]:
    """Return positive and known targets, once all three splits can be counted."""
    after = manifest.label_counts.after
    if after is None or test is None or val is None:
        return {}
    return label_frequencies([after], val, test)
