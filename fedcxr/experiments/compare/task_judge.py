"""The arms of a binary task at a probability of a half, and the heat maps of their first trainings.

A network of one logit z has the probability sigmoid(z); one of two logits a softmax, which is
sigmoid of their difference. So the likelier of two classes is that of a probability of a half.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.model import network_title
from fedcxr.experiments.compare.arms import Arm, Training
from fedcxr.metrics.scored_rates import CalledImages, Rate, call_images, score_rate
from fedcxr.results.judging.all_models import AllModels, Pair, ScoreTable
from fedcxr.results.reading import read_summary
from fedcxr.results.score import Score
from fedcxr.results.task_scores import HALF, TaskArm, TaskDifference, TaskExample, TaskScores

_RATES: Mapping[str, Rate] = {
    "accuracy": "accuracy",
    "precision": "ppv",
    "recall": "sensitivity",
    "f1": "f1",
}
"""By what studies of one question call them."""


def task_scores(
    folder: Path,
    config: ExperimentConfig,
    arms: Sequence[Arm],
    by_arm: Mapping[str, Sequence[Training]],
    models: AllModels,
) -> TaskScores | None:
    """Return what the arms give for a binary task, None for a run of another kind.

    Args:
        folder: the comparison's.
        config: of it.
        arms: of the first partition.
        by_arm: the finished trainings of each.
        models: their predictions.
    """
    task = config.data.task
    if task is None:
        return None
    test = models.test
    called = call_images(
        test.target, models.probs, models.patient, test.labels, HALF, units=models.units
    )
    tables = {name: models.table(score_rate(called, rate)) for name, rate in _RATES.items()}
    return TaskScores(
        task=task,
        label=test.labels[0],
        arms=tuple(_arm(arm, models, called, tables) for arm in arms),
        differences=tuple(_difference(pair, models, tables) for pair in models.pairs),
        examples=tuple(
            example for arm in arms for example in _examples(folder, by_arm[arm.name][0])
        ),
    )


def _arm(
    arm: Arm, models: AllModels, called: CalledImages, tables: Mapping[str, ScoreTable]
) -> TaskArm:
    cells = called.cells()[models.rows(arm.name), 0].mean(axis=0).tolist()
    return TaskArm(
        arm=arm.name,
        model=network_title(arm.config.model.name),
        added=arm.config.vae.added if arm.config.vae.enabled else "none",
        **dict(zip(("tp", "fn", "fp", "tn"), cells, strict=True)),
        **{name: table.arms[arm.name][0] for name, table in tables.items()},
        auroc=Score.of(models.scored.mean("auroc", arm.name, [0])),
    )


def _difference(pair: Pair, models: AllModels, tables: Mapping[str, ScoreTable]) -> TaskDifference:
    arm, against = pair
    return TaskDifference(
        arm=arm,
        against=against,
        about="methods" if models.scored.is_of_methods(pair) else "models",
        **{name: table.pairs[pair][0] for name, table in tables.items()},
        auroc=Score.of(models.scored.difference("auroc", pair, [0])),
    )


def _examples(folder: Path, training: Training) -> list[TaskExample]:
    return [
        TaskExample(
            arm=training.arm,
            folder=training.folder.relative_to(folder).as_posix(),
            heat_map=heat_map,
        )
        for heat_map in read_summary(training.folder).heat_maps.files
    ]
