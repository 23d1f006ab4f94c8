"""A run as a comparison of one arm."""

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.metrics.curves import mean_pr, mean_roc
from fedcxr.results.arms import ArmResult, LabelScores, LearningCurve
from fedcxr.results.at_sites import SiteMatrix
from fedcxr.results.comparison import (
    Comparison,
    Data,
    LabelFrequency,
    Partition,
    Statistics,
    TrainingSettings,
)
from fedcxr.results.details import Calibration, Curves, Subgroups
from fedcxr.results.run import Manifest, RunFacts, RunSummary, SiteCounts
from fedcxr.results.score import UNDEFINED, Score
from fedcxr.runs.predictions import Predictions

ARM = "federated"
"""The name of a run's one arm."""
LEVEL = 0.95
"""Of a run's intervals."""

_MEASURES = ("round", "train_loss", "val_loss", "val_macro_auroc", "val_accuracy")
_ON_TEST = ("test_loss", "test_accuracy")


def as_comparison(facts: RunFacts, test: Predictions | None, val: Predictions | None) -> Comparison:
    """Return a run as a comparison of one arm.

    Args:
        facts: of the run.
        test: predictions as they are scored; None where the run is not finished.
        val: likewise.
    """
    manifest, config = facts.manifest, facts.config
    return Comparison(
        name=manifest.run,
        created=manifest.created,
        fedcxr=manifest.fedcxr,
        data=_data(facts, test),
        training=_training(config, manifest),
        statistics=Statistics(level=LEVEL, margin=None),
        protocol=None,
        deviations=(),
        endpoint=None,
        arms=(_arm(facts, test),),
        differences=(),
        site_matrix=SiteMatrix(sites=(), models=(), macro_auroc=(), labels=(), worst={}),
        site_differences=(),
        label_frequencies=_frequencies(manifest, test, val),
        warnings=(),
        notes=manifest.data.notes,
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


def _training(config: ExperimentConfig, manifest: Manifest) -> TrainingSettings:
    return TrainingSettings(
        seeds=(config.seed,),
        rounds=config.server.rounds,
        local_epochs=config.train.local_epochs,
        moments=config.train.moments,
        batch_size=config.train.batch_size,
        learning_rate=config.train.learning_rate,
        learning_rate_how=config.train.lr_schedule,
        model=config.model.name,
        image_size=config.model.image_size,
        precision=manifest.precision.dtype,
    )


def _arm(facts: RunFacts, test: Predictions | None) -> ArmResult:
    """Return the run's model as an arm; nothing was judged of it yet where there is no summary."""
    summary, config = facts.summary, facts.config
    last = max((line.round for line in facts.rounds), default=0)
    return ArmResult(
        name=ARM,
        title="Global model",
        budget=f"rounds: {last}, local epochs: {config.train.local_epochs}",
        models=1,
        images_seen=sum(line.images for line in facts.rounds),
        steps=last * max((_steps(site, config) for site in facts.plan.sites), default=0),
        seconds=sum(line.seconds_train or 0.0 for line in facts.rounds),
        bytes_up=sum(line.bytes_up for line in facts.rounds),
        bytes_down=sum(line.bytes_down for line in facts.rounds),
        scored=len(test.target) if test else 0,
        macro_labels=summary.macro_labels if summary else 0,
        macro_auroc=_macro(summary),
        macro_ap=UNDEFINED,
        five_auroc=None,
        seed_sd=None,
        macro_by_seed=(summary.macro_auroc if summary else None,),
        by_label=_by_label(summary) if summary else {},
        learning=_learning(facts),
        differs={},
        curves=_curves(test) if test else {},
        operating_points=(),
        calibration=Calibration(temperature=None, temperature_range=None, reason=None, by_label={}),
        decision_curves={},
        subgroups=Subgroups(rule="", rows=()),
    )


def _steps(site: SiteCounts, config: ExperimentConfig) -> int:
    """Return a site's steps of a round; a last batch of one image is dropped."""
    size, most = config.train.batch_size, config.train.max_steps
    whole, left = divmod(site.train_images, size)
    steps = max(1, config.train.local_epochs * (whole + (left > 1)))
    return min(most, steps) if most else steps


def _macro(summary: RunSummary | None) -> Score:
    if summary is None:
        return Score(value=None, reason="no test result yet")
    why = summary.macro_auroc_reason
    if summary.macro_auroc is None:
        why = "not defined: no label has both classes in the test set"
    return Score(value=summary.macro_auroc, ci=summary.macro_auroc_ci, reason=why)


def _by_label(summary: RunSummary) -> dict[str, LabelScores]:
    return {
        label: LabelScores(
            auroc=Score(value=found.value, ci=found.ci, reason=found.reason),
            ap=UNDEFINED,
            positives=found.positives,
            negatives=found.negatives,
        )
        for label, found in summary.auroc.items()
    }


def _learning(facts: RunFacts) -> tuple[LearningCurve, ...]:
    """Return the curve of the global model, and the training loss of each site."""
    if not facts.rounds:
        return ()
    numbers = tuple(line.round for line in facts.rounds)
    measures = (*_MEASURES, *_ON_TEST) if facts.config.server.test_curve else _MEASURES
    whole = {key: tuple(getattr(line, key) for line in facts.rounds) for key in measures}
    curves = [LearningCurve.model_validate({"seed": facts.config.seed, "site": None, **whole})]
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


def _curves(test: Predictions) -> dict[str, Curves]:
    """Return the curves of every label that has both classes."""
    found = {}
    for column, label in enumerate(test.labels):
        target, probs = test.target[:, column], test.probs[None, :, column]
        roc, pr = mean_roc(target, probs), mean_pr(target, probs)
        if len(roc.x):
            found[label] = Curves(
                fpr=tuple(roc.x.tolist()),
                tpr=tuple(roc.mean.tolist()),
                tpr_low=(),
                tpr_high=(),
                recall=tuple(pr.x.tolist()),
                precision=tuple(pr.mean.tolist()),
                precision_low=(),
                precision_high=(),
            )
    return found


def _frequencies(
    manifest: Manifest, test: Predictions | None, val: Predictions | None
) -> dict[str, LabelFrequency]:
    """Return positive and known targets, once all three splits can be counted."""
    after = manifest.label_counts.after
    if after is None or test is None or val is None:
        return {}
    found = {}
    for column, label in enumerate(test.labels):
        positive, negative = after[label]["positive"], after[label]["negative"]
        found[label] = LabelFrequency(
            train=(positive, positive + negative),
            val=val.positive_and_known(column),
            test=test.positive_and_known(column),
        )
    return found
