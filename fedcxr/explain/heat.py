"""From the coarse map of a layer to heat over the image: one way for every method."""

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class HeatMaps:
    """Where a model looks, an image each."""

    heat: NDArray[np.float32] = field(repr=False)
    """(N, H, W) in [0, 1]: 1 at an image's peak, or all 0 where nothing speaks for the label."""
    cells: tuple[int, int]
    """Rows and columns of the map that the heat was drawn from: the finest it can tell apart."""


def as_heat(maps: Tensor, size: tuple[int, int]) -> HeatMaps:
    """Return coarse maps upsampled bilinearly, without what speaks against, each by its peak.

    Args:
        maps: (N, h, w), positive where a place speaks for the label.
        size: (H, W) of the images.
    """
    heat = F.interpolate(maps.float().unsqueeze(1), size=size, mode="bilinear").squeeze(1)
    heat = heat.clamp(min=0.0)
    peak = heat.amax(dim=(1, 2), keepdim=True)
    scaled = torch.where(peak > 0, heat / peak, 0.0)
    return HeatMaps(scaled.cpu().numpy(), (maps.shape[1], maps.shape[2]))
