"""What a study of augmentation trains every arm with: real images alone, or with each thing added.

Here stands which variants there are. All variants of an arm take as many steps from the same first
weights, and those that add images add as many, with the same label vectors, at the same sites.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fedcxr.config.compare import Augmentation
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import with_values
from fedcxr.config.model import network_title
from fedcxr.config.vae import OF_A_VAE, VaeConfig
from fedcxr.errors import ConfigError, DataError
from fedcxr.home import home_folder
from fedcxr.models.architectures import check_model
from partitions.plan import PartitionPlan
from server.privacy_check import check_privacy
from server.vae_check import check_vae, check_vae_data

_TITLES: dict[Augmentation, str] = {
    "none": "Real images alone",
    "copies": "Copies",
    "classical": "Classical views",
    "vae": "VAE samples",
}
_BUDGETS: dict[Augmentation, str] = {
    "none": "nothing added",
    "copies": "copies of real images added",
    "classical": "real images under one random view added",
    "vae": "samples of each site's VAE added",
}
_MOST_SAMPLES = 100_000
"""Of `vae.samples_per_label`."""
_QUESTIONS: tuple[tuple[Augmentation, Augmentation], ...] = (
    ("vae", "copies"),
    ("vae", "classical"),
    ("vae", "none"),
    ("copies", "none"),
    ("classical", "none"),
    ("classical", "copies"),
)
"""What is held against what, in the order in which it is tested; the first is the study's."""


@dataclass(frozen=True, slots=True)
class Variant:
    """What of a study is added, to whichever arm, and to which network."""

    augmentation: Augmentation
    model: str = ""
    """The network's name; empty where the study is made with one alone."""

    def name(self, arm: str) -> str:
        """Return what the arm is called that trains as `arm` does, with this added."""
        return "-".join([arm, *([self.model] if self.model else []), self.augmentation])

    def setting(self, way: str) -> str:
        """Return how such an arm is trained beside what it adds, as far as arms differ in it."""
        return ", ".join(filter(None, (network_title(self.model), way)))

    @property
    def title(self) -> str:
        """What is added, for a reader."""
        return _TITLES[self.augmentation]

    @property
    def budget(self) -> str:
        """What is added, as the end of what an arm may spend."""
        return f"{_BUDGETS[self.augmentation]}, in as many steps"


def variants_of(config: ExperimentConfig) -> list[Variant]:
    """Return the variants of every arm; none where nothing is asked about augmentation."""
    return [
        Variant(augmentation, model)
        for model in config.compare.models or ("",)
        for augmentation in config.compare.augmentations
    ]


def study_names(config: ExperimentConfig) -> list[str]:
    """Return what the arms of a study are called; none where nothing is asked of augmentation."""
    return [each.name(arm) for arm in config.compare.arms for each in variants_of(config)]


def networks_of(config: ExperimentConfig) -> list[ExperimentConfig]:
    """Return the configuration with each network that is trained."""
    names = config.compare.models or (config.model.name,)
    return [with_values(config, {"model.name": name}) for name in names]


def with_variant(
    config: ExperimentConfig, variant: Variant, *, pooled_sites: int = 1
) -> ExperimentConfig:
    """Return an arm's configuration with what a variant adds.

    Args:
        config: of the arm.
        variant: of the study.
        pooled_sites: whose images the arm has at one place: it adds what all of them would.
    """
    if variant.model:
        model = config.model.model_copy(update={"name": variant.model})
        config = config.model_copy(update={"model": model})
    if variant.augmentation == "none":
        return config.model_copy(update={"vae": VaeConfig()})
    keys: dict[str, object] = {
        "added": variant.augmentation,
        "samples_per_label": min(_MOST_SAMPLES, pooled_sites * config.vae.samples_per_label),
    }
    if variant.augmentation != "vae":
        keys |= {key: VaeConfig.model_fields[key].default for key in OF_A_VAE}
    return config.model_copy(update={"vae": config.vae.model_copy(update=keys)})


def study_pairs(config: ExperimentConfig, names: Sequence[str]) -> list[tuple[str, str]]:
    """Return which arms of a study are held against which: by question, network and arm.

    An arm of the user's own is held against the first one that trains on what is asked about.

    Args:
        config: of the comparison.
        names: of all arms.
    """
    kinds = config.compare.augmentations
    pairs = [
        (Variant(one, model).name(arm), Variant(other, model).name(arm))
        for one, other in _QUESTIONS
        if one in kinds and other in kinds
        for model in config.compare.models or ("",)
        for arm in config.compare.arms
    ]
    within = study_names(config)
    return [*pairs, *((name, pairs[0][0]) for name in names if name not in within)]


def check_study(config: ExperimentConfig) -> None:
    """Refuse a study of augmentation that could not answer.

    Raises:
        ConfigError: it has one variant, adds nothing, its arms would not take as many steps, or
            one of them does not go with the run's protection.
    """
    asked = config.compare.augmentations
    if not asked and config.compare.models:
        raise ConfigError(
            f"compare.models = {', '.join(config.compare.models)}: several networks are for a "
            "study of augmentation (`fedcxr augment-study`). Set model.name (--model), or give "
            "each of the others an arm, as in --arm alexnet=model.name=alexnet."
        )
    if not asked:
        return
    if len(asked) < 2:
        raise ConfigError(
            f"compare.augmentations = {asked[0]}: there is nothing to hold it against. Name two or "
            "more of none, copies, classical and vae."
        )
    if not config.vae.enabled:
        raise ConfigError(
            f"compare.augmentations = {', '.join(asked)}: needs to know what a site adds. Set "
            "vae.enabled=true (--vae); `fedcxr augment-study` does."
        )
    if config.vae.added != "vae":
        raise ConfigError(
            f"vae.added = {config.vae.added}: a study of augmentation sets it for each arm. Leave "
            "it out, and name what is added in compare.augmentations."
        )
    if not config.vae.same_steps:
        raise ConfigError(
            "vae.same_steps = false: an arm with more images would train for longer, and nobody "
            "could tell what helped. Leave it on in a study of augmentation."
        )
    for variant in variants_of(config):
        own = with_variant(config, variant)
        check_model(own.model)
        check_vae(own)
        check_privacy(own)


def check_site_vaes(
    config: ExperimentConfig,
    plans: Sequence[PartitionPlan],
    labels: tuple[str, ...],
    *,
    is_alone: bool,
) -> None:
    """Refuse before any training an arm whose sites cannot have the VAEs asked for.

    Args:
        config: of the arm.
        plans: of every draw.
        labels: that are trained.
        is_alone: whether each site trains on its own as well.

    Raises:
        ConfigError: a label that is not trained, or no room on the disk.
        DataError: no site has images enough, or positives of a label that is to be sampled; or, in
            local training, one site has not.
    """
    for plan in plans:
        check_vae_data(config, plan, labels, place=home_folder())
        for site in plan.sites if is_alone else ():
            try:
                check_vae_data(config, replace(plan, sites=(site,)), labels, place=home_folder())
            except DataError as err:
                raise DataError(
                    f"compare.arms: local, {site.site_id} on its own: {err} Or leave local out."
                ) from err
