"""The arms of a comparison: what each one trains on, for how long, and under which configuration.

Every arm starts from the same weights (the seed's), sees the same images under the same
augmentation, takes its round on the same validation patients and is judged on the same test
patients. What differs is who trains on what. A centralized or local training is a federation of one
site, in which Adam keeps its moments from round to round: it is one long training that is looked at
after every round.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import check_config
from partitions.plan import PartitionPlan
from partitions.pooled import POOLED, pool_sites, single_site

FEDERATED, CENTRALIZED, LOCAL, FEWER_STEPS = (
    "federated",
    "centralized",
    "local",
    "centralized-steps",
)

_ALONE = {
    "train.moments": "keep",
    "server.codec": "none",
    "server.fraction": 1.0,
    "server.quorum": 1.0,
    "explain.max_boxes": 0,
    "explain.images_per_outcome": 0,
}
"""Over the configuration of the federation, for a training at one place."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of training."""

    name: str
    title: str
    budget: str
    """What it may spend, for a reader."""
    config: ExperimentConfig
    """Without its seed and its partition folder."""
    plans: Mapping[str, Path]
    """Partition folders by the name of the model's home: "" for one model of all sites."""
    travels: bool = False
    """Whether parameters go to and fro between sites and server."""


@dataclass(frozen=True, slots=True)
class Training:
    """One model to train: an arm, a seed and, in the local arm, a site."""

    arm: str
    seed: int
    site: str
    """Blank where the model is not one site's."""
    folder: Path
    config: ExperimentConfig
    images: int
    """That it will see, over all rounds."""

    @property
    def name(self) -> str:
        """Return the name of its run folder."""
        return self.folder.name


def arms_of(
    config: ExperimentConfig,
    plan: PartitionPlan,
    folder: Path,
    further: Mapping[str, ExperimentConfig],
) -> list[Arm]:
    """Return the arms of a comparison, the derived partitions written below `folder`.

    Args:
        config: of the federation, and of what is compared.
        plan: the partition of the federation.
        folder: the comparison's own.
        further: configurations of arms beyond the built-in ones, by name.

    Raises:
        ArtefactError: a partition cannot be written.
    """
    found = []
    for name in config.compare.arms:
        if name == FEDERATED:
            found.append(_federated(config, plan))
        elif name == LOCAL:
            found.append(_local(config, plan, folder / "partitions"))
        else:
            pooled = pool_sites(plan, folder / "partitions" / POOLED)
            found.append(_centralized(config, plan, pooled, name))
    for title, own in further.items():
        budget = f"as its file says: {own.server.rounds} rounds of {_epochs(own)} at each site"
        found.append(Arm(title, title, budget, own, {"": plan.folder}, travels=True))
    return found


def trainings_of(
    arm: Arm, seeds: Sequence[int], folder: Path, plans: Mapping[Path, PartitionPlan]
) -> list[Training]:
    """Return every training of an arm, seed by seed.

    Args:
        arm: from `arms_of`.
        seeds: of the trainings.
        folder: where their run folders are.
        plans: the plans in the arm's partition folders.
    """
    return [
        Training(
            arm.name,
            seed,
            site,
            folder / "-".join([arm.name, f"seed-{seed}", *([site] if site else [])]),
            with_keys(arm.config, {"seed": seed, "partition.folder": str(place)}),
            presentations(arm.config, plans[place]),
        )
        for seed in seeds
        for site, place in arm.plans.items()
    ]


def presentations(config: ExperimentConfig, plan: PartitionPlan) -> int:
    """Return how many images a training on a plan looks at, repeats counted."""
    most = (config.train.max_steps or 10**12) * config.train.batch_size
    sites = [min(config.train.local_epochs * s.train_images, most) for s in plan.sites]
    return round(config.server.rounds * config.server.fraction * sum(sites))


def steps_of_largest_site(config: ExperimentConfig, plan: PartitionPlan) -> int:
    """Return the steps of a round at the site that takes most of them."""
    size = config.train.batch_size
    epochs = (n // size + (n % size > 1) for n in (site.train_images for site in plan.sites))
    return max(1, config.train.local_epochs * max(epochs))


def with_keys(config: ExperimentConfig, keys: Mapping[str, object]) -> ExperimentConfig:
    """Return the configuration with some values changed, by dotted key."""
    tree: dict[str, Any] = config.model_dump(mode="json")
    for key, value in keys.items():
        *sections, last = key.split(".")
        place = tree
        for section in sections:
            place = place[section]
        place[last] = value
    return check_config(tree)


def _federated(config: ExperimentConfig, plan: PartitionPlan) -> Arm:
    budget = f"{config.server.rounds} rounds of {_epochs(config)} at each site"
    return Arm(FEDERATED, "Federated (FedAvg)", budget, config, {"": plan.folder}, travels=True)


def _centralized(
    config: ExperimentConfig, plan: PartitionPlan, pooled: PartitionPlan, name: str
) -> Arm:
    keys: dict[str, object] = {**_ALONE}
    if config.server.batch_norm == "local":
        keys["server.batch_norm"] = "average"
    title, spent = "Centralized", "as many images as all sites together"
    if name == FEWER_STEPS:
        steps = steps_of_largest_site(config, plan)
        keys["train.max_steps"] = steps
        title = "Centralized, equal steps"
        spent = f"as many steps as the largest site ({steps} a round)"
    return Arm(name, title, spent, with_keys(config, keys), {"": pooled.folder})


def _local(config: ExperimentConfig, plan: PartitionPlan, folder: Path) -> Arm:
    keys: dict[str, object] = {**_ALONE}
    if config.server.batch_norm == "local":
        keys["server.batch_norm"] = "average"
    plans = {s.site_id: single_site(plan, s.site_id, folder / s.site_id).folder for s in plan.sites}
    budget = f"{config.server.rounds} times {_epochs(config)} of each site's own images"
    return Arm(LOCAL, "Local (each site alone)", budget, with_keys(config, keys), plans)


def _epochs(config: ExperimentConfig) -> str:
    number = config.train.local_epochs
    return "1 epoch" if number == 1 else f"{number} epochs"
