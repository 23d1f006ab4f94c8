"""Everything a server needs for one run, as one value."""

import hashlib
import json
from dataclasses import dataclass, field

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.task import SiteTask
from fedcxr.cores import cores
from fedcxr.data.policies import policy_of
from fedcxr.runs.folder import RunFolder
from fedcxr.training.precision import Precision
from partitions.prepare import Prepared
from server.exchange import Waits


@dataclass(frozen=True, slots=True)
class Job:
    """A run that can be started, or gone on with."""

    config: ExperimentConfig
    run: RunFolder
    prepared: Prepared
    precision: Precision
    device: str
    window: int
    """Most orders under way at once."""
    resume: bool = False
    threads: int = 1
    """Of each client."""
    server_threads: int = field(default_factory=cores)
    """Of the server's own evaluation."""

    @property
    def waits(self) -> Waits:
        """How orders are waited for."""
        return Waits(self.window, self.config.server.deadline_s)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that are trained and scored, in the data set's order."""
        return self.config.data.labels or self.prepared.plan.labels

    def config_digest(self) -> str:
        """Return the sha256 of all that decides the weights: not folders, names or the engine."""
        tree = self.config.model_dump(
            mode="json", exclude={"runs_dir", "name", "engine", "partition", "compare"}
        )
        tree["data"].pop("root")
        if self.config.train.normalization == "pooled":
            # Known only once the sites have answered; they follow from the partition.
            del tree["train"]["mean"], tree["train"]["std"]
        arithmetic = [
            self.precision.dtype,
            self.precision.channels_last,
            self.threads,
            self.config.engine.compile,
            self.prepared.plan.digest,
        ]
        return hashlib.sha256(json.dumps([tree, arithmetic], sort_keys=True).encode()).hexdigest()

    def task(self) -> SiteTask:
        """Return what the sites are told."""
        return SiteTask(
            run=self.run.name,
            seed=self.config.seed,
            labels=self.labels,
            policy=policy_of(self.config.data, rounds=self.config.server.rounds),
            # Weights come with the orders; where the server has its file is not the sites' matter.
            model=self.config.model.model_copy(update={"weights": "none"}),
            train=self.config.train,
            batch_norm=self.config.server.batch_norm,
            codec=self.config.server.codec,
            topk=self.config.server.topk,
            dtype=self.precision.dtype,
            channels_last=self.precision.channels_last,
            compile=self.config.engine.compile,
            device=self.config.engine.device,
            max_bad_fraction=self.config.data.max_bad_fraction,
        )
