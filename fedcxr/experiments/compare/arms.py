"""The arms of a comparison: what each one trains on, for how long, and under which configuration.

Every arm starts from the same weights (the seed's), sees the same images under the same
augmentation, takes its round on the same validation patients and is judged on the same test
patients. What differs is who trains on what. A centralized or local training is a federation of one
site, in which the optimiser keeps its state from round to round: it is one long training that is
looked at after every round. At the sites of a federation the optimiser starts anew each round;
`RESTARTS` is the centralized training in which it does so too, and tells what that alone costs.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import with_values
from fedcxr.errors import ConfigError
from fedcxr.experiments.byzantine.hostile_sites import HostileSites
from fedcxr.experiments.compare.budget_words import epochs, most_rounds, rounds, whose_model
from fedcxr.experiments.compare.draws import folds_of
from fedcxr.experiments.compare.variants import Variant, check_study, variants_of, with_variant
from partitions.plan import PartitionPlan
from partitions.pooled import POOLED, pool_sites, single_site
from server.choices import check_cohort
from server.cohort import cohort_size

FEDERATED, CENTRALIZED, LOCAL, FEWER_STEPS, RESTARTS = (
    "federated",
    "centralized",
    "local",
    "centralized-steps",
    "centralized-restarts",
)

_ALONE = {
    "train.moments": "keep",
    "algorithm.name": "fedavg",
    "server.aggregator": "mean",
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
    federation: Path
    """Partition folder of the federation, at whose sites every model is scored."""
    partition: int = 0
    """Which of the draws of patients to sites it trains on."""
    travels: bool = False
    """Whether parameters go to and fro between sites and server."""
    variant: Variant | None = None
    """In a study of augmentation, what it adds."""
    setting: str = ""
    """In such a study, how it is trained beside that; empty where all arms are trained alike."""


@dataclass(frozen=True, slots=True)
class Training:
    """One model to train: an arm, a partition, a seed and, in the local arm, a site."""

    arm: str
    seed: int
    """No other training of the arm has it, unless of another site: not on another partition
    either."""
    site: str
    """Blank where the model is not one site's."""
    folder: Path
    config: ExperimentConfig
    images: int
    """That it will see, over all rounds."""
    federation: Path
    """Partition folder at whose sites the model is scored."""
    partition: int = 0
    """Which of the draws of patients to sites it is trained on."""
    external: tuple[Path, ...] = ()
    """Folders of the external sets that the model is scored on."""
    hostile: HostileSites | None = None
    """Of a study of attacks, also where it has no attack; none = no such study."""

    @property
    def name(self) -> str:
        """Return the name of its run folder."""
        return self.folder.name


def check_arms(config: ExperimentConfig) -> None:
    """Refuse an arm that would be no other than another one, or could not be held against it.

    Raises:
        ConfigError: an optimiser is to start anew as the sites' does, which goes on; how long sites
            train is not known beforehand; a study of augmentation could not answer; or an
            aggregator needs more sites than a round has.
    """
    check_study(config)
    if FEDERATED in config.compare.arms:
        check_cohort(config, config.partition.clients)
    if RESTARTS in config.compare.arms and config.train.moments == "keep":
        raise ConfigError(
            f"compare.arms: {RESTARTS} is centralized training whose optimiser starts anew as "
            f"often as at the sites, and under train.moments=keep it never does there. Leave "
            f"{RESTARTS} out, or set train.moments=restart."
        )
    central = [arm for arm in config.compare.arms if arm not in (FEDERATED, LOCAL)]
    if central and config.vae.enabled and not config.vae.same_steps:
        raise ConfigError(
            f"compare.arms: {', '.join(central)} sees as many images or takes as many steps as the "
            "sites do, and with vae.same_steps=false nobody knows beforehand how many that is. "
            "Leave vae.same_steps on, or those arms out."
        )


def arms_of(
    config: ExperimentConfig,
    plan: PartitionPlan,
    folder: Path,
    extra_arms: Mapping[str, ExperimentConfig],
    *,
    pooled: Collection[str] = (),
    partition: int = 0,
) -> list[Arm]:
    """Return the arms of a comparison on one partition, derived ones written below `folder`.

    Args:
        config: of the federation, and of what is compared.
        plan: the partition of the federation.
        folder: the comparison's own, or the draw's.
        extra_arms: configurations of arms beyond the built-in ones, by name.
        pooled: which of them train on all sites' images at one place.
        partition: which of the draws `plan` is.

    Raises:
        ArtefactError: a partition cannot be written.
    """

    @cache
    def all_sites() -> PartitionPlan:
        return pool_sites(plan, folder / "partitions" / POOLED)

    found = []
    for name in config.compare.arms:
        if name == FEDERATED:
            found.append(_federated(config, plan))
        elif name == LOCAL:
            found.append(_local(config, plan, folder / "partitions"))
        else:
            found.append(_centralized(config, plan, all_sites(), name))
    if variants := variants_of(config):
        found = [_varied(arm, each, config, plan) for arm in found for each in variants]
    for title, own in extra_arms.items():
        budget = f"as its settings say: {rounds(own)}{whose_model(own)}"
        extra = Arm(title, title, budget, own, {"": plan.folder}, plan.folder, travels=True)
        if title in pooled:
            extra = replace(_centralized(own, plan, all_sites(), title), title=title)
        found.append(extra)
    return [replace(arm, partition=partition) for arm in found]


def _varied(arm: Arm, variant: Variant, config: ExperimentConfig, plan: PartitionPlan) -> Arm:
    """Return an arm of a study: a way of training, with what the variant adds."""
    is_pooled = arm.name not in (FEDERATED, LOCAL)
    setting = variant.setting(arm.title if len(config.compare.arms) > 1 else "")
    return replace(
        arm,
        name=variant.name(arm.name),
        title=f"{setting}: {variant.title}" if setting else variant.title,
        setting=setting,
        budget=f"{arm.budget}; {variant.budget}",
        config=with_variant(arm.config, variant, pooled_sites=len(plan.sites) if is_pooled else 1),
        variant=variant,
    )


def names_of(arms: Sequence[Arm]) -> list[str]:
    """Return what the arms are called, each once: they are the same on every partition."""
    return list(dict.fromkeys(arm.name for arm in arms))


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
            folder / _run_name(arm, seed, site),
            with_values(arm.config, {"seed": seed, "partition.folder": str(place)}),
            presentations(arm.config, plans[place]),
            arm.federation,
            arm.partition,
        )
        for seed in seeds
        for site, place in arm.plans.items()
    ]


def _run_name(arm: Arm, seed: int, site: str) -> str:
    """Return the name of a training's run folder; what all trainings have in common is not in it.

    No two are alike, whatever an arm is called: a seed is of one partition.
    """
    draw = [f"partition-{arm.partition}"] if arm.partition else []
    if folds_of(arm.config) is not None:
        draw = [f"fold-{arm.partition}"]
    return "-".join([arm.name, *draw, f"seed-{seed}", *([site] if site else [])])


def presentations(config: ExperimentConfig, plan: PartitionPlan) -> int:
    """Return how many images a training on a plan looks at, repeats counted."""
    most = (config.train.max_steps or 10**12) * config.train.batch_size
    sites = [min(config.train.local_epochs * s.train_images, most) for s in plan.sites]
    return round(config.server.rounds * _share(config, plan) * sum(sites))


def steps_by_site(config: ExperimentConfig, plan: PartitionPlan) -> list[int]:
    """Return the steps of a round at each site."""
    return [config.train.steps(site.train_images) for site in plan.sites]


def _federated(config: ExperimentConfig, plan: PartitionPlan) -> Arm:
    title = f"Federated ({config.algorithm.algorithm.title.partition(' (')[0]})"
    budget = rounds(config) + whose_model(config)
    return Arm(FEDERATED, title, budget, config, {"": plan.folder}, plan.folder, travels=True)


def _centralized(
    config: ExperimentConfig, plan: PartitionPlan, pooled: PartitionPlan, name: str
) -> Arm:
    """Return a training on all sites' images.

    With whole epochs at every site the pooled images are gone through as often, which is as many to
    the last one. Where sites stop early, or sit rounds out, steps are counted instead.
    """
    steps = steps_by_site(config, plan)
    title, spent, most = "Centralized", "as many images as all sites together", None
    if name == FEWER_STEPS:
        title, most = "Centralized, equal steps", max(steps)
        spent = f"as many steps as the largest site ({most} a round)"
    elif config.train.max_steps or config.server.fraction < 1:
        most = max(1, round(_share(config, plan) * sum(steps)))
        spent = f"as many steps as the sites of a round together ({most} a round)"
    keys = {**_alone(config), "train.max_steps": most}
    if name == RESTARTS:
        title = "Centralized, optimiser restarted"
        spent += "; the optimiser starts anew each round"
        keys["train.moments"] = "restart"
    changed = with_values(config, keys)
    return Arm(name, title, spent, changed, {"": pooled.folder}, plan.folder)


def _local(config: ExperimentConfig, plan: PartitionPlan, folder: Path) -> Arm:
    plans = {s.site_id: single_site(plan, s.site_id, folder / s.site_id).folder for s in plan.sites}
    budget = f"{most_rounds(config)} times {epochs(config)} of each site's own images"
    alone = with_values(config, _alone(config))
    return Arm(LOCAL, "Local (each site alone)", budget, alone, plans, plan.folder)


def _alone(config: ExperimentConfig) -> dict[str, object]:
    """Return what differs from the federation's configuration at one place."""
    own_norm = {"server.batch_norm": "average"} if config.server.batch_norm == "local" else {}
    return {**_ALONE, **own_norm}


def _share(config: ExperimentConfig, plan: PartitionPlan) -> float:
    """Return the share of the sites that train in a round."""
    return cohort_size(len(plan.sites), config.server.fraction) / len(plan.sites)
