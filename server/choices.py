"""What a configuration chooses by name, checked in one place before anything is made."""

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.data.policies import check_self_training
from fedcxr.errors import ConfigError
from fedcxr.explain.methods import check_methods
from fedcxr.models.registry import check_model
from fedcxr.training.choices import check_stop, check_training
from server.aggregate.registry import aggregator_registry


def check_choices(config: ExperimentConfig) -> None:
    """Raise ConfigError where something is not there, or does not go with the rest."""
    check_model(config.model)
    check_methods(config.explain.methods)
    check_self_training(config.data, rounds=config.server.rounds)
    check_training(config.train)
    check_stop(config.server)
    _check_algorithm(config)


def _check_algorithm(config: ExperimentConfig) -> None:
    name, rules = config.algorithm.name, config.algorithm.algorithm
    aggregator = aggregator_registry().get(config.server.aggregator)
    for key, value in (rules.needs or {}).items():
        found = getattr(config.train, key)
        if found != value:
            raise ConfigError(
                f"algorithm.name = {name}: needs train.{key}={value}, and it is {found}. "
                f"Set train.{key}={value}, or choose another algorithm."
            )
    if rules.from_sites and not aggregator.is_mean:
        raise ConfigError(
            f"algorithm.name = {name}: sites send {', '.join(rules.from_sites)} as well, of which "
            f"the server needs the mean, and server.aggregator={config.server.aggregator} gives "
            "none. Take server.aggregator=mean."
        )
