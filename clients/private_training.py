"""A site's training under patient-level privacy: the plan, the budget, the draws, the steps.

What leaves is the update alone. What the site itself may know goes to its account and its own log.
"""

import logging
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from clients.privacy_budget import Spent, budget_of, digest_of
from clients.private_samples import private_samples
from clients.resident_model import Worker
from clients.site import Site, SiteLocation
from clients.vae_files import KeptVae
from fedcxr.config.task import SiteTask
from fedcxr.data.policies import columns_with
from fedcxr.training.loop import TOO_FEW, TrainResult
from fedcxr.training.optimizers import OptimizerState
from fedcxr.training.pool import ImagePool, ImageSource
from fedcxr.training.private_loop import PrivateResult, train_privately
from fedcxr.training.private_plan import PrivatePlan, private_plan
from fedcxr.training.transforms import Normalization
from fedcxr.vectors import Vectors
from fedcxr.wire import Order

SPENT = "the site's privacy budget is spent"
WITHHELD = "withheld: the run protects each patient, and this is not noised"

log = logging.getLogger(__name__)


def train_site_privately(
    location: SiteLocation,
    site: Site,
    task: SiteTask,
    order: Order,
    vectors: Vectors,
    worker: Worker,
    optimizer_state: OptimizerState | None,
    correct: Callable[[], None] | None,
) -> TrainResult:
    """Train the worker's model at the site by DP-SGD; `num_examples` is 1, whatever the site has.

    Args:
        location: of the site.
        site: its data.
        task: the run's.
        order: the round's.
        vectors: what came with the order.
        worker: its model holds what training starts from.
        optimizer_state: what the optimiser goes on from; none = started anew.
        correct: adds a federated algorithm's term to the noised gradients.

    Raises:
        ConfigError: δ is not below 1/patients, or Opacus is not installed.
        LimitError: the site's owner allows less.
        ArtefactError: the site's account or secret is damaged or gone.
        DivergedError: the weights left the finite numbers.
    """
    plan = _plan(location, site, task)
    if plan is None:
        return _skipped(TOO_FEW)
    budget = budget_of(location, task.run)
    added = private_samples(location, site, task, order, plan, budget, worker.device)
    if added is None:
        return _spent(order)
    inputs = _inputs(site, task, order, vectors, optimizer_state, added)
    entry = Spent(order.round_num, inputs, plan.noise, plan.rate, plan.steps)
    if not budget.spend(entry, plan, task.privacy.epsilon, order.last_round):
        return _spent(order)

    train = task.train
    pool, patient = _patients_and_samples(site, added)
    done = train_privately(
        worker.model,
        pool,
        patient,
        plan.of_a_round_with(len(pool) - len(site.train.rows)),
        partial(budget.stream, task.run, order.round_num, inputs),
        config=train,
        learning_rate=order.learning_rate,
        normalization=Normalization(train.normalization, train.mean, train.std),
        precision=worker.precision,
        device=worker.device,
        multi_class=columns_with(task.policy, task.labels, "multi_class"),
        freeze_batch_norm=task.batch_norm == "frozen",
        optimizer_state=optimizer_state,
        correct=correct,
    )
    _note(order.round_num, done)
    return TrainResult(1, float("nan"), plan.steps, images_seen=0)


def _skipped(reason: str) -> TrainResult:
    return TrainResult(0, float("nan"), num_steps=0, images_seen=0, reason=reason)


def _spent(order: Order) -> TrainResult:
    log.warning("round %d: %s", order.round_num, SPENT)
    return _skipped(SPENT)


def _patients_and_samples(site: Site, added: KeptVae) -> tuple[ImagePool, NDArray[np.int64]]:
    """Return what steps draw from, and whose each image is: every sample is a patient of its own.

    A step takes each sample with probability q, like a patient, and shortens its gradient to C.
    The sum over the samples is the same whether a real patient is among the site's or not: the
    VAE, which they came from, has been paid for, and who is taken is drawn for each by itself. So
    one patient moves the whole sum by C at most, as without samples, and σ and the account stay.
    """
    real = ImageSource(site.images, site.train.rows, site.train.target)
    if not len(added.samples):
        return ImagePool((real,)), site.train.patient
    number = np.arange(len(added.samples))
    made = ImageSource(added.samples, number, added.target, is_real=False)
    beyond = site.train.patient.max() + 1  # so that the real ones come first in every sum
    return ImagePool((real, made)), np.concatenate([site.train.patient, beyond + number])


def _plan(location: SiteLocation, site: Site, task: SiteTask) -> PrivatePlan | None:
    """Return the site's steps and noise, if its owner allows them; None where nobody is there."""
    patients = len(np.unique(site.train.patient))
    if patients == 0:
        return None
    plan = private_plan(
        task.privacy, task.train, rounds=task.rounds, patients=patients, vae=task.vae
    )
    location.limits.check_steps(plan.steps)
    location.limits.check_privacy(plan.epsilon_after(plan.rounds), plan.delta)
    return plan


def _inputs(
    site: Site,
    task: SiteTask,
    order: Order,
    vectors: Vectors,
    state: OptimizerState | None,
    added: KeptVae,
) -> str:
    """Return the digest of all that decides what a training computes, but for the draws."""
    kept = {} if state is None else state.tensors
    return digest_of(
        task.to_text(),
        repr(order.learning_rate),
        dict(vectors),
        {name: tensor.numpy() for name, tensor in kept.items()},
        {"rows": site.train.rows, "target": site.train.target, "patient": site.train.patient},
        {"samples": added.samples, "asked": added.target},
    )


def _note(round_num: int, done: PrivateResult) -> None:
    """Tell who sits at the site of patients whose gradients were of no use."""
    if done.not_finite:
        log.warning(
            "round %d: of %d gradients of patients %d were not finite and counted 0",
            *(round_num, done.drawn, done.not_finite),
        )
