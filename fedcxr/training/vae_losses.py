"""A VAE's loss: how unlike a reconstruction is, and how far its codes are from the prior.

All in nats an image, so that their sum is the negative evidence lower bound (ELBO). The pixels'
noise has one variance, the one that is most likely given the errors, so that a VAE needs no weight
between the two terms: Rybkin et al. 2021, "Simple and effective VAE training with calibrated
decoders", §3 (σ-VAE).
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from fedcxr.models.vae import Normal

Features = Callable[[Tensor], Tensor]
"""(N, 1, S, S) pixels in [0, 1] → (N, …) what a frozen network makes of them."""

_SMALLEST_ERROR = 1 / 255**2 / 12
"""Mean squared error of rounding to 8 bits; a variance below it would describe nothing."""
_WINDOW = 7
_C1, _C2 = 0.01**2, 0.03**2
"""Of SSIM, for pixels in [0, 1] (Wang et al. 2004, §III.B)."""


def gaussian_nll(error: Tensor, size: int) -> Tensor:
    """Return the negative log likelihood of an image, nats, under the likeliest variance.

    Args:
        error: scalar, mean squared error of the pixels.
        size: pixels of an image.

    >>> round(gaussian_nll(torch.tensor(1.0), 2).item(), 4)  # 2 · ½ (log 2π + 1)
    2.8379
    """
    return 0.5 * size * ((2 * math.pi * error.clamp(min=_SMALLEST_ERROR)).log() + 1)


def kl_divergence(codes: Normal, prior: Normal) -> Tensor:
    """Return the mean KL(q ‖ p) of codes' distributions, nats an image.

    Source: Kingma and Welling 2014, appendix B, for a prior with a mean and variance of its own.

    >>> one, zero = torch.ones(1, 2), torch.zeros(1, 2)
    >>> kl_divergence(Normal(one, zero), Normal(zero, zero)).item()  # 2 · ½ · 1²
    1.0
    """
    return kl_of_each(codes, prior).mean()


def kl_of_each(codes: Normal, prior: Normal) -> Tensor:
    """Return KL(q ‖ p) of each code's distribution, (N,) nats."""
    ratio = codes.log_variance - prior.log_variance
    shift = (codes.mean - prior.mean).square() / prior.log_variance.exp()
    return 0.5 * (ratio.exp() + shift - 1 - ratio).sum(dim=1)


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean structural similarity of images (N, 1, S, S) in [0, 1]; 1 = the same.

    Source: Wang et al. 2004, equation 13, over windows of 7 × 7 pixels without weights.

    >>> ssim(torch.full((1, 1, 8, 8), 0.5), torch.full((1, 1, 8, 8), 0.5)).item()
    1.0
    """
    mean_1, mean_2 = _local_mean(first), _local_mean(second)
    variance_1 = _local_mean(first.square()) - mean_1.square()
    variance_2 = _local_mean(second.square()) - mean_2.square()
    covariance = _local_mean(first * second) - mean_1 * mean_2
    luminance = (2 * mean_1 * mean_2 + _C1) / (mean_1.square() + mean_2.square() + _C1)
    structure = (2 * covariance + _C2) / (variance_1 + variance_2 + _C2)
    return (luminance * structure).mean()


def reconstruction_loss(images: Tensor, made: Tensor, kind: str) -> Tensor:
    """Return how unlike reconstructions (N, 1, S, S) are, nats an image.

    Under `ssim` 1 − SSIM stands where the squared error does under `mse`: what comes out is no
    likelihood, and its sum with the KL divergence no bound.
    """
    error = F.mse_loss(made, images) if kind == "mse" else 1 - ssim(images, made)
    return gaussian_nll(error, images[0].numel())


def feature_loss(images: Tensor, made: Tensor, features: Features) -> Tensor:
    """Return how unlike reconstructions are to a frozen network, nats an image.

    The squared error of the features, relative to their size, in the form of the pixels' own term.
    Deviation from Hou et al. 2017, "Deep feature consistent variational autoencoder", §3.2: one
    layer, and a logarithm in place of a weight to be tuned.
    """
    with torch.no_grad():
        wanted = features(images)
    error = F.mse_loss(features(made), wanted) / wanted.square().mean().clamp(min=1e-12)
    return 0.5 * images[0].numel() * error.clamp(min=1e-12).log()


def _local_mean(images: Tensor) -> Tensor:
    return F.avg_pool2d(images, _WINDOW, stride=1)
