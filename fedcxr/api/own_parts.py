"""A model, a loss and the like given as the object itself, and the name that it gets by that.

What can be imported goes by `package.module:Name`, which workers, resume and evaluate find. What a
script or a notebook cell defines goes by `__main__:Name`, and is in this process only: one worker
trains with it, here, or it is refused.
"""

import logging
import sys
from importlib.util import find_spec
from typing import Any

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import with_values
from fedcxr.errors import ConfigError, some
from fedcxr.plugins import HERE
from fedcxr.registry import Registry
from fedcxr.trackers.chosen import TRACKERS

log = logging.getLogger(__name__)

PART_KEYS = (
    "model.name",
    "train.loss",
    "train.optimizer",
    "train.lr_schedule",
    "algorithm.name",
    "server.aggregator",
    "track.own",
)
"""Keys that take an object in place of a name."""


def name_of_part(key: str, value: object) -> str:
    """Return the name under which a key's object is found: by all processes, or by this one.

    Raises:
        ConfigError: it is not what the key takes.
    """
    importable = _importable(value)
    if importable is not None:
        return importable
    reference = f"{HERE}:{_called(value)}"
    _registry_of(key).add_here(reference, value)
    return reference


def only_here(config: ExperimentConfig) -> list[str]:
    """Return the parts of a configuration, as `key = name`, that no other process finds."""
    named = {
        "model.name": config.model.name,
        "train.loss": config.train.loss,
        "train.optimizer": config.train.optimizer,
        "train.lr_schedule": config.train.lr_schedule,
        "algorithm.name": config.algorithm.name,
        "server.aggregator": config.server.aggregator,
    }
    return [f"{key} = {name}" for key, name in named.items() if name.startswith(f"{HERE}:")]


def in_one_process(config: ExperimentConfig) -> ExperimentConfig:
    """Return the configuration of a simulation that trains where its parts are.

    Raises:
        ConfigError: several workers, Ray, or a deadline were asked for, which need processes.
    """
    parts = only_here(config)
    if not parts:
        return config
    needs = {
        f"engine.kind = {config.engine.kind}": config.engine.kind != "local",
        f"engine.workers = {config.engine.workers}": (config.engine.workers or 1) > 1,
        "server.deadline_s": config.server.deadline_s is not None,
    }
    wants_processes = [name for name, wants in needs.items() if wants]
    if wants_processes:
        raise ConfigError(
            f"{some(parts)}: of this script or notebook, which worker processes cannot import, and "
            f"{wants_processes[0]} needs such. Leave that out, or save it in a file, as mine.py "
            "(in a notebook: %%writefile mine.py), and import it from there."
        )
    if config.engine.workers is None:
        log.warning("%s: of this script or notebook, so one worker trains, here", some(parts))
    return with_values(config, {"engine.workers": 1})


def refuse_only_here(config: ExperimentConfig, verb: str) -> None:
    """Raise ConfigError where a part is in this process only and the verb trains in others."""
    parts = only_here(config)
    parts += [f"track.own = {name}" for name in config.track.own if name.startswith(f"{HERE}:")]
    if parts:
        raise ConfigError(
            f"{some(parts)}: of this script or notebook, and the trainings of {verb} are processes "
            "of their own. Save it in a file, as mine.py (in a notebook: %%writefile mine.py), and "
            "import it from there."
        )


def _importable(value: object) -> str | None:
    """Return the `package.module:Name` that leads to a value in every process, if one does."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if module is None or module == HERE:
        return None
    if name is None:  # an instance: its class says the module, a variable of it the name
        there = vars(sys.modules[module]) if module in sys.modules else {}
        name = next((key for key, found in there.items() if found is value), None)
    if name is None or getattr(sys.modules.get(module), name, None) is not value:
        return None
    try:
        spec = find_spec(module)
    except ValueError:  # made by hand in this process, without a file
        return None
    return f"{module}:{name}" if spec is not None and spec.origin else None


def _called(value: object) -> str:
    """Return a name for a value: its own, or its class's with what tells two objects apart."""
    name = getattr(value, "__qualname__", None) or f"{type(value).__qualname__}_{id(value):x}"
    return str(name).rpartition(".")[2].strip("<>")


def _registry_of(key: str) -> Registry[Any]:
    # PyTorch: only for who brings an object
    from fedcxr.training.choices import chosen_entries
    from server.aggregate.known_aggregators import aggregator_registry

    if key == "server.aggregator":
        return aggregator_registry()
    if key == "track.own":
        return TRACKERS
    config = ExperimentConfig()
    return chosen_entries(config.model, config.train, config.algorithm)[key][0]
