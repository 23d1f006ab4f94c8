"""What a configuration chooses by name, checked in one place before anything is made."""

import torch

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.data.policies import check_self_training
from fedcxr.errors import ConfigError
from fedcxr.explain.methods import METHODS, check_methods, try_method
from fedcxr.models.architectures import check_model, is_deterministic, random_model
from fedcxr.plugins import source_digest
from fedcxr.trackers.chosen import check_trackers
from fedcxr.training.choices import (
    check_algorithm,
    check_stop,
    check_training,
    chosen_entries,
    own_entries,
)
from partitions.assign import SCHEMES
from server.aggregate.known_aggregators import aggregator_registry
from server.cohort import cohort_size
from server.privacy_check import check_privacy
from server.secure_check import check_secure
from server.vae_check import check_vae

_TRIED_LABELS = 3


def check_choices(config: ExperimentConfig) -> None:
    """Raise ConfigError where something is not there, or does not go with the rest."""
    _check_offered(config)
    check_model(config.model)
    _check_methods(config)
    SCHEMES.get(config.partition.scheme)
    check_self_training(config.data, rounds=config.server.rounds)
    check_training(config.train)
    check_stop(config.server)
    check_trackers(config.track)
    check_algorithm(config.algorithm, config.train)
    check_vae(config)
    check_secure(config)
    _check_aggregator(config)
    _check_group_norm(config)
    _check_min_sites(config)
    check_privacy(config)
    if config.train.positive_share:
        raise ConfigError(
            "train.positive_share: is filled in by the server, from what the sites share under "
            "train.class_frequencies=shared. Leave it out."
        )


def own_choices(config: ExperimentConfig) -> dict[str, str]:
    """Return by key what a user brought, as `package.module:Name`."""
    found = own_entries(config.model, config.train, config.algorithm)
    name = config.server.aggregator
    at_server = {
        "server.aggregator": aggregator_registry().reference(name),
        "partition.scheme": SCHEMES.reference(config.partition.scheme),
        **{
            f"explain.methods[{place}]": METHODS.reference(method)
            for place, method in enumerate(config.explain.methods)
        },
    }
    return {**found, **{key: own for key, own in at_server.items() if own}}


def own_choices_in_manifest(config: ExperimentConfig) -> list[dict[str, str | bool]]:
    """Return what a user brought as a manifest holds it: key, reference, digest of its sources."""
    found: list[dict[str, str | bool]] = []
    for key, reference in own_choices(config).items():
        entry: dict[str, str | bool] = {"key": key, "reference": reference}
        entry["source_sha256"] = source_digest(reference)
        if key == "model.name":
            entry["deterministic"] = is_deterministic(config.model)
        found.append(entry)
    return found


def _check_offered(config: ExperimentConfig) -> None:
    """Refuse packages that offer an entry under one of our names: it would not be used."""
    chosen = chosen_entries(config.model, config.train, config.algorithm)
    of_server = (aggregator_registry(), SCHEMES, METHODS)
    for registry in (*(one for one, _ in chosen.values()), *of_server):
        registry.check_offered()


def _check_methods(config: ExperimentConfig) -> None:
    """Check the names of the methods, and try a user's own on the run's network."""
    names = config.explain.methods
    check_methods(names)
    own = [name for name in names if METHODS.reference(name)]
    if not own:
        return
    model = random_model(config.model, _TRIED_LABELS, seed=0).eval()
    side = config.model.image_size
    images = torch.linspace(-1, 1, 2 * side**2).reshape(2, 1, side, side)
    for name in own:
        try_method(name, model, images)


def check_cohort(config: ExperimentConfig, num_sites: int) -> None:
    """Raise ConfigError where the aggregator needs more updates than a round can bring.

    Args:
        config: the run's.
        num_sites: of its partition.
    """
    server = config.server
    count = cohort_size(num_sites, server.fraction)
    problem = aggregator_registry().get(server.aggregator).too_few(count, server)
    if problem:
        raise ConfigError(f"server.aggregator: {problem}")


def _check_min_sites(config: ExperimentConfig) -> None:
    """Refuse a beginning without all sites where their cards decide the weights."""
    train = config.train
    waits = {
        "train.normalization=pooled": train.normalization == "pooled",
        "train.class_frequencies=shared": train.class_frequencies == "shared",
    }
    for key, is_set in waits.items():
        if is_set and config.server.min_sites is not None:
            raise ConfigError(
                f"server.min_sites: with {key} all sites must be there at the start, since what "
                "they share decides the weights. Leave one of the two out."
            )


def _check_group_norm(config: ExperimentConfig) -> None:
    """Refuse an algorithm that is about batch norm where the network has none."""
    private = config.algorithm.algorithm.private(["bn.weight", "bn.running_mean"])
    if private and config.server.batch_norm == "group":
        raise ConfigError(
            f"algorithm.name = {config.algorithm.name}: keeps batch norm at the sites, and "
            "server.batch_norm=group leaves none. Choose another of the two."
        )


def _check_aggregator(config: ExperimentConfig) -> None:
    name, rules = config.algorithm.name, config.algorithm.algorithm
    aggregator = aggregator_registry().get(config.server.aggregator)
    if not rules.from_sites or (aggregator.is_mean and not aggregator.counts_known):
        return
    what = ", ".join(rules.from_sites)
    raise ConfigError(
        f"algorithm.name = {name}: sites send {what} as well, which must weigh as the updates do, "
        f"by images; server.aggregator={config.server.aggregator} weighs otherwise. "
        "Take server.aggregator=mean."
    )
