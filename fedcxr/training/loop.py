"""One site's training from a uint8 memory map: no loader processes, no files.

The same seed, threads, precision and rows give the same bits in any process on the same machine.
Nothing of the optimiser outlives a call. The caller sets the number of threads.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedcxr.config.train import TrainConfig
from fedcxr.seeding import derive_rng, derive_seed
from fedcxr.training.batches import gather
from fedcxr.training.losses import masked_loss
from fedcxr.training.precision import Precision, arrange, autocast
from fedcxr.training.transforms import Normalization, augment, normalize

_CHECK_EVERY = 50
"""Steps between looks at the loss; each look makes a GPU wait."""


TOO_FEW = "fewer than 2 usable training images, and batch norm needs 2"
NO_LABEL = "no training image has a known label"
NOT_FINITE = "the loss is not finite; lower train.learning_rate"
REASONS = (TOO_FEW, NO_LABEL, NOT_FINITE)
"""Why a training came to nothing; fixed sentences, since they leave the site."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What local training did; the values themselves are in the model."""

    num_examples: int
    """Images trained on, the weight in the mean; 0 = nothing usable, see `reason`."""
    train_loss: float
    """Mean cross-entropy per known label over all epochs, nats; nan where there is none."""
    num_steps: int
    images_seen: int
    """Images through the network, over all epochs."""
    reason: str | None = None
    """Why nothing usable came of it: one of `REASONS`."""


def train_site(
    model: nn.Module,
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    target: NDArray[np.float32],
    *,
    config: TrainConfig,
    learning_rate: float,
    normalization: Normalization,
    precision: Precision,
    device: str,
    seed: int,
    multi_class: Sequence[int] = (),
    freeze_batch_norm: bool = False,
) -> TrainResult:
    """Train the model in place with Adam started anew, and return what was done.

    Args:
        model: moved to `device` and into the precision's memory layout.
        images: (M, H, W), usually a memory map.
        rows: (N,) positions in `images`.
        target: (N, L) along `rows`, as `train_targets` makes it; nan = not known.
        config: epochs, batch size, Adam, augmentation.
        learning_rate: this round's.
        normalization: the run's.
        precision: the run's.
        device: `cpu`, `cuda` or `cuda:N`.
        seed: of order, augmentation and dropout.
        multi_class: the columns with a class of its own for uncertain (`masked_loss`).
        freeze_batch_norm: keep batch-norm statistics as they came.
    """
    reason = _why_not(target)
    if reason is not None:
        return TrainResult(0, float("nan"), num_steps=0, images_seen=0, reason=reason)
    arrange(model, precision, device)
    _set_training(model, freeze_batch_norm)
    optimizer = torch.optim.Adam(
        model.parameters(),
        lr=learning_rate,
        betas=(config.beta1, config.beta2),
        weight_decay=config.weight_decay,
        fused=True,  # the fastest of the three on CPU and GPU
    )
    tally = _Tally(target)
    with _own_randomness(derive_seed(seed, "dropout"), device):
        for picked, generator in _plan(len(rows), config, seed):
            inputs = normalize(gather(images, rows[picked], device), normalization)
            inputs = augment(inputs, config.augment, generator)
            with autocast(precision, device):
                logits = model(inputs)
            known = torch.from_numpy(target[picked]).to(device)
            loss = masked_loss(logits.float(), known, multi_class)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
            optimizer.step()
            tally.add(loss.detach(), picked)
            if len(tally.losses) % _CHECK_EVERY == 0 and tally.bad_step() is not None:
                break
    return tally.result(len(rows))


def _why_not(target: NDArray[np.float32]) -> str | None:
    """Return why these images cannot be trained on, or none."""
    if len(target) < 2:
        return TOO_FEW
    if np.isnan(target).all():
        return NO_LABEL
    return None


def _plan(
    num: int, config: TrainConfig, seed: int
) -> Iterator[tuple[NDArray[np.int64], torch.Generator]]:
    """Yield each batch's positions, newly shuffled every epoch, and the epoch's generator."""
    for epoch in range(config.local_epochs):
        order = derive_rng(seed, "order", epoch).permutation(num)
        generator = torch.Generator().manual_seed(derive_seed(seed, "augment", epoch))
        for start in range(0, num, config.batch_size):
            picked = order[start : start + config.batch_size]
            if len(picked) > 1:  # batch norm has no variance of one image's 1 × 1 map
                yield picked, generator


def _set_training(model: nn.Module, freeze_batch_norm: bool) -> None:
    """Put the model into training mode, its batch norms into evaluation mode if frozen."""
    model.train()
    if freeze_batch_norm:
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


@contextmanager
def _own_randomness(seed: int, device: str) -> Iterator[None]:
    """Seed torch's global generators, which dropout draws from, and put them back afterwards."""
    gpus = [torch.device(device).index or 0] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(seed)
        if gpus:
            torch.cuda.manual_seed(seed)
        yield


class _Tally:
    """The losses of the steps, kept on the device until they are asked for."""

    def __init__(self, target: NDArray[np.float32]) -> None:
        self._num_known = (~np.isnan(target)).sum(axis=1)  # (N,)
        self.losses: list[Tensor] = []
        self._weights: list[int] = []
        self._images_seen = 0

    def add(self, loss: Tensor, picked: NDArray[np.int64]) -> None:
        """Count one step over the images at `picked`."""
        self.losses.append(loss)
        self._weights.append(int(self._num_known[picked].sum()))
        self._images_seen += len(picked)

    def bad_step(self) -> int | None:
        """Return the first step, from 1, whose loss is not finite."""
        finite = torch.isfinite(torch.stack(self.losses)).tolist()
        return finite.index(False) + 1 if False in finite else None

    def result(self, num_examples: int) -> TrainResult:
        """Return the tally of a training over that many images."""
        steps, seen, bad = len(self.losses), self._images_seen, self.bad_step()
        if bad is not None:
            log.error("the loss is not finite at step %d", bad)
            return TrainResult(0, float("nan"), steps, seen, NOT_FINITE)
        losses = torch.stack(self.losses).double().cpu().numpy()
        mean = float(np.average(losses, weights=np.maximum(self._weights, 1e-12)))
        return TrainResult(num_examples, mean, steps, seen)
