"""From the memory map to the device: gathering images, and sums over their pixels."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_CHUNK = 1024
"""Images read at once where only sums are kept."""


def gather(images: NDArray[np.uint8], rows: NDArray[np.int64], device: str) -> Tensor:
    """Return the images at `rows` as (N, H, W) uint8 on the device."""
    batch = torch.from_numpy(np.asarray(images[rows]))  # indexing by an array copies
    if device.startswith("cuda"):
        return batch.pin_memory().to(device, non_blocking=True)
    return batch


def pixel_moments(images: NDArray[np.uint8], rows: NDArray[np.int64]) -> tuple[int, float, float]:
    """Return the number of pixels, their sum and the sum of their squares, pixels in [0, 1].

    Sums of these over the sites give the pooled mean and deviation. Counting gray levels keeps
    them exact, whatever the number of pixels.

    >>> pixel_moments(np.array([[[0, 255], [255, 255]]], dtype=np.uint8), np.array([0]))
    (4, 3.0, 3.0)
    """
    levels = np.zeros(256, dtype=np.int64)
    for start in range(0, len(rows), _CHUNK):
        pixels = images[rows[start : start + _CHUNK]]
        levels += np.bincount(pixels.reshape(-1), minlength=256)
    values = np.arange(256, dtype=np.int64)
    total, squares = int(levels @ values), int(levels @ values**2)
    return int(levels.sum()), total / 255.0, squares / 255.0**2
