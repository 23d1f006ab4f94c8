"""One order at one site: the server's vectors in, local training, the site's own out."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clients.augmentation import train_config, training_images
from clients.memory import ALGORITHM, PRIVATE, memory_of
from clients.moments import read_moments, write_moments
from clients.private_training import train_site_privately
from clients.resident_model import Worker
from clients.self_training import filled_target
from clients.site import Site, SiteLocation
from fedcxr.algorithms.protocol import LocalResult, LocalStep
from fedcxr.chain import UPDATE, Memory
from fedcxr.config.task import SiteTask
from fedcxr.data.policies import columns_with
from fedcxr.errors import RunError
from fedcxr.parameters import Parameters, extract, load_into
from fedcxr.schema import COUNTERS, KNOWN, VECTOR, WireSchema, model_vectors
from fedcxr.seeding import derive_seed
from fedcxr.training.loop import TrainResult, train_site
from fedcxr.training.optimizers import OptimizerState, optimizer_state
from fedcxr.training.pool import ImagePool
from fedcxr.training.transforms import Normalization
from fedcxr.vectors import Vectors
from fedcxr.wire import Order


@dataclass(frozen=True, slots=True)
class Trained:
    """What local training made, before the chain."""

    num_examples: int
    """Weight in the mean: real images trained on; 0 = the site had too few to train."""
    train_loss: float
    """Mean loss per known label, nats."""
    num_steps: int
    images_seen: int
    seconds: float
    reason: str | None = None
    """Why the site trained on nothing; names no patient and no file."""
    vectors: Vectors = field(default_factory=dict, repr=False)
    """As the schema's `made` declares; empty where nothing was trained."""
    given: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32), repr=False)
    """(P,) the shared values that the server sent."""
    vae_numbers: Mapping[str, float] = field(default_factory=dict)
    """What the site says of its VAE, by wire key; empty but in the round that made it."""


def train_order(
    location: SiteLocation,
    site: Site,
    task: SiteTask,
    order: Order,
    *,
    vectors: Vectors,
    worker: Worker,
    memory: Memory | None = None,
) -> Trained:
    """Train at the site from what the server sent and return what the site has for it.

    What the site keeps goes into `memory`; none = its own, at once.

    Raises:
        RunError: the order is of another model, or the loss left the finite numbers.
    """
    start = time.perf_counter()
    schema, spec = worker.schema(task), worker.spec
    if order.learning_rate <= 0:
        raise RunError("the order's learning rate is not above 0")
    memory = memory or memory_of(location.state, task.run, order.round_num)
    given = sent_parameters(vectors)
    load_into(worker.model, spec, start_from(memory, schema, order, given))
    own, train = _algorithm_vectors(memory, schema, vectors), task.train
    keeps = train.moments == "keep"
    state = read_moments(memory, train.optimizer) if keeps else None
    correct = _correction(worker, schema, given, own)
    target = site.train.target
    vae_numbers: Mapping[str, float] = {}
    if schema.protects == "patient":
        result = train_site_privately(
            location, site, task, order, {**vectors, **own}, worker, state, correct
        )
    else:
        target = filled_target(location, site, task, order, worker)
        images = training_images(
            location, site, task, order, target=target, given=given, worker=worker
        )
        vae_numbers = images.numbers
        result = _trained_on(images.pool, location, site, task, order, worker, state, correct)
    if result.num_examples == 0:
        return _trained(result, start)
    if keeps:
        write_moments(memory, optimizer_state(worker.model))
    made = _made(memory, schema, given, extract(worker.model, spec))
    if schema.rules.finish is not None:
        update = made[UPDATE][: schema.size]
        local = LocalResult(update, order.learning_rate, result.num_steps, own)
        sent, kept = schema.rules.finish(schema.parameters, local)
        memory.write(ALGORITHM, kept)
        made |= sent
    if schema.num_known:
        made[KNOWN] = (~np.isnan(target)).sum(axis=0, dtype=np.int64)
    done = _trained(result, start, made, schema.shared.take(given).vector)
    return replace(done, vae_numbers=vae_numbers)


def _trained_on(
    pool: ImagePool,
    location: SiteLocation,
    site: Site,
    task: SiteTask,
    order: Order,
    worker: Worker,
    state: OptimizerState | None,
    correct: Callable[[], None] | None,
) -> TrainResult:
    """Train the worker's model on these images, with the optimiser from this state on."""
    train, config = task.train, train_config(task, pool)
    location.limits.check_steps(config.steps(len(pool)))
    return train_site(
        worker.model,
        pool,
        config=config,
        learning_rate=order.learning_rate,
        normalization=Normalization(train.normalization, train.mean, train.std),
        precision=worker.precision,
        device=worker.device,
        seed=derive_seed(task.seed, "client", site.site_id, order.round_num),
        multi_class=columns_with(task.policy, task.labels, "multi_class"),
        freeze_batch_norm=task.batch_norm == "frozen",
        full_batch=worker.full_batch,
        optimizer_state=state,
        correct=correct,
    )


def _made(
    memory: Memory, schema: WireSchema, given: Parameters, after: Parameters
) -> dict[str, NDArray[Any]]:
    """Return the update and the counters of a training, and keep what is private to the site."""
    shared = schema.shared
    if shared.private:
        memory.write(PRIVATE, model_vectors(shared.take_private(after)))
    with np.errstate(over="ignore", invalid="ignore"):  # the door out refuses it, in words
        update = shared.take(after).vector - shared.take(given).vector
    return {UPDATE: update, COUNTERS: shared.take(after).counters}


def sent_parameters(vectors: Vectors) -> Parameters:
    """Return the model that an order carries."""
    return Parameters(vectors[VECTOR], vectors[COUNTERS])


def start_from(memory: Memory, schema: WireSchema, order: Order, given: Parameters) -> Parameters:
    """Return what training starts from: the server's values, and the site's own private ones."""
    if order.schema_digest != schema.digest:
        raise RunError("the server's model is not this site's; both must run the same version")
    kept = memory.read(PRIVATE) if schema.shared.private else None
    return given if kept is None else schema.shared.put_private(sent_parameters(kept), given)


def _trained(
    result: TrainResult,
    start: float,
    vectors: Vectors | None = None,
    given: NDArray[np.float32] | None = None,
) -> Trained:
    return Trained(
        result.num_examples,
        result.train_loss,
        result.num_steps,
        result.images_seen,
        time.perf_counter() - start,
        result.reason,
        vectors or {},
        np.empty(0, np.float32) if given is None else given,
    )


def _algorithm_vectors(memory: Memory, schema: WireSchema, sent: Vectors) -> Vectors:
    """Return what the algorithm's order and the site's memory hold, zeros before its first."""
    rules = schema.rules
    kept = memory.read(ALGORITHM) if rules.kept else None
    empty = {name: np.zeros(schema.size, np.float32) for name in rules.kept}
    return {**{name: sent[name] for name in rules.to_sites}, **(empty if kept is None else kept)}


def _correction(
    worker: Worker, schema: WireSchema, given: Parameters, vectors: Vectors
) -> Callable[[], None] | None:
    """Return what adds the algorithm's term to the gradients of a step; none if it has none."""
    correct = schema.rules.correct
    if correct is None:
        return None
    named = worker.model.named_parameters()
    weights = [tensor for name, tensor in named if name not in schema.shared.private]
    sent = schema.shared.take(given).vector[: schema.size]
    step = LocalStep(
        weights,
        _in_shapes(sent, weights, worker.device),
        {name: _in_shapes(vector, weights, worker.device) for name, vector in vectors.items()},
    )
    parameters = schema.parameters

    def add_term() -> None:
        with torch.no_grad():
            correct(parameters, step)

    return add_term


def _in_shapes(vector: NDArray[np.float32], like: Sequence[Tensor], device: str) -> list[Tensor]:
    """Return a vector as tensors of these shapes, on the device."""
    flat = torch.from_numpy(vector if vector.flags.writeable else vector.copy()).to(device)
    pieces = torch.split(flat, [tensor.numel() for tensor in like])
    return [piece.view(tensor.shape) for piece, tensor in zip(pieces, like, strict=True)]
