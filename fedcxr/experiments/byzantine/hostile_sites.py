"""Which sites of a simulated training are hostile and what they do, as `simulate` takes it.

The only way in which a site of fedcxr is ever hostile. It is an argument of `simulate` in Python:
no configuration, no order and no kit can name it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from flwr.serverapp import Grid

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.data.policies import output_names, policy_of
from fedcxr.engines.app_ref import AppRef
from fedcxr.engines.local import LocalGrid
from fedcxr.errors import ConfigError, RunError, StoppedError
from fedcxr.experiments.byzantine.attacks import ATTACKS
from fedcxr.experiments.byzantine.hostile_grid import HostileGrid
from fedcxr.experiments.byzantine.poisoned_site import write_poisoned
from fedcxr.models.architectures import random_model
from fedcxr.parameters import spec_of
from fedcxr.runs.folder import RunFolder
from fedcxr.schema import schema_of
from fedcxr.seeding import derive_rng
from server.job import Job

BROKE_OFF = "broke_off.json"
"""In the run folder of a training that the hostile sites have broken: why."""


@dataclass(frozen=True, slots=True)
class HostileSites:
    """The hostile sites of one training."""

    attack: str
    """A name of `ATTACKS`."""
    sites: tuple[str, ...]
    """None of them where there is no attack."""
    deviations: float
    """Of ALIE."""

    def app(self, honest: AppRef) -> AppRef:
        """Return the app of the simulated sites' clients."""
        if not ATTACKS[self.attack].flips_labels:
            return honest
        return replace(
            honest, module="fedcxr.experiments.byzantine.poisoned_site", function="poisoned_app"
        )

    def grid(self, job: Job, honest: LocalGrid) -> Grid:
        """Return the grid with the hostile sites; a poisoned site's table is written here.

        Raises:
            ConfigError: updates are encoded.
        """
        attack = ATTACKS[self.attack]
        check_tampered(job.config)
        if attack.flips_labels:
            write_poisoned(job.run.path, self.sites, job.config.data)
        if attack.alter is None:
            return honest
        names = sorted(site.site_id for site in job.prepared.plan.sites)
        nodes = [1 + names.index(site_id) for site_id in self.sites]  # as the engine numbers them
        return HostileGrid(
            honest, attack, nodes, trained=_num_trained(job), deviations=self.deviations
        )

    @contextmanager
    def noting_end(self, folder: Path) -> Iterator[None]:
        """Write down why a training broke off: that is what the attack did, and no fault."""
        try:
            yield
        except RunError as err:
            if not self.sites or isinstance(err, StoppedError):
                raise
            RunFolder(folder).write_json(BROKE_OFF, {"why": str(err)})

    def to_json(self) -> dict[str, Any]:
        """Return it as `from_json` takes it."""
        return {
            "attack": self.attack,
            "sites": list(self.sites),
            "deviations": self.deviations,
        }

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> "HostileSites":
        """Return what `to_json` gave."""
        return cls(tree["attack"], tuple(tree["sites"]), tree["deviations"])


def check_tampered(config: ExperimentConfig) -> None:
    """Raise ConfigError where what hostile sites send could not be changed on its way."""
    if config.engine.kind != "local" or config.server.codec != "none":
        raise ConfigError(
            "A study of attacks needs engine.kind=local and server.codec=none: what hostile sites "
            "send is changed on its way to the server, in this process and as plain numbers."
        )


def draw_hostile(site_ids: list[str], number: int, seed: int) -> tuple[str, ...]:
    """Return `number` of the sites, drawn by the seed, sorted."""
    drawn = derive_rng(seed, "hostile sites").choice(len(site_ids), size=number, replace=False)
    return tuple(sorted(np.array(sorted(site_ids))[drawn].tolist()))


def _num_trained(job: Job) -> int:
    """Return how many numbers of an update are trained values."""
    policy = policy_of(job.config.data, rounds=job.config.server.rounds)
    outputs = output_names(policy, job.labels)
    is_grouped = job.config.server.batch_norm == "group"
    spec = spec_of(random_model(job.config.model, len(outputs), 0, group_norm=is_grouped))
    return schema_of(job.task(), spec).size
