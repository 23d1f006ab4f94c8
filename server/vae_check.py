"""Can the run's sites have VAEs at all? Asked before anything is trained."""

import shutil
from pathlib import Path

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.train import AugmentConfig
from fedcxr.config.vae import OF_A_VAE, VaeConfig
from fedcxr.errors import ConfigError, DataError, some
from fedcxr.models.vae import vae_size
from partitions.plan import PartitionPlan
from partitions.unseen import OWN_DATA


def check_vae(config: ExperimentConfig) -> None:
    """Raise ConfigError where the settings of the VAE do not go together, or have no effect."""
    vae = config.vae
    if not vae.enabled:
        default = VaeConfig()
        idle = [k for k in VaeConfig.model_fields if getattr(vae, k) != getattr(default, k)]
        if idle:
            raise ConfigError(
                f"vae.{idle[0]} = {getattr(vae, idle[0])}: acts where sites have VAEs. Add --vae "
                "(vae.enabled=true), or leave it out."
            )
        return
    if vae.trains:
        vae_size(vae, config.model.image_size)
    else:
        _check_control(config)
    if vae.use == "pretrain" and vae.pretrain_rounds >= config.server.rounds:
        raise ConfigError(
            f"vae.pretrain_rounds = {vae.pretrain_rounds}: of {config.server.rounds} rounds none "
            "would train on real images. Give more server.rounds, or fewer of these."
        )
    if vae.use == "mix" and vae.pretrain_rounds != VaeConfig().pretrain_rounds:
        raise ConfigError(
            "vae.pretrain_rounds: acts under vae.use=pretrain. Set that, or leave it out."
        )


def _check_control(config: ExperimentConfig) -> None:
    """Raise ConfigError where real images are added again and a key would have no effect."""
    added, default = config.vae.added, VaeConfig()
    idle = [key for key in OF_A_VAE if getattr(config.vae, key) != getattr(default, key)]
    if idle:
        raise ConfigError(
            f"vae.{idle[0]} = {getattr(config.vae, idle[0])}: acts where a VAE is trained, and "
            f"vae.added={added} trains none. Leave one of the two out."
        )
    if added == "classical" and config.train.augment.name != "views":
        raise ConfigError(
            "vae.added = classical: is of train.augment.name=views, and it is "
            f"{config.train.augment.name}. Leave one of the two out."
        )
    if added == "classical" and _draws_nothing(config.train.augment):
        raise ConfigError(
            "vae.added = classical: train.augment draws no other view of an image, so these would "
            "be copies. Set one of its keys, as train.augment.flip=0.5, or add copies."
        )


def _draws_nothing(views: AugmentConfig) -> bool:
    still = AugmentConfig(min_crop_area=1.0, max_aspect=1.0, flip=0.0, max_rotation_deg=0.0)
    return views == still


def check_vae_data(
    config: ExperimentConfig, plan: PartitionPlan, labels: tuple[str, ...], *, place: Path
) -> None:
    """Check that some site can have a VAE, and that the disk has room for what they make.

    Args:
        config: the run's.
        plan: its partition.
        labels: that are trained.
        place: a folder on the disk where simulated sites keep their samples.

    Raises:
        ConfigError: a label that is not trained, or no room.
        DataError: every site has too few images, or a label that is to be sampled no positives.
    """
    vae = config.vae
    if not vae.enabled:
        return
    unknown = [label for label in vae.labels if label not in labels]
    if unknown:
        raise ConfigError(
            f"vae.labels: {some(unknown)} is not among the labels: {some(list(labels), 14)}."
        )
    most = max((site.train_images for site in plan.sites), default=0)
    if most < vae.min_images:
        raise DataError(
            f"vae: the largest site has {most} training images, and a VAE of fewer than "
            f"{vae.min_images} learns them by heart (vae.min_images). Partition for fewer sites, "
            "or train without --vae."
        )
    empty = [
        label
        for label in vae.labels
        if not any(site.label_counts[label]["positive"] for site in plan.sites)
    ]
    if empty and plan.scheme != OWN_DATA:  # of whose tables nobody knows the labels
        raise DataError(
            f"vae.labels: no site has a positive of {some(empty)}, so there is nothing to sample "
            "it from. Leave it out."
        )
    _check_room(config, plan, len(labels), place)


def _check_room(
    config: ExperimentConfig, plan: PartitionPlan, num_labels: int, place: Path
) -> None:
    vae = config.vae
    each = vae.samples_per_label * (len(vae.labels) or num_labels)
    each *= 2 if vae.classes == "both" else 1
    samples = sum(min(each, int(vae.max_ratio * site.train_images)) for site in plan.sites)
    needed = samples * config.model.image_size**2 * (1 if vae.every is None else 2)
    there = next(folder for folder in (place, *place.parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise ConfigError(
            f"vae: {samples:,} samples take {needed / 2**20:,.0f} MiB, and the disk of {there} has "
            f"{free / 2**20:,.0f} MiB left. Make room, set FEDCXR_HOME to another disk, or lower "
            "vae.samples_per_label or vae.max_ratio."
        )
