"""Images to model input, in batches and on the device: normalisation, then random views.

The same normalisation is used at every site and at the server. Augmentation is one affine
resampling (crop, aspect, rotation and flip together), so an image is interpolated once.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fedcxr.config.train import AugmentConfig, NormalizationKind

_SMALLEST_STD = 1e-3
"""Of pixels in [0, 1]; an image of one gray level is divided by this and not by zero."""


@dataclass(frozen=True, slots=True)
class Normalization:
    """How pixels in [0, 1] become model input: (pixel − mean) ÷ std."""

    kind: NormalizationKind
    """`preset` and `pooled` use the constants below, `image` each image's own."""
    mean: float
    std: float


def normalize(images: Tensor, normalization: Normalization) -> Tensor:
    """Return model input from stored pixels.

    Args:
        images: (N, H, W) uint8.
        normalization: the run's.

    Returns:
        (N, 1, H, W) float32.
    """
    pixels = images.unsqueeze(1).to(torch.float32)
    if normalization.kind == "image":
        std, mean = torch.std_mean(pixels, dim=(2, 3), correction=0, keepdim=True)
        return (pixels - mean) / std.clamp(min=255.0 * _SMALLEST_STD)
    scale = 1.0 / (255.0 * normalization.std)
    return pixels.mul_(scale).sub_(normalization.mean / normalization.std)


def augment(images: Tensor, views: Tensor) -> Tensor:
    """Return each image as its view looks at it.

    Args:
        images: (N, 1, H, W) float.
        views: (N, 2, 3), what `draw_views` returned, on the same device.

    Returns:
        (N, 1, H, W) float; beyond the border the image's pixels repeat.
    """
    grid = _grid(views, height=images.shape[2], width=images.shape[3])
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def draw_views(num: int, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Return (num, 2, 3) affine maps from the view's coordinates to the image's, in [-1, 1].

    They are drawn on the CPU, so that every device is given the same views. A crop keeps a share of
    the area drawn uniformly and lies wholly in the image before it is turned about its own centre.
    """
    area, ratio, across, down, turn, mirror = torch.rand(6, num, generator=generator)
    area = config.min_crop_area + (1.0 - config.min_crop_area) * area
    aspect = torch.exp((2.0 * ratio - 1.0) * math.log(config.max_aspect))
    width = (area * aspect).sqrt().clamp(max=1.0)  # share of the side
    height = (area / aspect).sqrt().clamp(max=1.0)
    angle = (2.0 * turn - 1.0) * math.radians(config.max_rotation_deg)
    sign = torch.where(mirror < config.flip, -1.0, 1.0)
    cos, sin = angle.cos(), angle.sin()
    rows = [
        torch.stack([sign * width * cos, -height * sin, (2.0 * across - 1.0) * (1.0 - width)], 1),
        torch.stack([sign * width * sin, height * cos, (2.0 * down - 1.0) * (1.0 - height)], 1),
    ]
    return torch.stack(rows, dim=1)


def _grid(views: Tensor, *, height: int, width: int) -> Tensor:
    """Return where each pixel of the view looks in the image: (N, H, W, 2), x before y.

    What `F.affine_grid` returns, by sums instead of its matrix product: 20 times faster on a CPU.
    """
    x = (torch.arange(width, device=views.device) * 2 + 1) / width - 1
    y = (torch.arange(height, device=views.device) * 2 + 1) / height - 1
    across = views[:, :, 0, None, None] * x.view(1, 1, 1, -1)  # (N, 2, 1, W)
    down = views[:, :, 1, None, None] * y.view(1, 1, -1, 1) + views[:, :, 2, None, None]
    return (across + down).permute(0, 2, 3, 1)
