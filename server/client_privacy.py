"""Client-level privacy at the server: who is asked in a round, and the noise in what they gave.

Both are drawn from a secret of the server that lies beside the run, not in it: a run folder is
passed on, and who knows the secret can take the noise off again. It is kept, so that a run which
goes on draws what it would have drawn.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.errors import RunError
from fedcxr.home import server_state
from fedcxr.parameters import Parameters
from fedcxr.privacy.adaptive_clip import COUNT_SHARE, next_clip
from fedcxr.privacy.client_plan import ClientPlan, client_plan, delta_of_sites
from fedcxr.privacy.secret_file import secret_in
from fedcxr.privacy.secret_noise import SecretStream
from fedcxr.privacy.update_plan import UpdatePlan, update_plan
from fedcxr.secagg.quantise import Mean
from partitions.plan import PartitionPlan
from server.aggregate.aggregator import Aggregate
from server.aggregate.clipped_sum import SURPLUS
from server.job import Job

_SLICE = 1 << 18
"""Numbers noised at once; changes none of them."""


@dataclass(slots=True)
class ClientPrivacy:
    """A run's plan with the server's secret."""

    plan: ClientPlan
    secret: bytes
    run: str
    clip: float
    """C of the round."""

    def begin(self, line: Mapping[str, Any]) -> None:
        """Take C up from the line of the round before."""
        self.clip = line.get("next_clip") or self.plan.clip

    def kept(self) -> dict[str, float]:
        """Return what a round's line keeps for the next: C, where it adapts."""
        return {"next_clip": self.clip} if self.plan.adaptive else {}

    def bound(self) -> float:
        """Return C of the round."""
        return self.clip

    def cohort(self, site_ids: Sequence[str], round_num: int) -> list[str]:
        """Return the sites of a round, sorted: each by itself with probability q, perhaps none.

        Args:
            site_ids: all of the plan's, whether they are there or not.
            round_num: from 1.
        """
        ordered = sorted(site_ids)
        draws = SecretStream(self.secret, self.run, "cohort", round_num).uniforms(len(ordered))
        return [site for site, drawn in zip(ordered, draws < self.plan.rate, strict=True) if drawn]

    def noised(self, found: Aggregate, given: Parameters, round_num: int, size: int) -> Aggregate:
        """Return the aggregate with noise on its trained values, made in place.

        Its stream is named by the model and the sum as well. Were a round done again with another
        site missing, the same noise would show the difference of the two sums.

        Args:
            found: of the round.
            given: the model that the sites were sent.
            round_num: from 1.
            size: T, the trained values.
        """
        total = found.update[:size]
        digest = hashlib.sha256(total.tobytes()).hexdigest()
        names = (self.run, "noise", round_num, given.sha256(), digest)
        stream = SecretStream(self.secret, *names)
        deviation = self.plan.deviation(self.clip)
        for start in range(0, size, _SLICE):
            part = total[start : start + _SLICE]
            part += deviation * stream.normals(len(part))
        if not np.isfinite(total).all():
            raise AssertionError("noise that is not finite")
        if self.plan.adaptive:
            self._adapt(float(found.vectors[SURPLUS][0]), names)
        return replace(found, vectors={})

    def noised_sum(self, mean: Mean, given: Parameters, round_num: int, size: int) -> Mean:
        """Return a secure round's mean as its noised sum over the expected number of sites.

        Nothing else of the sites is left in it: no buffer, counter, loss or count.

        Args:
            mean: of sites that weigh 1 each.
            given: the model that the sites were sent.
            round_num: from 1.
            size: T, the trained values.

        Raises:
            RunError: the sum is longer than so many updates can be.
        """
        total = mean.update[:size] * mean.weight
        if np.linalg.norm(total) > mean.weight * self.clip * (1 + 1e-9):
            raise RunError(
                f"Round {round_num}: the sum of {mean.weight} sites' updates is longer than "
                f"{mean.weight} · privacy.clip = {mean.weight * self.clip:g}; some site does not "
                "keep to it. See that all run this version, or do without secure aggregation."
            )
        update = np.zeros_like(mean.update)
        update[:size] = total / self.plan.expected
        found = self.noised(Aggregate(update, given.counters, {}), given, round_num, size)
        nothing = np.zeros_like(mean.counters)
        return Mean(found.update, nothing, train_loss=0.0, weight=mean.weight, clipped=0)

    def _adapt(self, surplus: float, names: tuple[str | int, ...]) -> None:
        """Move C by how many updates were no longer, with noise."""
        stream = SecretStream(self.secret, "count", repr(surplus), *names)
        noise = COUNT_SHARE * self.plan.expected * float(stream.normals(1)[0])
        self.clip = next_clip(self.clip, surplus + noise, self.plan.expected)


def site_plan_of(config: ExperimentConfig, plan: PartitionPlan) -> ClientPlan | UpdatePlan | None:
    """Return the plan of a run whose unit is the site; None for any other run.

    Raises:
        ConfigError: δ is too large, ε cannot be reached, or a round expects too few sites.
    """
    if config.privacy.level == "update":
        delta = delta_of_sites(config.privacy, len(plan.sites))
        privacy = config.privacy.model_copy(update={"delta": delta})
        return update_plan(privacy, rounds=config.server.rounds)
    return client_plan_of(config, plan)


def client_plan_of(config: ExperimentConfig, plan: PartitionPlan) -> ClientPlan | None:
    """Return the plan of a run under client-level privacy; None for any other run."""
    if config.privacy.level != "client":
        return None
    server = config.server
    return client_plan(
        config.privacy,
        sites=len(plan.sites),
        fraction=server.fraction,
        rounds=server.rounds,
        is_secure=server.secure_aggregation,
    )


def client_privacy_of(job: Job) -> ClientPrivacy | None:
    """Return a run's client-level privacy with the server's secret, made when the run begins.

    Raises:
        ArtefactError: the run goes on, and the secret is gone.
    """
    plan = client_plan_of(job.config, job.prepared.plan)
    if plan is None:
        return None
    secret = secret_in(server_state(job.run.path), must_be_there=job.resume)
    return ClientPrivacy(plan, secret, job.run.name, plan.clip)
