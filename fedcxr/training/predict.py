"""Probabilities from a model, and batch-norm statistics measured again. Nothing is trained.

In float32, whatever the training's precision: bf16 has 8 bits for a logit, so 800 images got 41
different probabilities, and images of the same value cannot be ranked. Of a precision the memory
layout alone counts here.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedcxr.training.batches import gather, on_device
from fedcxr.training.device import full_float32, repeatable
from fedcxr.training.precision import Precision, arrange
from fedcxr.training.transforms import Normalization, normalize


def predict(
    model: nn.Module,
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    *,
    batch_size: int,
    normalization: Normalization,
    precision: Precision,
    device: str,
    num_labels: int | None = None,
) -> NDArray[np.float32]:
    """Return probabilities (N, L) of the images at `rows`; (0, 0) where there are none.

    L is `num_labels`, or all outputs of the model: what follows the labels' own columns belongs to
    the training (`masked_loss`) and is no probability. Leaves the model in evaluation mode, on
    `device` and in the precision's layout.
    """
    arrange(model, precision, device)
    model.eval()
    parts: list[Tensor] = []
    with torch.inference_mode(), repeatable(device), full_float32():
        for inputs in _inputs(images, rows, batch_size, normalization, device):
            parts.append(torch.sigmoid(model(inputs)[:, :num_labels]))
        if not parts:
            return np.zeros((0, 0), dtype=np.float32)
        probs: NDArray[np.float32] = torch.cat(parts).cpu().numpy()
    return probs


def recalibrate_batch_norm(
    model: nn.Module,
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    *,
    batch_size: int,
    normalization: Normalization,
    precision: Precision,
    device: str,
) -> None:
    """Replace every batch norm's statistics by the mean over batches of these images.

    A last batch of fewer images would count as much as a full one and is left out, unless it is
    the only one. A model without batch norm is left as it is.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    whole = rows[: len(rows) // batch_size * batch_size] if len(rows) >= batch_size else rows
    if not norms or len(whole) < 2:
        return
    arrange(model, precision, device)
    model.eval()  # no dropout
    before = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # torch's sign for a cumulative mean
            norm.train()
        with torch.no_grad(), repeatable(device), full_float32():
            for inputs in _inputs(images, whole, batch_size, normalization, device):
                model(inputs)
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.eval()


def _inputs(
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    batch_size: int,
    normalization: Normalization,
    device: str,
) -> Iterator[Tensor]:
    """Yield model input (B, 1, H, W) for consecutive batches of `rows`."""
    starts = range(0, len(rows), batch_size)
    made = ((gather(images, rows[start : start + batch_size]),) for start in starts)
    for (pixels,) in on_device(made, device):
        yield normalize(pixels, normalization)
