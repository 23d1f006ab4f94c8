"""A deep convolutional variational auto-encoder, conditioned on the label vector.

x: pixels in [0, 1]; c: what is known of the labels; z: the code. The encoder gives q(z | x, c), the
prior p(z | c), the decoder the mean of p(x | z, c). Not for explaining a finding: the samples are
as blurred as the mean of all images that one code stands for.

Source: Kingma and Welling 2014, "Auto-encoding variational Bayes", §3; conditioned, with a learned
prior, as Sohn et al. 2015, "Learning structured output representation using deep conditional
generative models", §4; strided convolutions and batch norm as Radford et al. 2016, "DCGAN", §3.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fedcxr.config.vae import VaeConfig
from fedcxr.errors import ConfigError
from fedcxr.models.group_norm import use_group_norm
from fedcxr.models.randomness import seeded_generators

_SMALLEST_MAP = range(4, 8)
"""Cells along the side of the last map."""
_WIDEST = 8
"""Of the channels, in those of the first convolution."""
_LOG_VARIANCE = 10.0
"""Largest absolute log variance of a code: an encoder that runs away stays finite."""


class Normal(NamedTuple):
    """Independent normal distributions of the Z numbers of N codes."""

    mean: Tensor
    """(N, Z)."""
    log_variance: Tensor
    """(N, Z)."""

    def at(self, noise: Tensor) -> Tensor:
        """Return the codes that noise (N, Z) of N(0, I) stands for."""
        return self.mean + noise * (0.5 * self.log_variance).exp()


class ConditionalVae(nn.Module):
    """Images (N, 1, S, S) in [0, 1] with their conditions (N, 2L) to codes (N, Z) and back."""

    def __init__(self, *, size_px: int, num_labels: int, latent: int, width: int) -> None:
        """Draw the values from torch's global generator.

        Args:
            size_px: S, 4 to 7 times a power of 2.
            num_labels: L.
            latent: Z.
            width: channels of the first convolution.

        Raises:
            ConfigError: a size that halving does not lead to a map of 4 to 7 cells.
        """
        super().__init__()
        steps = halvings(size_px)
        channels = [width * min(2**n, _WIDEST) for n in range(steps)]
        side = size_px >> steps
        self.latent = latent
        self._deepest = (channels[-1], side, side)
        deep, known = channels[-1] * side * side, 2 * num_labels
        downs = [_down(below, above) for below, above in pairwise([1, *channels])]
        self.encoder = nn.Sequential(*downs, nn.Flatten())
        self.code = nn.Linear(deep + known, 2 * latent)
        self.prior = nn.Linear(known, 2 * latent)
        nn.init.zeros_(self.prior.weight)  # N(0, I) for every c at the beginning
        nn.init.zeros_(self.prior.bias)
        self.grow = nn.Linear(latent + known, deep)
        ups = [_up(above, below) for above, below in pairwise(reversed(channels))]
        last = nn.ConvTranspose2d(channels[0], 1, 4, stride=2, padding=1)
        self.decoder = nn.Sequential(
            nn.BatchNorm2d(channels[-1]), nn.LeakyReLU(0.2), *ups, last, nn.Sigmoid()
        )

    def encode(self, images: Tensor, conditions: Tensor) -> Normal:
        """Return q(z | x, c) for each image."""
        return _normal(self.code(torch.cat([self.encoder(images), conditions], dim=1)))

    def expect(self, conditions: Tensor) -> Normal:
        """Return p(z | c), from which the codes of samples are drawn."""
        return _normal(self.prior(conditions))

    def decode(self, codes: Tensor, conditions: Tensor) -> Tensor:
        """Return images (N, 1, S, S) in [0, 1]."""
        deep = self.grow(torch.cat([codes, conditions], dim=1))
        images: Tensor = self.decoder(deep.unflatten(1, self._deepest))
        return images

    def forward(
        self, images: Tensor, conditions: Tensor, noise: Tensor
    ) -> tuple[Tensor, Normal, Normal]:
        """Return reconstructions, q(z | x, c) and p(z | c).

        Args:
            images: (N, 1, S, S).
            conditions: (N, 2L).
            noise: (N, Z) of N(0, I); zeros = the reconstruction of the mean code.
        """
        codes = self.encode(images, conditions)
        return self.decode(codes.at(noise), conditions), codes, self.expect(conditions)


def build_vae(
    config: VaeConfig, *, size_px: int, num_labels: int, seed: int, group_norm: bool = False
) -> ConditionalVae:
    """Return a VAE with random values that follow from the seed alone.

    Args:
        config: the run's.
        size_px: S.
        num_labels: L.
        seed: of the values.
        group_norm: in place of batch norm, so that an image's outputs depend on it alone.
    """
    with seeded_generators(seed):
        made = ConditionalVae(
            size_px=size_px, num_labels=num_labels, latent=config.latent, width=config.width
        )
    if group_norm:
        use_group_norm(made)
    return made


def halvings(size_px: int) -> int:
    """Return how often a side is halved until 4 to 7 cells are left.

    Raises:
        ConfigError: it does not divide.

    >>> halvings(64), halvings(96), halvings(224)
    (4, 4, 5)
    """
    side, steps = size_px, 0
    while side not in _SMALLEST_MAP:
        if side % 2 or side < _SMALLEST_MAP.start:
            raise ConfigError(
                f"vae.size_px = {size_px}: cannot be halved down to a map of 4 to 7 cells. Use 4 "
                "to 7 times a power of 2, as 64, 96, 128, 160, 192, 224 or 256."
            )
        side, steps = side // 2, steps + 1
    return steps


def vae_size(config: VaeConfig, image_size: int) -> int:
    """Return the side of what a run's VAEs see and make, pixels.

    Raises:
        ConfigError: it cannot be halved often enough, or does not divide the images' side.
    """
    size = config.size_px or image_size
    if not 32 <= size <= 256:
        raise ConfigError(
            f"model.image_size = {image_size}: a VAE makes images of 32 to 256 pixels. Set "
            "vae.size_px to a divisor in that range."
        )
    if image_size % size:
        raise ConfigError(
            f"vae.size_px = {size}: does not divide model.image_size = {image_size}. Choose a "
            "divisor of it, or leave vae.size_px out."
        )
    halvings(size)
    return size


def _normal(numbers: Tensor) -> Normal:
    mean, log_variance = numbers.chunk(2, dim=1)
    return Normal(mean, log_variance.clamp(-_LOG_VARIANCE, _LOG_VARIANCE))


def _down(below: int, above: int) -> nn.Module:
    convolution = nn.Conv2d(below, above, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(above), nn.LeakyReLU(0.2))


def _up(above: int, below: int) -> nn.Module:
    # A kernel of twice the stride: every pixel is made by as many weights as its neighbour.
    convolution = nn.ConvTranspose2d(above, below, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(below), nn.LeakyReLU(0.2))
