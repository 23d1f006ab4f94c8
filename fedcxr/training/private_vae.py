"""A site's VAE trained by DP-SGD: the classifier's step, its loss an image's own evidence bound.

What makes a plain VAE's training depend on all patients at once is put out of it: batch norm is
group norm, the pixels' variance is each image's own, the number of steps is settled beforehand, and
the last one's weights are taken, since to pick the best epoch would look at patients without noise.

An image's label vector is shown to the VAE one label at a time, drawn by chance, the others as not
known: samples are asked for in the same way (`plan_public_samples`), since which label vectors
there are, and how many, no noise covers.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedcxr.config.train import TrainConfig
from fedcxr.config.vae import VaeConfig
from fedcxr.models.vae import ConditionalVae, Normal, build_vae
from fedcxr.privacy.dp_sgd import Draws, example_gradients, poisson_sample
from fedcxr.training.device import repeatable
from fedcxr.training.optimizers import reset_optimizer
from fedcxr.training.pool import ImagePool
from fedcxr.training.private_loop import (
    DrawsOf,
    PrivateSteps,
    check_finite,
    images_by_patient,
    places_of,
    put_gradient,
)
from fedcxr.training.vae import conditions_of, pixels
from fedcxr.training.vae_losses import kl_divergence, reconstruction_loss

NOT_FINITE = "the VAE's weights are not finite; lower vae.learning_rate"

_ADAM = TrainConfig()
"""Its betas."""


def train_vae_privately(
    pool: ImagePool,
    patient: NDArray[np.int64],
    steps: PrivateSteps,
    draws_of: DrawsOf,
    config: VaeConfig,
    *,
    columns: NDArray[np.int64],
    size_px: int,
    device: str,
    seed: int,
) -> ConditionalVae:
    """Return a VAE trained on a site's images by DP-SGD, in evaluation mode.

    Args:
        pool: the site's images and targets.
        patient: (N,) of each image whose it is, any number.
        steps: how many, and the mechanism.
        draws_of: the numbers of a step, which the site alone knows; the same ones give the same
            bits.
        config: the run's; `epochs`, `patience` and `batch_size` are not read.
        columns: of the labels that are to be sampled, of which an image is told one.
        size_px: side of what the VAE sees; divides the images'.
        device: `cpu`, `cuda` or `cuda:N`.
        seed: of the first values.

    Raises:
        DivergedError: the weights left the finite numbers.
    """
    num_labels = pool.target.shape[1]
    model = build_vae(config, size_px=size_px, num_labels=num_labels, seed=seed, group_norm=True)
    model.to(device)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = reset_optimizer(model, "adam")
    owned = images_by_patient(patient)
    for number in range(steps.steps):
        draws = partial(draws_of, number)
        taken = poisson_sample(draws("patients"), len(owned), steps.rate)
        picked = [owned[i] for i in taken]
        images = np.concatenate([np.empty(0, np.int64), *picked])
        told = _Told(pool, images, draws, columns, config.latent)
        loss = partial(image_bound, config.reconstruction, kl_weight(config, number, steps.rate))
        gradients_of = partial(_gradients_at, model, loss, told, size_px)
        with repeatable(device):
            put_gradient(gradients_of, places_of(picked), trained, steps.mechanism, draws("noise"))
        optimizer.step(_ADAM, config.learning_rate)
    check_finite(trained, NOT_FINITE)
    return model.eval()


def image_bound(
    reconstruction: str,
    weight: float,
    network: Callable[..., tuple[Tensor, Normal, Normal]],
    image: Tensor,
    conditions: Tensor,
    noise: Tensor,
) -> Tensor:
    """Return the loss of one image, nats: how unlike its reconstruction is, and weighted KL.

    Args:
        reconstruction: `mse` or `ssim`.
        weight: of the KL divergence.
        network: a `ConditionalVae`.
        image: (1, 1, S, S).
        conditions: (1, 2L).
        noise: (1, Z).
    """
    made, codes, prior = network(image, conditions, noise)
    unlike = reconstruction_loss(image, made, reconstruction)
    return unlike + weight * kl_divergence(codes, prior)


def kl_weight(config: VaeConfig, step: int, rate: float) -> float:
    """Return the weight of the KL divergence in a step, from 0: it rises over the warm-up.

    An epoch is 1/q steps.

    >>> [kl_weight(VaeConfig(kl_warmup_epochs=2), step, rate=0.5) for step in (0, 1, 3, 9)]
    [0.25, 0.5, 1.0, 1.0]
    """
    if not config.kl_warmup_epochs:
        return config.beta
    return config.beta * min(1.0, (step + 1) * rate / config.kl_warmup_epochs)


def one_label(target: Tensor, column: NDArray[np.int64]) -> Tensor:
    """Return label vectors (B, L) of which one label each is told, the others as not known."""
    told = torch.full_like(target, torch.nan)
    rows, columns = torch.arange(len(target)), torch.from_numpy(column)
    told[rows, columns] = target[rows, columns]
    return told


class _Told:
    """The images of a step with the label that each is told and the noise of its code."""

    def __init__(
        self,
        pool: ImagePool,
        images: NDArray[np.int64],
        draws: Callable[[str], Draws],
        columns: NDArray[np.int64],
        latent: int,
    ) -> None:
        self._pool, self._images = pool, images
        drawn = draws("labels").uniforms(len(images)) * len(columns)
        self._column = columns[drawn.astype(np.int64)]
        noise = draws("codes").normals(len(images) * latent).reshape(len(images), latent)
        self._noise = noise.astype(np.float32)

    def at(self, places: NDArray[np.int64], size_px: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return (B, 1, S, S) images, (B, 2L) conditions and (B, Z) noise."""
        stored, target = self._pool.gather(self._images[places])
        conditions = conditions_of(one_label(target, self._column[places]))
        return pixels(stored, size_px), conditions, torch.from_numpy(self._noise[places])


def _gradients_at(
    model: nn.Module,
    loss: Callable[..., Tensor],
    told: _Told,
    size_px: int,
    places: NDArray[np.int64],
) -> Tensor:
    device = next(model.parameters()).device
    return example_gradients(model, loss, *(part.to(device) for part in told.at(places, size_px)))
