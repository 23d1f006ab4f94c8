"""Repeated draws of patients to sites, and folds: where each lies, the seeds of its trainings.

A verdict from one partition is about that partition. With several, all arms are trained on each,
and the global validation and test patients are the same in all. A training is nested in its
partition: none shares its seed, and so its first weights, with a training on another, or the means
of two partitions would have them in common and differ too little.

The folds of a cross-validation are partitions too, each with other test patients.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import with_values
from fedcxr.data.origin import FoldsPart, TestSet
from fedcxr.errors import ArtefactError, ConfigError
from partitions.assign import SCHEMES
from partitions.changes import write_contents
from partitions.plan import PartitionPlan, read_plan
from partitions.prepare import Prepared, prepare
from server.start import copy_plan

SEEDS_APART = 100
"""Between the first seeds of two partitions: no partition has more trainings of an arm."""


def folds_of(config: ExperimentConfig) -> int | None:
    """Return how many folds a comparison is tested on, each in turn; None = on one test set.

    >>> from fedcxr.config.load import load_config
    >>> folds_of(load_config(overrides={"partition.folds": 5}))
    5
    >>> folds_of(load_config(overrides={"partition.folds": 5, "partition.fold": 0}))  # fold 0 alone
    """
    partition = config.partition
    return partition.folds if partition.folder is None and partition.fold is None else None


def count_partitions(config: ExperimentConfig) -> int:
    """Return on how many partitions every arm is trained: folds, or draws."""
    return folds_of(config) or config.compare.partitions


def check_draws(config: ExperimentConfig) -> None:
    """Refuse several partitions where there is nothing to draw, and what folds do not go with.

    Raises:
        ConfigError: the partition is given, or its scheme says of each patient where they belong;
            or in a cross-validation something was chosen, or tested, beside the folds.
    """
    number, partition = config.compare.partitions, config.partition
    _check_folds(config)
    if number == 1:
        return
    asked = f"compare.partitions={number}"
    if partition.folder is not None:
        raise ConfigError(
            f"{asked}: {partition.folder} is one partition, drawn already. Leave --partition out "
            "to have several drawn, or leave out --partitions."
        )
    if SCHEMES.get(partition.scheme).is_fixed:
        raise ConfigError(
            f"{asked}: partition.scheme={partition.scheme} says of each patient to which site they "
            "belong, so that another draw would be no other hospitals. Leave --partitions out, or "
            f"name a --scheme that draws: {', '.join(_drawing_schemes())}."
        )
    if partition.folds is not None:
        raise ConfigError(
            f"{asked}: each draw is tested on the same patients, and partition.folds="
            f"{partition.folds} tests each fold on others. Leave --folds or --partitions out."
        )


def _check_folds(config: ExperimentConfig) -> None:
    partition = config.partition
    asked = f"partition.folds={partition.folds}"
    if partition.folder is not None and partition.folds is not None and partition.fold is None:
        raise ConfigError(
            f"{asked}: {partition.folder} is one partition, made already. Leave --partition out to "
            "have the folds made, or leave out --folds."
        )
    if folds_of(config) is None:
        return
    if config.compare.learning_rates:
        raise ConfigError(
            f"{asked}: compare.learning_rates would be tried on the first fold, whose validation "
            "patients are tested in another. Leave --learning-rates out, or add --fold to compare "
            "on one fold."
        )
    if config.compare.external:
        raise ConfigError(
            f"{asked}: compare.external: how far a mean over folds moves on other hospitals' "
            "patients is not worked out. Leave --external out, or add --fold to compare on one "
            "fold."
        )


def prepare_draws(config: ExperimentConfig) -> list[Prepared]:
    """Return what each draw's or fold's trainings stand on.

    Raises:
        FedCxrError: as `prepare` raises them.
    """
    folds = folds_of(config)
    if folds is not None:
        return [prepare(with_values(config, {"partition.fold": fold})) for fold in range(folds)]
    return [prepare(config, draw=number) for number in range(config.compare.partitions)]


def keep_draws(folder: Path, prepared: Sequence[Prepared]) -> None:
    """Copy every partition into the comparison's folder, with what its image files hold."""
    for number, one in enumerate(prepared):
        place = draw_folder(folder, number) / "partition"
        copy_plan(one.plan, place)
        write_contents(place, one.plan, one.contents)


def read_draws(folder: Path, config: ExperimentConfig) -> list[PartitionPlan]:
    """Return the plan of every draw, or fold, of a comparison.

    Raises:
        ArtefactError: one is missing or damaged.
    """
    places = [draw_folder(folder, n) / "partition" for n in range(count_partitions(config))]
    missing = sum(not place.is_dir() for place in places)
    if missing:
        key = "compare.partitions" if folds_of(config) is None else "partition.folds"
        raise ArtefactError(
            f"{folder}: {key} is {len(places)} and {len(places) - missing} were drawn "
            "when the comparison began. Put config.yaml back as it was, or start a new comparison."
        )
    return [read_plan(place) for place in places]


def held_out_set(config: ExperimentConfig, plans: Sequence[PartitionPlan]) -> TestSet:
    """Return where a comparison's test patients are from: draws have the same, folds others."""
    folds = folds_of(config)
    if folds is None:
        return plans[0].test_set
    patients = sum(plan.test_set.patients for plan in plans)
    return replace(plans[0].test_set, parts=(FoldsPart(folds, patients),))


def draw_folder(folder: Path, number: int) -> Path:
    """Return where a draw's or fold's partition and those made of it are: the first in `folder`."""
    return folder / "draws" / str(number) if number else folder


def seeds_of(config: ExperimentConfig, partition: int) -> list[int]:
    """Return the seeds of an arm's trainings on one partition.

    >>> from fedcxr.config.load import load_config
    >>> seeds_of(load_config(overrides={"seed": 7, "compare.seeds": 2}), 1)
    [107, 108]
    """
    first = config.seed + SEEDS_APART * partition
    return [first + number for number in range(config.compare.seeds)]


def all_seeds(config: ExperimentConfig) -> list[int]:
    """Return the seeds of an arm's trainings, partition by partition."""
    return [s for number in range(count_partitions(config)) for s in seeds_of(config, number)]


def _drawing_schemes() -> Iterator[str]:
    return (name for name in SCHEMES.names() if not SCHEMES.get(name).is_fixed)
