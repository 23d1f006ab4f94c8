"""What a configuration of training chooses by name, checked before anything is trained.

The names are entries of registries, which the configuration's own classes do not know; so a server
checks before a run and a site at its door.
"""

from collections.abc import Sequence
from typing import Any

from fedcxr.algorithms.known_algorithms import algorithm_registry
from fedcxr.config.algorithm import AlgorithmConfig
from fedcxr.config.model import ModelConfig
from fedcxr.config.server import ServerConfig
from fedcxr.config.train import TrainConfig
from fedcxr.errors import ConfigError, some
from fedcxr.models.architectures import MODELS
from fedcxr.registry import Registry
from fedcxr.training.augmentations import AUGMENTATIONS, check_augmentation
from fedcxr.training.losses import LOSSES, try_loss
from fedcxr.training.optimizers import OPTIMIZERS
from fedcxr.training.schedules import SCHEDULES


def chosen_entries(
    model: ModelConfig, train: TrainConfig, algorithm: AlgorithmConfig
) -> dict[str, tuple[Registry[Any], str]]:
    """Return by key the registry and the name of all that decides what a site computes."""
    return {
        "model.name": (MODELS, model.name),
        "train.loss": (LOSSES, train.loss),
        "train.optimizer": (OPTIMIZERS, train.optimizer),
        "train.lr_schedule": (SCHEDULES, train.lr_schedule),
        "train.augment.name": (AUGMENTATIONS, train.augment.name),
        "algorithm.name": (algorithm_registry(), algorithm.name),
    }


def own_entries(
    model: ModelConfig, train: TrainConfig, algorithm: AlgorithmConfig
) -> dict[str, str]:
    """Return by key what of it a user brought, as `package.module:Name`."""
    chosen = chosen_entries(model, train, algorithm).items()
    found = {key: registry.reference(name) for key, (registry, name) in chosen}
    return {key: reference for key, reference in found.items() if reference}


def check_training(config: TrainConfig, three_way: Sequence[str] = ()) -> None:
    """Check loss, optimiser, schedule and augmentation, and that no key is idle.

    Args:
        config: the run's.
        three_way: the labels with a class of their own for uncertain (`multi_class`).

    Raises:
        ConfigError: an unknown name, a key without effect, or a loss that has no meaning for
            `three_way` labels.
    """
    loss = LOSSES.get(config.loss)
    if three_way and not loss.three_way:
        raise ConfigError(
            f"train.loss = {config.loss}: is not defined for labels of three classes, and "
            f"{some(list(three_way))} has the policy multi_class. Use train.loss=bce or another "
            "data.uncertain."
        )
    if config.positive_share and config.class_frequencies != "shared":
        raise ConfigError(
            "train.positive_share: is what sites share under train.class_frequencies=shared, and "
            "filled in by the server. Leave it out."
        )
    if LOSSES.reference(config.loss):
        try_loss(config)
    check_augmentation(config.augment)
    optimizer = OPTIMIZERS.get(config.optimizer)
    schedule = SCHEDULES.get(config.lr_schedule)
    losses = [LOSSES.get(name).keys for name in LOSSES.names()]
    _check_keys(config, "loss", loss.keys, losses)
    rules = [OPTIMIZERS.get(name).keys for name in OPTIMIZERS.names()]
    _check_keys(config, "optimizer", optimizer.keys, rules)
    schedules = [SCHEDULES.get(name).keys for name in SCHEDULES.names()]
    _check_keys(config, "lr_schedule", schedule.keys, schedules)


def check_algorithm(config: AlgorithmConfig, train: TrainConfig) -> None:
    """Raise ConfigError where sites train otherwise than the algorithm's arithmetic needs."""
    for key, value in (config.algorithm.needs or {}).items():
        found = getattr(train, key)
        if found != value:
            raise ConfigError(
                f"algorithm.name = {config.name}: needs train.{key}={value}, and it is {found}. "
                f"Set train.{key}={value}, or choose another algorithm."
            )


def check_stop(config: ServerConfig) -> None:
    """Raise ConfigError where a smallest improvement is set and nothing looks at it."""
    if config.min_improvement and config.stop_after is None:
        raise ConfigError(
            f"server.min_improvement = {config.min_improvement}: acts with server.stop_after only. "
            "Set both, or leave it out."
        )


def _check_keys(
    config: TrainConfig, choice: str, used: Sequence[str], of_all: Sequence[Sequence[str]]
) -> None:
    """Raise ConfigError where a key has a value of its own and the choice does not read it."""
    idle = {key for keys in of_all for key in keys} - set(used)
    fields = TrainConfig.model_fields
    changed = sorted(key for key in idle if getattr(config, key) != fields[key].default)
    if changed:
        raise ConfigError(
            f"train.{changed[0]} = {getattr(config, changed[0])}: train.{choice} = "
            f"{getattr(config, choice)} does not read it. Leave it at its default "
            f"({fields[changed[0]].default}), or choose what does."
        )
