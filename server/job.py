"""Everything a server needs for one run, as one value."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from fedcxr.config.arithmetic import Arithmetic, arithmetic_of
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.task import SecureTask, SiteTask
from fedcxr.cores import cores
from fedcxr.data.policies import policy_of
from fedcxr.runs.folder import RunFolder
from fedcxr.trackers.relay import Relay
from fedcxr.training.precision import Precision
from partitions.prepare import Prepared
from server.aggregate.known_aggregators import aggregator_registry
from server.exchange import ExchangeLimits
from server.secure_check import secure_task

REAL_SITE_DEADLINE_S = 3600.0
"""Longest wait for a real site's answer where the configuration sets none."""


@dataclass(frozen=True, slots=True)
class ComputePlan:
    """How many clients train at once, on how many threads, and how many orders are under way."""

    engine: str
    """`local`, `ray`, `flwr run`, or `superlink` where the sites are real."""
    workers: int
    window: int
    """Most orders under way at once."""
    threads: int = 1
    """Of each client."""

    @property
    def has_real_sites(self) -> bool:
        """Return whether the sites are other machines, which come and go by themselves."""
        return self.engine == "superlink"


@dataclass(frozen=True, slots=True)
class Job:
    """A run that can be started, or gone on with."""

    config: ExperimentConfig
    run: RunFolder
    prepared: Prepared
    precision: Precision
    device: str
    compute: ComputePlan
    resume: bool = False
    server_threads: int = field(default_factory=cores)
    """Of the server's own evaluation."""
    site_keys: Mapping[str, bytes] | None = None
    """The public key of each site's node, where kits bind them; none = no binding."""
    has_page: bool = True
    """Whether the run writes a page of its own; one of a study need not."""
    tracking: Relay = field(default_factory=Relay, repr=False)
    """What the run's numbers are told to besides."""
    lock: ExitStack = field(default_factory=ExitStack, repr=False)
    """What is held until the run ends: its folder, where this process is the only one of it."""

    @property
    def limits(self) -> ExchangeLimits:
        """How many orders are under way, and how long each may take.

        A simulation has no deadline of its own: who is in a round must not depend on how fast the
        machine is. There a client that does nothing any more is ended by the engine.
        """
        deadline_s = self.config.server.deadline_s
        if deadline_s is None and self.compute.has_real_sites:
            deadline_s = REAL_SITE_DEADLINE_S
        return ExchangeLimits(self.compute.window, deadline_s)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that are trained and scored, in the data set's order."""
        return self.config.data.labels or self.prepared.plan.labels

    @property
    def secure(self) -> SecureTask | None:
        """What sites are told of secure aggregation; None without it."""
        if not self.config.server.secure_aggregation:
            return None
        sites = {s.site_id: s.train_images for s in self.prepared.plan.sites}
        return secure_task(self.config, sites)

    def arithmetic(self) -> Arithmetic:
        """Return all that decides the weights of this run."""
        settled = {
            "dtype": self.precision.dtype,
            "channels_last": self.precision.channels_last,
            "threads": self.compute.threads,
            "engine.compile": self.config.engine.compile,
            "partition": self.prepared.plan.lineage,
        }
        return arithmetic_of(self.config, settled)

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
            privacy=self.config.privacy,
            rounds=self.config.server.rounds,
            vae=self.config.vae,
            algorithm=self.config.algorithm,
            counts_known=aggregator_registry().get(self.config.server.aggregator).counts_known,
            batch_norm=self.config.server.batch_norm,
            codec=self.config.server.codec,
            topk=self.config.server.topk,
            secure=self.secure,
            dtype=self.precision.dtype,
            channels_last=self.precision.channels_last,
            compile=self.config.engine.compile,
            device=self.config.engine.device,
            max_bad_fraction=self.config.data.max_bad_fraction,
        )
