"""Training of a site's VAE on its own images, epoch after epoch, with early stopping.

The same seed, threads, configuration and images give the same bits in any process on the same
machine, whether or not the training was interrupted: all that an epoch needs is in `VaeProgress`.
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from fedcxr.config.train import TrainConfig
from fedcxr.config.vae import VaeConfig
from fedcxr.data.policies import UNCERTAIN_CLASS
from fedcxr.errors import DivergedError
from fedcxr.models.vae import ConditionalVae, build_vae
from fedcxr.seeding import derive_rng, derive_seed
from fedcxr.training.batches import Batch, on_device
from fedcxr.training.device import repeatable
from fedcxr.training.optimizers import OptimizerState, optimizer_state, reset_optimizer
from fedcxr.training.pool import ImagePool
from fedcxr.training.vae_losses import (
    Features,
    feature_loss,
    gaussian_nll,
    kl_divergence,
    reconstruction_loss,
    ssim,
)

_ADAM = TrainConfig()
"""Its betas."""
NOT_FINITE = "the VAE's loss is not finite; lower vae.learning_rate"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VaeTerms:
    """Means over images, nats an image."""

    reconstruction: float
    """Negative log likelihood; under `ssim` and with features no likelihood."""
    kl: float

    @property
    def elbo(self) -> float:
        """The evidence lower bound, nats an image."""
        return -(self.reconstruction + self.kl)


@dataclass(frozen=True, slots=True)
class VaeEpoch:
    """What one epoch showed."""

    epoch: int
    """From 1."""
    train: VaeTerms
    """In training mode, over the epoch."""
    val: VaeTerms | None
    """After the epoch, on the site's own validation patients; None where there are fewer than 2
    images of them."""


@dataclass(frozen=True, slots=True)
class VaeProgress:
    """A training after an epoch, from which it goes on to the same bits."""

    history: tuple[VaeEpoch, ...]
    best_epoch: int
    weights: Mapping[str, Tensor]
    best_weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class TrainedVae:
    """A VAE with the weights of its best epoch, in evaluation mode."""

    model: ConditionalVae
    history: tuple[VaeEpoch, ...]
    best_epoch: int

    @property
    def best(self) -> VaeEpoch:
        """The epoch whose weights it has."""
        return self.history[self.best_epoch - 1]


def train_vae(
    train: ImagePool,
    val: ImagePool | None,
    config: VaeConfig,
    *,
    size_px: int,
    device: str,
    seed: int,
    features: Features | None = None,
    progress: VaeProgress | None = None,
    on_epoch: Callable[[VaeProgress], None] = lambda progress: None,
) -> TrainedVae:
    """Return a VAE trained on a site's images.

    Args:
        train: at least two images.
        val: of other patients; none = no early stopping, and the last epoch is the best.
        config: the run's.
        size_px: side of what the VAE sees; divides the images'.
        device: `cpu`, `cuda` or `cuda:N`.
        seed: of first values, order and noise.
        features: a frozen network's, to which reconstructions are to look alike as well.
        progress: of an interrupted training, to go on from.
        on_epoch: given the state after each epoch; its tensors are not changed later.

    Raises:
        DivergedError: a loss left the finite numbers.
    """
    model = build_vae(config, size_px=size_px, num_labels=train.target.shape[1], seed=seed)
    model.to(device)
    kept = None
    if progress is not None:
        model.load_state_dict(dict(progress.weights))
        kept = OptimizerState("adam", progress.optimizer)
    optimizer = reset_optimizer(model, "adam", kept)
    scorer = val if val is not None and len(val) > 1 else None
    with repeatable(device):
        while progress is None or not _is_over(progress, config, has_val=scorer is not None):
            number = 1 + (len(progress.history) if progress else 0)
            weight = config.beta * min(1.0, number / max(1, config.kl_warmup_epochs))
            sums: list[Tensor] = []
            model.train()
            for batch in on_device(_batches(train, config, size_px, seed, number), device):
                found = _terms(model, batch, config, features)
                (found[0] + weight * found[1]).backward()  # type: ignore[no-untyped-call]
                optimizer.step(_ADAM, config.learning_rate)
                means = torch.stack([part.detach() for part in (*found, torch.ones_like(found[0]))])
                sums.append(means * len(batch[0]))
            seen = _mean_terms(sums, number)
            held = scorer and score_vae(
                model, scorer, config, size_px=size_px, device=device, seed=seed, features=features
            )
            progress = _after(progress, VaeEpoch(number, seen, held or None), model, config)
            on_epoch(progress)
    model.load_state_dict(dict(progress.best_weights))
    model.eval()
    return TrainedVae(model, progress.history, progress.best_epoch)


def score_vae(
    model: ConditionalVae,
    pool: ImagePool,
    config: VaeConfig,
    *,
    size_px: int,
    device: str,
    seed: int,
    features: Features | None = None,
) -> VaeTerms:
    """Return the terms on held-out images, under one variance for all; the noise is the seed's.

    Leaves the model in evaluation mode.

    Raises:
        DivergedError: they are not finite.
    """
    model.eval()
    error, kl, besides, total = 0.0, 0.0, 0.0, 0
    with torch.inference_mode():
        for batch in on_device(_batches(pool, config, size_px, seed, epoch=None), device):
            images, target, noise = batch
            made, codes, prior = model(images, conditions_of(target), noise)
            unlike = F.mse_loss(made, images)
            if config.reconstruction == "ssim":
                unlike = 1 - ssim(images, made)
            error += float(unlike) * len(images)
            kl += float(kl_divergence(codes, prior)) * len(images)
            if features is not None:
                term = feature_loss(images, made, features)
                besides += config.feature_weight * float(term) * len(images)
            total += len(images)
    nll = float(gaussian_nll(torch.tensor(error / total), size_px**2))
    return _finite(VaeTerms(nll + besides / total, kl / total), epoch=None)


def pixels(images: Tensor, size_px: int) -> Tensor:
    """Return stored images (N, H, H) uint8 as a VAE sees them: (N, 1, S, S) in [0, 1]."""
    values = images.unsqueeze(1).to(torch.float32) / 255.0
    factor = images.shape[1] // size_px
    return F.avg_pool2d(values, factor) if factor > 1 else values


def conditions_of(target: Tensor) -> Tensor:
    """Return what a VAE is told of label vectors: (N, L) values, then (N, L) whether known.

    Args:
        target: (N, L), as `train_targets` makes it; nan = not known. An uncertain label with a
            class of its own counts as one half.

    >>> conditions_of(torch.tensor([[1.0, torch.nan]]))
    tensor([[1., 0., 1., 0.]])
    """
    known = ~torch.isnan(target)
    value = torch.where(target == UNCERTAIN_CLASS, 0.5, target.nan_to_num(0.0))
    return torch.cat([value, known.to(value.dtype)], dim=1)


def _batches(
    pool: ImagePool, config: VaeConfig, size_px: int, seed: int, epoch: int | None
) -> Iterator[Batch]:
    """Yield images, targets and noise; in order and with the same noise where there is no epoch."""
    order = derive_rng(seed, "order", epoch or 0).permutation(len(pool))
    if epoch is None:
        order.sort()
    generator = torch.Generator().manual_seed(derive_seed(seed, "noise", epoch or 0))
    for start in range(0, len(pool), config.batch_size):
        picked = order[start : start + config.batch_size]
        if len(picked) > 1 or epoch is None:  # batch norm in training needs two
            images, target = pool.gather(picked)
            noise = torch.randn(len(picked), config.latent, generator=generator)
            yield pixels(images, size_px), target, noise


def _terms(
    model: ConditionalVae, batch: Batch, config: VaeConfig, features: Features | None
) -> tuple[Tensor, Tensor]:
    """Return reconstruction, with the features' term, and KL divergence of a batch."""
    images, target, noise = batch
    made, codes, prior = model(images, conditions_of(target), noise)
    unlike = reconstruction_loss(images, made, config.reconstruction)
    if features is not None:
        unlike = unlike + config.feature_weight * feature_loss(images, made, features)
    return unlike, kl_divergence(codes, prior)


def _mean_terms(sums: list[Tensor], epoch: int) -> VaeTerms:
    """Return the means of an epoch, from each step's (sum of one, sum of the other, images)."""
    reconstruction, kl, num_images = torch.stack(sums).double().sum(dim=0).tolist()
    return _finite(VaeTerms(reconstruction / num_images, kl / num_images), epoch)


def _finite(terms: VaeTerms, epoch: int | None) -> VaeTerms:
    if not (math.isfinite(terms.reconstruction) and math.isfinite(terms.kl)):
        log.error("the VAE's loss is not finite in epoch %s", epoch or "scoring")
        raise DivergedError(NOT_FINITE)
    return terms


def _is_over(progress: VaeProgress, config: VaeConfig, *, has_val: bool) -> bool:
    done = len(progress.history)
    is_patient = done - max(progress.best_epoch, config.kl_warmup_epochs) < config.patience
    return done >= config.epochs or (has_val and not is_patient)


def _after(
    before: VaeProgress | None, epoch: VaeEpoch, model: ConditionalVae, config: VaeConfig
) -> VaeProgress:
    """Return the state after an epoch."""
    weights = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
    state = VaeProgress(
        (*(before.history if before else ()), epoch),
        epoch.epoch,
        weights,
        weights,
        optimizer_state(model).tensors,
    )
    if before is None or _is_better(epoch, before.history[before.best_epoch - 1], config):
        return state
    return replace(state, best_epoch=before.best_epoch, best_weights=before.best_weights)


def _is_better(now: VaeEpoch, best: VaeEpoch, config: VaeConfig) -> bool:
    """Return whether an epoch beats the best; none during the warm-up is better than a later one.

    Under a KL weight that still rises the loss is another one.
    """
    if now.val is None or best.val is None or best.epoch <= config.kl_warmup_epochs:
        return True
    losses = (terms.reconstruction + config.beta * terms.kl for terms in (now.val, best.val))
    return next(losses) < next(losses)
