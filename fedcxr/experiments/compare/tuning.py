"""The learning rate of each arm of a comparison, each tried equally often, judged on val."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import with_values
from fedcxr.experiments.compare.arms import Arm, Training, trainings_of
from fedcxr.results.reading import read_rounds
from fedcxr.runs.folder import RunFolder
from partitions.plan import PartitionPlan

Train = Callable[[Sequence[Training]], None]
"""Does some trainings."""


def tuned(
    folder: Path,
    config: ExperimentConfig,
    arms: Sequence[Arm],
    plans: Mapping[Path, PartitionPlan],
    train: Train,
) -> list[Arm]:
    """Return the arms at the learning rate that did best on val, each tried equally often.

    Tried on the first partition alone: all have the same validation patients.
    """
    rates = config.compare.learning_rates
    if not rates:
        return list(arms)
    run = RunFolder(folder)
    best = run.read_json("manifest.json").get("learning_rates") or {}
    first = [arm for arm in arms if not arm.partition]
    if set(best) != {arm.name for arm in first}:
        tried = {
            (arm.name, rate): trainings_of(
                at_rate(arm, rate), [config.seed], _tuning(folder, rate), plans
            )
            for arm in first
            for rate in rates
        }
        train([t for trainings in tried.values() for t in trainings])
        best = {
            arm.name: max(rates, key=lambda rate: _val_auroc(tried[arm.name, rate]))
            for arm in first
        }
        run.update_manifest(learning_rates=best)
    for arm in first:
        for training in trainings_of(arm, [config.seed], folder / "arms", plans):
            done = _tuning(folder, best[arm.name]) / training.name
            if done.is_dir() and not training.folder.exists():  # this very training: not again
                training.folder.parent.mkdir(parents=True, exist_ok=True)
                done.rename(training.folder)
    return [at_rate(arm, best[arm.name]) for arm in arms]


def _tuning(folder: Path, rate: float) -> Path:
    return folder / "tuning" / str(rate)


def at_rate(arm: Arm, rate: float) -> Arm:
    """Return the arm with another learning rate."""
    return dataclasses.replace(arm, config=with_values(arm.config, {"train.learning_rate": rate}))


def _val_auroc(trainings: Sequence[Training]) -> float:
    """Return the mean over models of the best round's macro AUROC on val; 0 where none has one."""
    found = []
    for training in trainings:
        scored = (line.val_macro_auroc or 0.0 for line in read_rounds(training.folder))
        found.append(max(scored, default=0.0))
    return sum(found) / len(found)
