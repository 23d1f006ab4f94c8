"""Does a run's protection go with all else, and can it be had? Asked before anything is trained."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.privacy import PrivacyConfig
from fedcxr.config.vae import VaeConfig
from fedcxr.errors import ConfigError
from fedcxr.models.architectures import random_model
from fedcxr.privacy.accounting import MAX_EPSILON, MAX_NOISE, MIN_NOISE, require_opacus
from fedcxr.privacy.dp_sgd import image_gradients
from fedcxr.training.loop import set_training
from fedcxr.training.losses import LOSSES
from fedcxr.training.private_loop import image_loss
from server.aggregate.known_aggregators import aggregator_registry

_LABELS = 3
"""Of the two made-up images on which a network is tried."""

_IDLE = {
    "patience": "the VAE takes all of vae.epochs and its last weights: to stop early would look "
    "at patients without noise",
    "batch_size": "the VAE's steps take train.batch_size patients on average, as all others do",
    "same_steps": "how many steps a round has follows from the number of patients",
    "share": "a site tells nothing of its VAE",
}
"""Keys of the VAE that do nothing under patient-level privacy, and why."""


def check_privacy(config: ExperimentConfig) -> None:
    """Raise ConfigError where the protection cannot be had, or something would break it."""
    LEVELS[config.privacy.level](config)


def check_budget(privacy: PrivacyConfig) -> None:
    """Check the numbers that every level needs: one of ε and σ, each in its range.

    Raises:
        ConfigError: says which key, and how to mend it.
    """
    given = [key for key in ("epsilon", "noise") if getattr(privacy, key) is not None]
    if len(given) != 1:
        which = "both are given" if given else "neither is"
        raise ConfigError(
            f"privacy.level = {privacy.level}: needs privacy.epsilon or privacy.noise, and {which}."
            " One follows from the other: give --epsilon 8, say, or --noise 1."
        )
    if privacy.epsilon is not None and privacy.epsilon > MAX_EPSILON:
        raise ConfigError(
            f"privacy.epsilon = {privacy.epsilon:g}: expected up to {MAX_EPSILON:g}; above that "
            "nothing is protected. Lower it, or set privacy.level=none."
        )
    if privacy.noise is not None and not MIN_NOISE <= privacy.noise <= MAX_NOISE:
        raise ConfigError(
            f"privacy.noise = {privacy.noise:g}: expected {MIN_NOISE:g} to {MAX_NOISE:g}; it is "
            "the noise's deviation over privacy.clip, such as 1.0."
        )
    require_opacus()


def _check_fixed_clip(privacy: PrivacyConfig) -> None:
    if privacy.adaptive_clip:
        raise ConfigError(
            f"privacy.level = {privacy.level}: privacy.adaptive_clip acts under --privacy client "
            "alone. Leave it out."
        )


def _check_none(config: ExperimentConfig) -> None:
    """Refuse keys that would protect nobody."""
    default = PrivacyConfig()
    changed = {k: getattr(config.privacy, k) for k in PrivacyConfig.model_fields}
    idle = [k for k, value in changed.items() if value != getattr(default, k)]
    if idle:
        raise ConfigError(
            f"privacy.{idle[0]} = {changed[idle[0]]}: acts where somebody is protected. Add "
            "--privacy patient, or leave it out."
        )


def _check_patient(config: ExperimentConfig) -> None:
    check_budget(config.privacy)
    _check_fixed_clip(config.privacy)
    for reason in _against_patients(config):
        raise ConfigError(f"privacy.level = patient: {reason}")
    _check_model(config)


def _against_patients(config: ExperimentConfig) -> Iterator[str]:
    """Yield what of the configuration would let out of a patient what no noise covers."""
    train, server, rules = config.train, config.server, config.algorithm.algorithm
    if server.batch_norm in ("average", "local"):
        yield (
            f"server.batch_norm={server.batch_norm} computes with the images of a batch together. "
            "Take --batch-norm group, or frozen with pretrained weights."
        )
    sent = [*rules.from_sites, *rules.kept, *rules.private(["bn.weight", "bn.running_mean"])]
    if sent:
        yield (
            f"algorithm.name={config.algorithm.name} has sites send or keep more than the noised "
            "update. Take fedavg, fedprox, fedavgm, fedadagrad, fedadam or fedyogi."
        )
    if aggregator_registry().get(server.aggregator).counts_known:
        yield (
            f"server.aggregator={server.aggregator} needs each site's counts of known labels, "
            "which are not noised. Take server.aggregator=mean."
        )
    if train.normalization == "pooled":
        yield (
            "train.normalization=pooled needs sums over each site's pixels, which are not noised. "
            "Take preset or image."
        )
    if train.augment.name != "views":
        yield (
            f"train.augment.name={train.augment.name} may mix images, so that one patient's "
            "gradient would hold another's. Take views."
        )
    if "class_frequencies" in LOSSES.get(train.loss).keys:
        yield (
            f"train.loss={train.loss} weighs by how often a label is positive, so each patient's "
            "gradient would hold all others. Take bce, focal or asymmetric."
        )
    if "self_trained" in (config.data.uncertain, *config.data.uncertain_by_label.values()):
        yield (
            "data.uncertain=self_trained fills labels in by a model of the run. Take another "
            "policy for uncertain labels."
        )
    yield from _against_vae(config.vae)
    if config.engine.compile:
        yield "engine.compile does not go with gradients of single images. Leave it out."
    if config.engine.precision == "bf16":
        yield "engine.precision=bf16: it is trained in float32. Take auto or fp32."


def _against_vae(vae: VaeConfig) -> Iterator[str]:
    """Yield what of the VAE's settings would look at a patient without noise, or has no effect."""
    if not vae.enabled:
        return
    if vae.added != "vae":
        yield (
            f"vae.added={vae.added} adds patients' images again, so that one patient would count "
            "more than once in a step. Take vae."
        )
    if vae.use != "mix":
        yield (
            f"vae.use={vae.use} trains some rounds on samples alone, which would be paid for as "
            "if patients were among them. Take mix."
        )
    if vae.refuse_copies:
        yield (
            "vae.refuse_copies drops samples by comparing them with patients' images, which no "
            "noise covers. Leave it out (--vae-refuse-copies)."
        )
    if vae.features != "none":
        yield (
            f"vae.features={vae.features}: the VAE's gradients of single images go through the "
            "VAE alone. Take none."
        )
    default = VaeConfig()
    for key, why in _IDLE.items():
        if getattr(vae, key) != getattr(default, key):
            yield f"vae.{key} = {getattr(vae, key)}: has no effect, since {why}. Leave it out."


def _check_model(config: ExperimentConfig) -> None:
    """Try the network: gradients of two made-up images, each by itself."""
    is_grouped = config.server.batch_norm == "group"
    model = random_model(config.model, _LABELS, 0, group_norm=is_grouped)
    set_training(model, freeze_batch_norm=True)
    size = config.model.image_size
    images = torch.linspace(-1, 1, 2 * size**2).reshape(2, 1, size, size)
    loss = image_loss(config.train, _LABELS, "cpu")
    try:
        rows = image_gradients(model, loss, images, torch.tensor([[0.0, 1, 0], [1, 0, np.nan]]))
    except Exception as err:  # whatever a network raises that cannot be mapped over images
        raise ConfigError(
            f"privacy.level = patient: {config.model.name} has no gradients of single images "
            f"({type(err).__name__}: {str(err).splitlines()[0][:200]}). Choose another model, such "
            "as densenet121."
        ) from err
    if not bool(torch.isfinite(rows).all()):
        raise ConfigError(
            f"privacy.level = patient: {config.model.name} has gradients that are not finite. "
            "Choose another model, such as densenet121."
        )


def _check_client(config: ExperimentConfig) -> None:
    check_budget(config.privacy)
    for reason in _against_sites(config):
        raise ConfigError(f"privacy.level = client: {reason}")
    if config.server.aggregator != "mean":
        raise ConfigError(
            f"privacy.level = client: server.aggregator={config.server.aggregator}: how far one "
            "site moves it has no bound that noise could cover. Take server.aggregator=mean."
        )


def _check_update(config: ExperimentConfig) -> None:
    check_budget(config.privacy)
    _check_fixed_clip(config.privacy)
    for reason in _against_sites(config):
        raise ConfigError(f"privacy.level = update: {reason}")
    if aggregator_registry().get(config.server.aggregator).counts_known:
        raise ConfigError(
            f"privacy.level = update: server.aggregator={config.server.aggregator} needs each "
            "site's counts of known labels, which are not noised. Take server.aggregator=mean."
        )


def _against_sites(config: ExperimentConfig) -> Iterator[str]:
    """Yield what of the configuration would let out of a site what no noise covers."""
    train, server, rules = config.train, config.server, config.algorithm.algorithm
    if server.batch_norm == "average":
        yield (
            "server.batch_norm=average puts each site's batch-norm statistics into the model, and "
            "they are not noised. Take --batch-norm group, local or frozen."
        )
    if rules.from_sites:
        yield (
            f"algorithm.name={config.algorithm.name} has sites send more than an update. Take "
            "fedavg, fedprox, fedbn, fedavgm, fedadagrad, fedadam or fedyogi."
        )
    if train.normalization == "pooled":
        yield (
            "train.normalization=pooled needs sums over each site's pixels, which are not noised. "
            "Take preset or image."
        )
    if train.class_frequencies == "shared":
        yield (
            "train.class_frequencies=shared needs each site's counts, which are not noised. Take "
            "own."
        )


LEVELS: Mapping[str, Callable[[ExperimentConfig], None]] = {
    "none": _check_none,
    "patient": _check_patient,
    "client": _check_client,
    "update": _check_update,
}
