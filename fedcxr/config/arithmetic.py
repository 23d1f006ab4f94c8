"""What of a configuration decides a run's weights, and what only operates the run.

A stopped run goes on to the same bits only where all that decides them is as it was. So a run keeps
these values, and whoever goes on with it is told which of them differ. The rest may be changed: how
long to wait, how many sites must answer, on which machine and with how many workers.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import by_key

OPERATING = (
    "data.root",  # the images are known by what they are, not by where they lie
    "data.accept_changed_data",
    "data.follow_links",
    "data.max_bad_fraction",
    "server.quorum",
    "server.deadline_s",
    "server.join_timeout_s",
    "server.min_sites",
    "server.test_curve",
    "server.keep_updates",
    "engine.kind",
    "engine.workers",
    "engine.device",
    "engine.client_gpus",
    "engine.ray_address",
    "engine.cpus_per_client",
    "engine.gpus_per_client",
    "explain",
    "track",
    "vae.share",
)
"""Keys and sections that a run which goes on may change."""

_ELSEWHERE = (
    "name",
    "runs_dir",
    "partition",  # the plan's digest stands for it
    "compare",
    "engine",  # what of it decides bits was settled when the run began: dtype, layout, threads
)
"""Keys and sections that a checkpoint does not compare."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """All that decides a run's weights, by key."""

    values: Mapping[str, Any]
    """As JSON holds them."""

    @property
    def digest(self) -> str:
        """Return the sha256 of the values."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Return the canonical JSON."""
        return json.dumps(dict(self.values), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Arithmetic":
        """Return what `to_json` wrote."""
        return cls(dict(json.loads(text)))

    def differences(self, now: "Arithmetic") -> list[str]:
        """Return in a phrase each what is another value in `now` than here.

        >>> Arithmetic({"seed": 0, "x": 1}).differences(Arithmetic({"seed": 1, "x": 1}))
        ['seed was 0, is 1']
        """
        keys = sorted(self.values.keys() | now.values.keys())
        return [
            f"{key} was {self.values.get(key)!r}, is {now.values.get(key)!r}"
            for key in keys
            if self.values.get(key) != now.values.get(key)
        ]


def arithmetic_of(config: ExperimentConfig, settled: Mapping[str, object]) -> Arithmetic:
    """Return what decides the weights of a run.

    Args:
        config: the run's.
        settled: what was settled when the run began, by name: dtype, threads, the plan's digest.
    """
    agreed = []  # with the sites, once they have answered; it follows from the plan
    if config.train.normalization == "pooled":
        agreed += ["train.mean", "train.std"]
    if config.train.class_frequencies == "shared":
        agreed += ["train.positive_share"]
    kept = {
        key: value
        for key, value in by_key(config).items()
        if not _is_among(key, (*OPERATING, *_ELSEWHERE)) and key not in agreed
    }
    return Arithmetic(json.loads(json.dumps({**kept, **settled})))


def only_operates(key: str, also: tuple[str, ...] = ()) -> bool:
    """Return whether a run that goes on may change the key.

    Args:
        key: dotted.
        also: keys and sections that this run may change as well.

    >>> only_operates("server.quorum"), only_operates("explain.labels"), only_operates("seed")
    (True, True, False)
    """
    return _is_among(key, (*OPERATING, *also))


def _is_among(key: str, names: tuple[str, ...]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)
