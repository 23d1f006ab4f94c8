"""From a round under secure aggregation to the new model, and what its log says.

The server cannot measure one site's update. What a site can do is bounded for each number, by the
quantiser's range, at the site; and `server.norm_factor` bounds their mean here, by the means of the
rounds before.
"""

import secrets
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from flwr.app import ArrayRecord
from flwr.serverapp import Grid

from fedcxr.config.task import SecureTask, parse_task
from fedcxr.errors import QuorumError, RunError
from fedcxr.parameters import Parameters, ParameterSpec
from fedcxr.schema import WireSchema
from fedcxr.secagg.graph import FEWEST_SITES
from fedcxr.secagg.quantise import Mean
from fedcxr.secagg.setup import Setup
from server.aggregate.aggregator import Aggregate
from server.bounds import Norms, clipped, norms_of
from server.client_privacy import ClientPrivacy
from server.exchange import ExchangeLimits
from server.intake import Intake, RoundLog
from server.job import Job
from server.orders import Federation, OrderBook
from server.secure_round import SecureRound
from server.step import State, step

OnMean = Callable[[Mean], Mean]
"""What is done to a round's mean before anything else sees it, such as noise added to it."""


@dataclass(frozen=True, slots=True)
class SecurePlace:
    """With what the rounds of a run under secure aggregation are made."""

    book: OrderBook
    intake: Intake
    grid: Grid
    limits: ExchangeLimits
    task: SecureTask
    privacy: ClientPrivacy | None = None
    """Where each site as a whole is protected."""
    site_keys: Mapping[str, bytes] | None = None
    """The public key of each site's kit; none = no kits."""

    def on_mean(self, parameters: Parameters, round_num: int) -> OnMean:
        """Return what is done to the mean of a round that begins with a model."""
        privacy, schema = self.privacy, self.book.federation.schema
        if privacy is None:
            return lambda mean: mean
        given = schema.shared.take(parameters)
        return lambda mean: privacy.noised_sum(mean, given, round_num, schema.size)


def new_setup(book: OrderBook, round_num: int) -> Setup:
    """Return the public part of a new attempt at a round, the circle in random order.

    Raises:
        QuorumError: too few sites are there to hide one among.
    """
    circle = book.cohort(round_num)
    if len(circle) < FEWEST_SITES:
        raise QuorumError(
            f"Round {round_num}: {len(circle)} sites are there, and secure aggregation needs "
            f"{FEWEST_SITES}. {book.federation.advice}"
        )
    secrets.SystemRandom().shuffle(circle)
    return Setup(book.federation.run, round_num, secrets.token_hex(16), tuple(circle))


def secure_place(
    job: Job, book: OrderBook, intake: Intake, grid: Grid, privacy: ClientPrivacy | None
) -> SecurePlace | None:
    """Return with what a run's rounds are made; None without secure aggregation."""
    task = job.secure
    if task is None:
        return None
    return SecurePlace(book, intake, grid, job.limits, task, privacy, job.site_keys)


def train_securely(
    place: SecurePlace,
    round_num: int,
    arrays: ArrayRecord,
    *,
    parameters: Parameters,
    state: State,
) -> tuple[Parameters, State]:
    """Return the model after a round, and the algorithm's new state.

    Args:
        place: of the run.
        round_num: the round.
        arrays: what an order to train carries.
        parameters: the model in it.
        state: the algorithm's, from the round before.

    Raises:
        QuorumError: too few sites are there, or are left at a stage.
        RunError: what was unmasked is no sum of the sites' numbers.
    """
    book, intake = place.book, place.intake
    schema = book.federation.schema
    given, on_mean = schema.shared.take(parameters), place.on_mean(parameters, round_num)
    if book.federation.draw is not None and len(book.drawn(round_num)) < FEWEST_SITES:
        found = nothing_of(intake, schema, given, on_mean)
    else:
        setup = new_setup(book, round_num)
        secure = SecureRound(
            *(book, place.grid, place.limits, intake, place.task, setup), site_keys=place.site_keys
        )
        found = aggregate_of(secure, secure.run(arrays), given, on_mean)
    return step(intake, schema, found, parameters=parameters, state=state)


def nothing_of(intake: Intake, schema: WireSchema, given: Parameters, on_mean: OnMean) -> Aggregate:
    """Return the aggregate of a round that drew too few sites for a sum: none of them is asked.

    Under client-level privacy it is noise, as where the sum of updates is 0.
    """
    intake.log = RoundLog()
    layout = schema.layout
    nothing = Mean(
        np.zeros(layout.trained + layout.buffers), np.zeros(layout.counters), 0.0, 0, clipped=0
    )
    return Aggregate(on_mean(nothing).update, given.counters, {})


def aggregate_of(
    secure: SecureRound, mean: Mean, given: Parameters, on_mean: OnMean = lambda mean: mean
) -> Aggregate:
    """Return a round's mean as an aggregate, and fill the round's log.

    Args:
        secure: the round, which has been run.
        mean: what it gave.
        given: the shared values that the sites were sent.
        on_mean: what is done to it first.

    Raises:
        QuorumError: fewer sites than the quorum answered.
        RunError: the mean is not finite.
    """
    intake, setup = secure.intake, secure.setup
    intake.check_quorum(setup.round_num, len(setup.circle))
    sites, spec = intake.federation, intake.federation.schema.shared.spec
    mean = on_mean(mean)
    norms = norms_of(mean.update.astype(np.float32), spec)
    if norms is None:
        raise RunError(f"Round {setup.round_num}: the mean of the sites' updates is not finite")
    report = intake.log
    report.weight, report.loss_sum = mean.weight, mean.weight * mean.train_loss
    if not sites.schema.is_private:
        report.sums_loss = True
        report.images = mean.weight * parse_task(sites.task).train.local_epochs
    report.norms.append(norms)
    report.secure = {
        "clipped": None if sites.schema.protects == "client" else mean.clipped,
        "update_norm": norms.trained,
        "buffer_norm": norms.buffers,
        "session": setup.session,
        "checks": list(secure.task.checks(sites.schema.protects)),
        "statements": dict(sorted(secure.statements.items())),
        "silent_at_the_end": sorted(secure.silent_at_the_end),
        "seconds": {stage: round(seconds, 4) for stage, seconds in secure.seconds.items()},
    }
    limit = limit_of_mean(intake, sites)
    if limit is not None and norms.exceed(limit):
        mean = _bounded(mean, report, sites, norms, limit=limit, spec=spec)
    # Counters count steps: of sites with more images more. The largest cannot be had from a sum.
    counters = given.counters + np.ceil(mean.counters - 1e-9).astype(np.int64)
    return Aggregate(mean.update, counters, {})


def limit_of_mean(intake: Intake, sites: Federation) -> Norms | None:
    """Return the longest mean of a round; None in the first, and where any may be."""
    if sites.norm_factor is None or not intake.history:
        return None
    return Norms(
        sites.norm_factor * statistics.median(norms.trained for norms in intake.history),
        sites.norm_factor * statistics.median(norms.buffers for norms in intake.history),
    )


def _bounded(
    mean: Mean,
    report: RoundLog,
    sites: Federation,
    norms: Norms,
    *,
    limit: Norms,
    spec: ParameterSpec,
) -> Mean:
    """Return a mean that is too long, cut to the limit; under `refuse` note that it is refused."""
    if sites.norm_policy == "refuse":
        report.mean_refused = (
            f"the mean of the sites' updates has the norms {norms.trained:.3g} (trained) and "
            f"{norms.buffers:.3g} (buffers), and by the rounds before {limit.trained:.3g} and "
            f"{limit.buffers:.3g} are allowed (server.norm_factor)"
        )
        return mean
    update = clipped(mean.update.astype(np.float32), norms, limit, spec)
    return replace(mean, update=update.astype(np.float64))
