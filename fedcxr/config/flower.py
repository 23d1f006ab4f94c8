"""From Flower's flat run config to ours: `preset`, `config` (a file), `set` (keys and values)."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import load_config


def config_from_run(
    run_config: Mapping[str, object], clients: int | None = None
) -> ExperimentConfig:
    """Return the configuration that a Flower run config names.

    `set` holds what `--set` takes, several separated by blanks:
    `flwr run . --run-config 'set="server.rounds=3 train.local_epochs=2"'`. In a simulation the
    number of `clients` is the number of nodes that Flower simulates, known to both sides.

    >>> config_from_run({"set": "server.rounds=3 model.image_size=32"}).server.rounds
    3
    """
    file = str(run_config.get("config", ""))
    return load_config(
        str(run_config.get("preset") or "quickstart"),
        Path(file) if file else None,
        {"partition.clients": clients} if clients else None,
        settings=settings_of(run_config),
    )


def settings_of(run_config: Mapping[str, object]) -> list[str]:
    """Return the `key=value` texts of a run config's `set`."""
    return shlex.split(str(run_config.get("set", "")))


def config_key(config: ExperimentConfig) -> str:
    """Return the configuration as canonical JSON: equal texts, equal configurations."""
    return json.dumps(config.model_dump(mode="json"), sort_keys=True)
