"""What arms give for a binary task at a probability of a half.

A network of one logit z has the probability sigmoid(z); one of two logits a softmax, which is
sigmoid of their difference. So the likelier of two classes is that of a probability of a half.
"""

from collections.abc import Iterable, Mapping

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.model import network_title
from fedcxr.metrics.scored_rates import CalledImages, Rate, call_images, score_rate
from fedcxr.results.judging.all_models import AllModels, Pair, ScoreTable
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
    configs: Mapping[str, ExperimentConfig],
    models: AllModels,
    examples: Iterable[TaskExample] = (),
) -> TaskScores | None:
    """Return what the arms give for a binary task, None for a run of another kind.

    Args:
        configs: of each arm, all of one task.
        models: their predictions.
        examples: heat maps of their first trainings; not asked for without a task.
    """
    task = next(iter(configs.values())).data.task
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
        arms=tuple(_arm(*each, models, called, tables) for each in configs.items()),
        differences=tuple(_difference(pair, models, tables) for pair in models.pairs),
        examples=tuple(examples),
    )


def _arm(
    name: str,
    config: ExperimentConfig,
    models: AllModels,
    called: CalledImages,
    tables: Mapping[str, ScoreTable],
) -> TaskArm:
    cells = called.cells()[models.rows(name), 0].mean(axis=0).tolist()
    return TaskArm(
        arm=name,
        model=network_title(config.model.name),
        added=config.vae.added if config.vae.enabled else "none",
        **dict(zip(("tp", "fn", "fp", "tn"), cells, strict=True)),
        **{key: table.arms[name][0] for key, table in tables.items()},
        auroc=Score.of(models.scored.mean("auroc", name, [0])),
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
