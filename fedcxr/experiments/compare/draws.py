"""Repeated draws of patients to sites: where each lies, and the seeds of its trainings.

A verdict from one partition is about that partition. With several, all arms are trained on each,
and the global validation and test patients are the same in all. A training is nested in its
partition: none shares its seed, and so its first weights, with a training on another, or the means
of two partitions would have them in common and differ too little.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.errors import ArtefactError, ConfigError
from partitions.assign import SCHEMES
from partitions.changes import write_contents
from partitions.plan import PartitionPlan, read_plan
from partitions.prepare import Prepared, prepare
from server.start import copy_plan

SEEDS_APART = 100
"""Between the first seeds of two partitions: no partition has more trainings of an arm."""


def check_draws(config: ExperimentConfig) -> None:
    """Refuse several partitions where there is nothing to draw.

    Raises:
        ConfigError: the partition is given, or its scheme says of each patient where they belong.
    """
    number, partition = config.compare.partitions, config.partition
    if number == 1:
        return
    asked = f"compare.partitions={number}"
    if partition.folder is not None:
        raise ConfigError(
            f"{asked}: {partition.folder} is one partition, drawn already. Leave --partition out "
            "to have several drawn, or leave out --partitions."
        )
    if SCHEMES[partition.scheme].is_fixed:
        raise ConfigError(
            f"{asked}: partition.scheme={partition.scheme} says of each patient to which site they "
            "belong, so that another draw would be no other hospitals. Leave --partitions out, or "
            f"name a --scheme that draws: {', '.join(_drawing_schemes())}."
        )
    if partition.folds is not None:
        raise ConfigError(
            f"{asked}: partition.folds={partition.folds} tests on fold {partition.fold} alone, and "
            "each draw is tested on the same patients. Leave --folds or --partitions out."
        )


def prepare_draws(config: ExperimentConfig) -> list[Prepared]:
    """Return what each draw's trainings stand on.

    Raises:
        FedCxrError: as `prepare` raises them.
    """
    return [prepare(config, draw=number) for number in range(config.compare.partitions)]


def keep_draws(folder: Path, prepared: Sequence[Prepared]) -> None:
    """Copy every partition into the comparison's folder, with what its image files hold."""
    for number, one in enumerate(prepared):
        place = draw_folder(folder, number) / "partition"
        copy_plan(one.plan, place)
        write_contents(place, one.plan, one.contents)


def read_draws(folder: Path, config: ExperimentConfig) -> list[PartitionPlan]:
    """Return the plan of every draw of a comparison.

    Raises:
        ArtefactError: one is missing or damaged.
    """
    places = [draw_folder(folder, n) / "partition" for n in range(config.compare.partitions)]
    missing = sum(not place.is_dir() for place in places)
    if missing:
        raise ArtefactError(
            f"{folder}: compare.partitions is {len(places)} and {len(places) - missing} were drawn "
            "when the comparison began. Put config.yaml back as it was, or start a new comparison."
        )
    return [read_plan(place) for place in places]


def draw_folder(folder: Path, number: int) -> Path:
    """Return where the partition of a draw and those derived of it are: the first in `folder`."""
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
    return [s for number in range(config.compare.partitions) for s in seeds_of(config, number)]


def _drawing_schemes() -> Iterator[str]:
    return (name for name, scheme in SCHEMES.items() if not scheme.is_fixed)
