"""One site's training from a uint8 memory map: no loader processes, no files.

The same seed, threads, precision and rows give the same bits in any process on the same machine.
Nothing of the optimiser outlives a call but what the caller asks for. The caller sets the number of
threads.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fedcxr.config.train import TrainConfig
from fedcxr.errors import DivergedError
from fedcxr.models.base import CxrModel
from fedcxr.models.randomness import seeded_generators
from fedcxr.seeding import derive_rng, derive_seed
from fedcxr.training.augmentations import AUGMENTATIONS
from fedcxr.training.batches import Batch, on_device
from fedcxr.training.compiled import Forward
from fedcxr.training.device import repeatable
from fedcxr.training.losses import LOSSES, masked_loss
from fedcxr.training.optimizers import OptimizerState, reset_optimizer
from fedcxr.training.pool import ImagePool
from fedcxr.training.precision import Precision, arrange, autocast
from fedcxr.training.transforms import Normalization, normalize

_CHECK_EVERY = 50
"""Steps between looks at the loss; each look makes a GPU wait."""


TOO_FEW = "fewer than 2 usable training images, and batch norm needs 2"
NO_LABEL = "no training image has a known label"
NONE_REAL = "no training image is a real one"
NOT_FINITE = "the loss is not finite; lower train.learning_rate"
REASONS = (TOO_FEW, NO_LABEL, NONE_REAL)
"""Why there was nothing to train on; fixed sentences, since they leave the site."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What local training did; the values themselves are in the model."""

    num_examples: int
    """Real images trained on, the weight in the mean; 0 = nothing usable, see `reason`."""
    train_loss: float
    """Mean loss per known label over all epochs, nats; nan where there is none."""
    num_steps: int
    images_seen: int
    """Images through the network, over all epochs, made-up ones as well."""
    reason: str | None = None
    """Why there was nothing to train on: one of `REASONS`."""


def train_site(
    model: nn.Module,
    pool: ImagePool,
    *,
    config: TrainConfig,
    learning_rate: float,
    normalization: Normalization,
    precision: Precision,
    device: str,
    seed: int,
    multi_class: Sequence[int] = (),
    freeze_batch_norm: bool = False,
    full_batch: Forward | None = None,
    optimizer_state: OptimizerState | None = None,
    correct: Callable[[], None] | None = None,
) -> TrainResult:
    """Train the model in place, and return what was done.

    Args:
        model: moved to `device` and into the precision's memory layout.
        pool: the site's images and targets.
        config: epochs, batch size, loss, optimiser, augmentation.
        learning_rate: this round's.
        normalization: the run's.
        precision: the run's.
        device: `cpu`, `cuda` or `cuda:N`.
        seed: of order, augmentation and dropout.
        multi_class: the columns with a class of its own for uncertain (`masked_loss`).
        freeze_batch_norm: keep batch-norm statistics as they came.
        full_batch: the model's forward pass for full batches, where it is a compiled one.
        optimizer_state: what the optimiser goes on from; none = started anew.
        correct: adds a federated algorithm's term to the gradients of each step.

    Raises:
        ConfigError: there is no loss or optimiser of the configuration's name.
        DivergedError: the loss left the finite numbers; the model is of no use then.
    """
    if (reason := _why_not(pool)) is not None:
        return TrainResult(0, float("nan"), num_steps=0, images_seen=0, reason=reason)
    arrange(model, precision, device)
    set_training(model, freeze_batch_norm)
    entry_loss = LOSSES.get(config.loss).build(config, pool.target, device)
    optimizer, tally = reset_optimizer(model, config.optimizer, optimizer_state), _Tally()
    own = seeded_generators(derive_seed(seed, "dropout"), device)
    with own, repeatable(device), _relu_in_place(model):
        for inputs, known in _inputs(pool, config, seed, normalization, device):
            full = len(inputs) == config.batch_size
            forward = model if full_batch is None or not full else full_batch
            with autocast(precision, device):
                logits = forward(inputs)
            loss = masked_loss(logits.float(), known, multi_class, entry_loss)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
            if correct is not None:
                correct()
            optimizer.step(config, learning_rate)
            tally.add(loss.detach(), known)
            if tally.is_over(config.max_steps):
                break
    return tally.result(pool.num_real)


def _why_not(pool: ImagePool) -> str | None:
    """Return why these images cannot be trained on, or none."""
    if len(pool) < 2:
        return TOO_FEW
    if np.isnan(pool.target).all():
        return NO_LABEL
    # The reply would weigh nothing in the mean, and 0 says that nothing was done.
    return NONE_REAL if pool.num_real == 0 else None


def _inputs(
    pool: ImagePool, config: TrainConfig, seed: int, normalization: Normalization, device: str
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each batch's model input and targets on the device."""
    augmentation = AUGMENTATIONS.get(config.augment.name)
    for pixels, known, views in on_device(_batches(pool, config, seed), device):
        yield augmentation.apply(normalize(pixels, normalization), views), known


def _batches(pool: ImagePool, config: TrainConfig, seed: int) -> Iterator[Batch]:
    """Yield each batch's pixels, targets and drawn views, newly shuffled every epoch."""
    draw = AUGMENTATIONS.get(config.augment.name).draw
    for epoch in range(config.local_epochs):
        order = derive_rng(seed, "order", epoch).permutation(len(pool))
        generator = torch.Generator().manual_seed(derive_seed(seed, "augment", epoch))
        for start in range(0, len(pool), config.batch_size):
            picked = order[start : start + config.batch_size]
            if len(picked) > 1:  # batch norm has no variance of one image's 1 × 1 map
                views = draw(len(picked), config.augment, generator)
                yield *pool.gather(picked), views


def set_training(model: nn.Module, freeze_batch_norm: bool) -> None:
    """Put the model into training mode, its batch norms into evaluation mode if frozen."""
    model.train()
    if freeze_batch_norm:
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


@contextmanager
def _relu_in_place(model: nn.Module) -> Iterator[None]:
    """Let the registry's networks overwrite what goes into a ReLU, as torchvision's own do.

    The same bits, and densenet121 at 64 px in bf16 trained 1.05 times as fast. Outside of training
    they must not: Grad-CAM's hooks read a layer's output after the next one ran. Other models are
    left alone, since they may use the input of a ReLU again.
    """
    relus = [m for m in model.modules() if isinstance(m, nn.ReLU)]
    relus = relus if isinstance(model, CxrModel) else []
    before = [relu.inplace for relu in relus]
    try:
        for relu in relus:
            relu.inplace = True
        yield
    finally:
        for relu, inplace in zip(relus, before, strict=True):
            relu.inplace = inplace


class _Tally:
    """The losses of the steps, kept on the device until they are asked for."""

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self._weights: list[Tensor] = []
        self._images_seen = 0

    def add(self, loss: Tensor, target: Tensor) -> None:
        """Count one step over images with these targets."""
        self.losses.append(loss)
        self._weights.append((~torch.isnan(target)).sum())
        self._images_seen += len(target)

    def is_over(self, max_steps: int | None) -> bool:
        """Return whether no step shall follow: there were enough, or a loss was not finite."""
        steps = len(self.losses)
        return steps == max_steps or (steps % _CHECK_EVERY == 0 and self.bad_step() is not None)

    def bad_step(self) -> int | None:
        """Return the first step, from 1, whose loss is not finite."""
        finite = torch.isfinite(torch.stack(self.losses)).tolist()
        return finite.index(False) + 1 if False in finite else None

    def result(self, num_examples: int) -> TrainResult:
        """Return the tally of a training over that many images."""
        steps, seen, bad = len(self.losses), self._images_seen, self.bad_step()
        if bad is not None:
            log.error("the loss is not finite at step %d", bad)
            raise DivergedError(NOT_FINITE)
        losses = torch.stack(self.losses).double().cpu().numpy()
        weights = torch.stack(self._weights).double().cpu().numpy()
        mean = float(np.average(losses, weights=np.maximum(weights, 1e-12)))
        return TrainResult(num_examples, mean, steps, seen)
