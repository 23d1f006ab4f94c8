"""A site's update under local privacy: shortened, paid for, and noised before it leaves.

The site believes nobody: σ follows from ε, δ and the rounds by its own reckoning, the noise is from
its own secret, and its account is its own. What is paid for is what is about to leave. The noise is
named by the shortened update, so an order sent again gives the same bits and spends nothing, and
one whose training comes out otherwise, in however few bits, spends again and has other noise.
"""

import logging

import numpy as np

from clients.privacy_budget import Spent, budget_of, digest_of
from clients.private_training import SPENT
from clients.site import SiteLocation
from clients.train import Trained, sent_parameters
from fedcxr.chain import UPDATE, ClipLink, SiteSide
from fedcxr.config.task import SiteTask
from fedcxr.privacy.update_plan import update_plan
from fedcxr.schema import COUNTERS, WireSchema
from fedcxr.vectors import Vectors
from fedcxr.wire import Order

_SLICE = 1 << 18
"""Numbers noised at once; changes none of them."""

log = logging.getLogger(__name__)


def noised_update(
    location: SiteLocation,
    task: SiteTask,
    order: Order,
    made: Trained,
    *,
    schema: WireSchema,
    sent: Vectors,
    place: SiteSide,
) -> Vectors | None:
    """Return what a training made, ready for whoever may look; None if the budget is spent.

    Float buffers are 0 and counters are the server's own, so that they tell nothing.

    Args:
        location: of the site.
        task: the run's, of level `update`.
        order: the round's.
        made: what was trained.
        schema: of the run.
        sent: the vectors that came with the order.
        place: what a link may use.

    Raises:
        RunError: the update is not finite.
        ConfigError: the run has no δ, or Opacus is not installed.
        ArtefactError: the site's account or secret is damaged or gone.
    """
    spec, plan = schema.shared.spec, update_plan(task.privacy, rounds=task.rounds)
    update = ClipLink(plan.clip).apply(made.vectors, spec, place)[UPDATE]
    digest = digest_of({UPDATE: update})
    budget = budget_of(location, task.run)
    entry = Spent(order.round_num, digest, plan.noise, plan.rate, steps=1)
    if not budget.spend(entry, plan, task.privacy.epsilon, order.last_round):
        log.warning("round %d: %s", order.round_num, SPENT)
        return None
    stream = budget.stream(task.run, order.round_num, "update", digest)
    for start in range(0, spec.num_trainable, _SLICE):
        part = update[start : min(start + _SLICE, spec.num_trainable)]
        part += (plan.deviation * stream.normals(len(part))).astype(np.float32)
    log.info(
        "round %d: an update of length at most %g left with noise of deviation %.4g in each of "
        "%d numbers; epsilon spent in all %.4g by RDP at delta %.3g",
        *(order.round_num, plan.clip, plan.deviation, spec.num_trainable),
        *(budget.epsilon(plan.delta), plan.delta),
    )
    counters = schema.shared.take(sent_parameters(sent)).counters
    return {**made.vectors, UPDATE: update, COUNTERS: counters}
