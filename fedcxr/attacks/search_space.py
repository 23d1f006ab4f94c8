"""Where images are sought: by their pixels, or by frequencies as strong as radiographs have them.

Neighbouring pixels of a radiograph are alike, so a step by pixels is mostly noise that must be
smoothed away. By frequencies, each scaled by its deviation over the radiographs that the attacker
knows, every number of the search moves an image by as much as images differ there.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

SMOOTHNESS = 0.01
"""Weight of the total variation, of pixels in [0, 1]."""
SHRINKAGE = 1e-4
"""Weight of the mean square of the scaled frequencies."""
_PIXEL_STEP = 0.02
_FREQUENCY_STEP = 0.1
_NOISE = 0.5
"""Deviations by which a restart begins elsewhere."""


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """The numbers that are sought, and the images that they stand for."""

    start: Callable[[int], Tensor]
    """Number of the restart → where it begins; the first at the mean image."""
    to_pixels: Callable[[Tensor], Tensor]
    """The numbers → (N, H, W)."""
    penalty: Callable[[Tensor, Tensor], Tensor]
    """The numbers and their pixels → what makes images unlikely."""
    step_size: float
    signed: bool
    """Whether steps go by the sign of the gradient, and numbers stay in [0, 1]."""


def by_pixels(public: Tensor, number: int, generator: torch.Generator) -> SearchSpace:
    """Return the space of the pixels themselves, where smooth images are likely.

    Args:
        public: (P, H, W) radiographs in [0, 1] that the attacker knows.
        number: N, of the images that are sought.
        generator: of where restarts begin, on the CPU.
    """
    mean, spread = public.mean(0), public.std(0)

    def start(restart: int) -> Tensor:
        begun = mean.expand(number, *mean.shape)
        if restart == 0:
            return begun.clone()
        drawn = torch.randn(begun.shape, generator=generator).to(mean.device)
        return (begun + _NOISE * spread * drawn).clamp(0.0, 1.0)

    def penalty(place: Tensor, pixels: Tensor) -> Tensor:
        return SMOOTHNESS * total_variation(pixels)

    return SearchSpace(start, lambda place: place, penalty, _PIXEL_STEP, signed=True)


def by_frequencies(public: Tensor, number: int, generator: torch.Generator) -> SearchSpace:
    """Return the space of scaled frequencies (DCT-II) around the mean of what the attacker knows.

    Args: as of `by_pixels`; at least two radiographs.
    """
    mean = public.mean(0)
    basis = cosines(mean.shape[-1]).to(mean.device)  # (F, H)
    scale = _spectrum(basis @ (public - mean) @ basis.T)

    def start(restart: int) -> Tensor:
        shape = (number, *mean.shape)
        if restart == 0:
            return torch.zeros(shape, device=mean.device)
        return _NOISE * torch.randn(shape, generator=generator).to(mean.device)

    def to_pixels(place: Tensor) -> Tensor:
        return mean + basis.T @ (scale * place) @ basis

    def penalty(place: Tensor, pixels: Tensor) -> Tensor:
        return SHRINKAGE * place.square().mean()

    return SearchSpace(start, to_pixels, penalty, _FREQUENCY_STEP, signed=False)


def total_variation(pixels: Tensor) -> Tensor:
    """Return the mean step between neighbours, down and across, of (N, H, W) images.

    >>> total_variation(torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])).item()
    1.0
    """
    down = (pixels[:, 1:] - pixels[:, :-1]).abs().mean()
    across = (pixels[:, :, 1:] - pixels[:, :, :-1]).abs().mean()
    return down + across


def cosines(size: int) -> Tensor:
    """Return the (size, size) orthonormal DCT-II: row k holds frequency k.

    >>> basis = cosines(5)
    >>> bool(torch.allclose(basis @ basis.T, torch.eye(5), atol=1e-6))
    True
    """
    at = torch.arange(size, dtype=torch.float64)
    waves = torch.cos(torch.pi * (2 * at + 1) * at[:, None] / (2 * size))
    waves[0] /= 2**0.5
    basis: Tensor = (waves * (2 / size) ** 0.5).float()
    return basis


def _spectrum(found: Tensor) -> Tensor:
    """Return each frequency's deviation: its own over the images, and a power law's, in halves.

    Few images tell little of one frequency, but much of how they fall off together.
    """
    own = found.square().mean(0).sqrt()
    at = torch.arange(len(own), device=own.device, dtype=own.dtype)
    away = (at[:, None].square() + at.square()).sqrt()
    known = torch.stack([torch.ones_like(away), (1 + away).log()], dim=-1).reshape(-1, 2)
    law = torch.linalg.lstsq(known, (own + 1e-6).log().reshape(-1, 1)).solution
    found_by_law: Tensor = (known @ law).exp().reshape(own.shape)
    return (own + found_by_law) / 2
