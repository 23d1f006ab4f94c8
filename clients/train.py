"""One order at one site: parameters in, local training, parameters out."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clients.self_training import filled_target
from clients.site import Site, SiteLocation
from clients.state import read_moments, read_state, write_moments, write_state
from clients.worker import Worker
from fedcxr.config.task import SiteTask
from fedcxr.data.policies import columns_with
from fedcxr.errors import RunError
from fedcxr.parameters import Parameters, ParameterSpec, extract, load_into
from fedcxr.seeding import derive_seed
from fedcxr.training.loop import TrainResult, train_site
from fedcxr.training.optimizers import optimizer_state
from fedcxr.training.pool import ImagePool
from fedcxr.training.transforms import Normalization
from fedcxr.wire import Order


@dataclass(frozen=True, slots=True)
class LocalResult:
    """What one site hands back after local training."""

    parameters: Parameters
    num_examples: int
    """Weight in the mean: real images trained on; 0 = the site had too few to train."""
    train_loss: float
    """Mean loss per known label, nats."""
    num_steps: int
    images_seen: int
    seconds: float
    reason: str | None = None
    """Why the site trained on nothing; names no patient and no file."""


def train_order(
    location: SiteLocation,
    site: Site,
    task: SiteTask,
    order: Order,
    *,
    parameters: Parameters,
    worker: Worker,
) -> LocalResult:
    """Train at the site from the server's parameters and return the site's own.

    Raises:
        RunError: the parameters are not of this model, or the loss left the finite numbers.
    """
    start = time.perf_counter()
    train = task.train
    keeps = train.moments == "keep"
    load_into(worker.model, worker.spec, start_from(location, task, order, parameters, worker.spec))
    result = train_site(
        worker.model,
        ImagePool.of(
            site.images, site.train.rows, filled_target(location, site, task, order, worker)
        ),
        config=train,
        learning_rate=order.learning_rate,
        normalization=Normalization(train.normalization, train.mean, train.std),
        precision=worker.precision,
        device=worker.device,
        seed=derive_seed(task.seed, "client", site.site_id, order.round_num),
        multi_class=columns_with(task.policy, task.labels, "multi_class"),
        freeze_batch_norm=task.batch_norm == "frozen",
        full_batch=worker.full_batch,
        optimizer_state=read_moments(location.state, task.run, order.round_num, train.optimizer)
        if keeps
        else None,
    )
    if keeps and result.num_examples > 0:
        write_moments(location.state, task.run, order.round_num, optimizer_state(worker.model))
    return _local_result(location, task, order, parameters, worker, result, start)


def start_from(
    location: SiteLocation,
    task: SiteTask,
    order: Order,
    parameters: Parameters,
    spec: ParameterSpec,
) -> Parameters:
    """Return what training starts from: the server's, under `local` with the site's own buffers."""
    if order.spec_digest != spec.digest:
        raise RunError("the server's model is not this site's; both must run the same version")
    if task.batch_norm != "local":
        return parameters
    kept = read_state(location.state, task.run, order.round_num)
    return parameters if kept is None else _with_buffers(parameters, kept, spec)


def _local_result(
    location: SiteLocation,
    task: SiteTask,
    order: Order,
    parameters: Parameters,
    worker: Worker,
    result: TrainResult,
    start: float,
) -> LocalResult:
    trained = extract(worker.model, worker.spec)
    if task.batch_norm == "local" and result.num_examples > 0:
        write_state(location.state, task.run, order.round_num, trained, worker.spec)
        trained = _with_buffers(trained, parameters, worker.spec)
    return LocalResult(
        trained,
        result.num_examples,
        result.train_loss,
        result.num_steps,
        result.images_seen,
        time.perf_counter() - start,
        result.reason,
    )


def _with_buffers(parameters: Parameters, buffers: Parameters, spec: ParameterSpec) -> Parameters:
    vector: NDArray[np.float32] = np.concatenate(
        [parameters.vector[: spec.num_trainable], buffers.vector[spec.num_trainable :]]
    )
    return Parameters(vector, buffers.counters.copy())
