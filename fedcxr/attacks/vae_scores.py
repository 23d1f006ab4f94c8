"""Scores of membership in a VAE's training: by who has the VAE, and by who has its samples alone.

`reconstruction`, `monte-carlo`: Hilprecht, Härterich and Bernau 2019, "Monte Carlo and
Reconstruction Membership Inference Attacks against Generative Models": the reconstruction attack,
and the Monte Carlo attack with the median heuristic. `nearest`: Chen et al. 2020, "GAN-Leaks", the
attack on a full black box; `calibrated`: the same, attack calibration. `elbo`: the loss threshold
of Yeom et al. 2018 with the VAE's own loss in place of a classifier's.

Deviations from the first: distances are those of pixels at the VAE's own size, not of principal
components or histograms of gradients, and each record is judged by itself, not a set of them.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from fedcxr.attacks.signals import Floats
from fedcxr.errors import ConfigError
from fedcxr.models.vae import ConditionalVae
from fedcxr.seeding import derive_seed
from fedcxr.training.batches import gather
from fedcxr.training.device import repeatable
from fedcxr.training.vae import conditions_of, pixels
from fedcxr.training.vae_losses import kl_of_each

CODES = 16
"""Codes drawn of an image, over which its reconstruction error is averaged."""

_SMALLEST_VARIANCE = 1 / 255**2 / 12
"""Of rounding to 8 bits."""
_AT_ONCE, _SAMPLES_AT_ONCE = 128, 2048
"""Images asked about, and samples that they are held against."""


@dataclass(frozen=True, slots=True)
class VaeMethod:
    """A way to score."""

    name: str
    title: str
    attacker: Literal["holder", "recipient"]
    """Who can: the holder of the VAE, or the recipient of its samples."""


VAE_METHODS = {
    method.name: method
    for method in (
        VaeMethod("reconstruction", "Reconstruction error", "holder"),
        VaeMethod("elbo", "ELBO", "holder"),
        VaeMethod("calibrated", "Reconstruction error, calibrated", "holder"),
        VaeMethod("nearest", "Nearest sample", "recipient"),
        VaeMethod("monte-carlo", "Monte Carlo", "recipient"),
    )
}


@dataclass(frozen=True, slots=True)
class Reconstructed:
    """What a VAE makes of N images."""

    error: Floats
    """(N,) mean squared error of an image's pixels in [0, 1], over `CODES` codes."""
    kl: Floats
    """(N,) nats, of its code's distribution from what its labels lead to expect."""
    size: int
    """Pixels of an image."""


@dataclass(frozen=True, slots=True)
class Distances:
    """How far N images lie from a set of samples."""

    nearest: Floats
    """(N,) Euclidean, of pixels in [0, 1]."""
    within: Floats
    """(N,) share of the samples that are no farther than the median of `nearest`."""


def vae_methods_of(
    names: Sequence[str] | None, attackers: Sequence[str], *, references: int
) -> tuple[VaeMethod, ...]:
    """Return the methods of these attackers, or those of them that are named.

    Args:
        names: none = all that can be used.
        attackers: by name.
        references: VAEs of other sites.

    Raises:
        ConfigError: there is none of that name, or it is another attacker's, or it needs another
            site's VAE, or one is named twice, or none is named.
    """
    known = [name for name, method in VAE_METHODS.items() if method.attacker in attackers]
    if names is None:
        return tuple(VAE_METHODS[name] for name in known if references or name != "calibrated")
    unknown = [name for name in names if name not in known]
    if unknown or not names or len(set(names)) < len(names):
        wrong = f"there is no {unknown[0]}" if unknown else "name each once, at least one"
        raise ConfigError(
            f"--methods: {wrong}. Known of {' and '.join(attackers)}: {', '.join(known)}."
        )
    if "calibrated" in names and not references:
        raise ConfigError(
            "--methods calibrated: holds a site's VAE against those of other sites, and there is "
            "no other. Leave it out."
        )
    return tuple(VAE_METHODS[name] for name in names)


def reconstructed(
    model: ConditionalVae,
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    target: NDArray[np.float32],
    *,
    size_px: int,
    device: str,
    seed: int,
) -> Reconstructed:
    """Return what a VAE makes of images, each under `CODES` codes drawn of its distribution.

    Args:
        model: in evaluation mode, on the device.
        images: (M, H, H), usually a memory map.
        rows: (N,) of it.
        target: (N, L), as the VAE was told it.
        size_px: side of what the VAE sees.
        device: `cpu`, `cuda` or `cuda:N`.
        seed: of the codes, drawn on the CPU.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, "attacker's codes"))
    errors, kls = [], []
    with torch.inference_mode(), repeatable(device):
        for start in range(0, len(rows), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            seen = pixels(gather(images, rows[part]), size_px).to(device)
            asked = conditions_of(torch.from_numpy(target[part])).to(device)
            codes = model.encode(seen, asked)
            kls.append(kl_of_each(codes, model.expect(asked)).double().cpu())
            total = torch.zeros(len(seen), dtype=torch.float64, device=device)
            for _ in range(CODES):
                noise = torch.randn(len(seen), model.latent, generator=generator).to(device)
                made = model.decode(codes.at(noise), asked)
                total += (made - seen).square().flatten(1).mean(dim=1)
            errors.append((total / CODES).cpu())
    return Reconstructed(torch.cat(errors).numpy(), torch.cat(kls).numpy(), size_px**2)


def distances(
    samples: NDArray[np.uint8], images: NDArray[np.uint8], rows: NDArray[np.int64], *, size_px: int
) -> Distances:
    """Return how far images lie from samples, both at the VAE's own size.

    Args:
        samples: (S, H, H), at least one.
        images: (M, H, H), usually a memory map.
        rows: (N,) of it.
        size_px: side of what the VAE makes.
    """
    asked = samples, images, rows, size_px
    nearest = np.concatenate([part.min(axis=1) for part in _to_all_samples(*asked)])
    reach = np.median(nearest)
    # Computed once more and not kept: N × S of them may be more than memory holds.
    within = np.concatenate([(part <= reach).mean(axis=1) for part in _to_all_samples(*asked)])
    return Distances(nearest.astype(np.float64), within)


def reconstruction_score(found: Reconstructed) -> Floats:
    """Return minus the reconstruction error, (N,)."""
    return -found.error


def elbo_score(found: Reconstructed) -> Floats:
    """Return the evidence lower bound of each image, nats, (N,).

    The pixels' variance is the one that is likeliest of all images asked about together, as in the
    VAE's training it is that of a batch.
    """
    variance = max(float(found.error.mean()), _SMALLEST_VARIANCE)
    nll = found.size / 2 * (math.log(2 * math.pi * variance) + found.error / variance)
    return np.asarray(-(nll + found.kl))


def calibrated_score(found: Reconstructed, others: Sequence[Reconstructed]) -> Floats:
    """Return by how much other sites' VAEs reconstruct each image worse, in the mean, (N,)."""
    return np.asarray(np.mean([other.error for other in others], axis=0) - found.error)


def nearest_score(found: Distances) -> Floats:
    """Return minus the distance to the nearest sample, (N,)."""
    return -found.nearest


def monte_carlo_score(found: Distances) -> Floats:
    """Return the share of the samples in the ball around each image, (N,)."""
    return found.within


def _to_all_samples(
    samples: NDArray[np.uint8], images: NDArray[np.uint8], rows: NDArray[np.int64], size_px: int
) -> Iterator[NDArray[np.float32]]:
    """Yield Euclidean distances (n, S), of some images after others to all samples."""
    for start in range(0, len(rows), _AT_ONCE):
        own = _flat(np.array(images[rows[start : start + _AT_ONCE]]), size_px)
        parts = []
        for first in range(0, len(samples), _SAMPLES_AT_ONCE):
            made = _flat(np.array(samples[first : first + _SAMPLES_AT_ONCE]), size_px)
            lengths = own.square().sum(dim=1)[:, None] + made.square().sum(dim=1)
            parts.append((lengths - 2 * own @ made.T).clamp(min=0).sqrt().numpy())
        yield np.concatenate(parts, axis=1)


def _flat(images: NDArray[np.uint8], size_px: int) -> torch.Tensor:
    """Return (n, D) pixels less a half: the smaller, the less their squares are rounded."""
    return pixels(torch.from_numpy(images), size_px).flatten(1) - 0.5
