"""One site's training by DP-SGD: patients drawn by chance, each shortened, the sum noised.

What `fedcxr/privacy/dp_sgd.py` does in a step, over a site's images and the run's own choices of
loss, views and optimiser. All that comes after the noised gradient, such as Adam's moments or an
algorithm's term, uses nothing else of the patients. Views and dropout are drawn from the site's
secret as well: drawn from the run's seed, one patient more would give all others other views that
the server knows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedcxr.config.train import TrainConfig
from fedcxr.errors import DivergedError
from fedcxr.models.randomness import seeded_generators
from fedcxr.privacy.dp_sgd import (
    Draws,
    ImageLoss,
    Mechanism,
    PatientSum,
    image_gradients,
    poisson_sample,
    step_gradient,
)
from fedcxr.training.device import repeatable
from fedcxr.training.loop import NOT_FINITE, set_training
from fedcxr.training.losses import LOSSES, masked_loss
from fedcxr.training.optimizers import OptimizerState, reset_optimizer
from fedcxr.training.pool import ImagePool
from fedcxr.training.precision import Precision, arrange
from fedcxr.training.transforms import Normalization, augment, draw_views, normalize

DrawsOf = Callable[[int, str], Draws]
"""(step from 0, what for) → numbers that the site alone knows."""


@dataclass(frozen=True, slots=True)
class PrivateSteps:
    """The steps of a round at a site: how many, whom they take, and with which noise."""

    patients: int
    """n of the site, and as many more as it has samples that count as patients."""
    steps: int
    rate: float
    """q: with which probability a step takes a patient."""
    mechanism: Mechanism


@dataclass(frozen=True, slots=True)
class PrivateResult:
    """What was done; for the site's own log and never for the server."""

    drawn: int
    """Patients over all steps."""
    images: int
    not_finite: int
    """Times that a patient contributed 0, since its gradient was not finite."""


def train_privately(
    model: nn.Module,
    pool: ImagePool,
    patient: NDArray[np.int64],
    steps: PrivateSteps,
    draws_of: DrawsOf,
    *,
    config: TrainConfig,
    learning_rate: float,
    normalization: Normalization,
    precision: Precision,
    device: str,
    multi_class: Sequence[int] = (),
    freeze_batch_norm: bool = False,
    optimizer_state: OptimizerState | None = None,
    correct: Callable[[], None] | None = None,
) -> PrivateResult:
    """Train the model in place by DP-SGD, in float32.

    Args:
        model: whose logits of an image depend on that image alone.
        pool: the site's images and targets.
        patient: (N,) of each image whose it is, any number.
        steps: how many, and the mechanism.
        draws_of: the numbers of a step; the same ones give the same bits.
        config: loss, optimiser, views.
        learning_rate: this round's.
        normalization: the run's.
        precision: the run's, of which the memory layout counts.
        device: `cpu`, `cuda` or `cuda:N`.
        multi_class: the columns with a class of its own for uncertain (`masked_loss`).
        freeze_batch_norm: keep batch-norm statistics as they came.
        optimizer_state: what the optimiser goes on from; none = started anew.
        correct: adds a federated algorithm's term to the gradients of each step.

    Raises:
        DivergedError: the weights left the finite numbers.
    """
    arrange(model, precision, device)
    set_training(model, freeze_batch_norm)
    trained = [p for p in model.parameters() if p.requires_grad]
    loss = image_loss(config, pool.target.shape[1], device, multi_class)
    optimizer = reset_optimizer(model, config.optimizer, optimizer_state)
    owned = images_by_patient(patient)
    drawn = images = not_finite = 0
    for number in range(steps.steps):
        draws = partial(draws_of, number)
        taken = poisson_sample(draws("patients"), len(owned), steps.rate)
        picked = [owned[i] for i in taken]
        views = _Views(pool, picked, config, draws("views"), normalization, device)
        gradients = partial(_gradients_at, model, loss, views)
        with seeded_generators(secret_seed(draws("dropout")), device), repeatable(device):
            total = put_gradient(gradients, views.places, trained, steps.mechanism, draws("noise"))
        if correct is not None:
            correct()
        optimizer.step(config, learning_rate)
        drawn, images = drawn + len(taken), images + len(views.images)
        not_finite += total.num_not_finite
    check_finite(trained)
    return PrivateResult(drawn, images, not_finite)


def image_loss(
    config: TrainConfig, num_labels: int, device: str, multi_class: Sequence[int] = ()
) -> ImageLoss:
    """Return the loss of one image: the mean over its own known labels.

    The loss is made without the site's targets: weights by how often a label is positive would
    have every patient's gradient hold all others.
    """
    nobody = np.empty((0, num_labels), np.float32)
    entry_loss = LOSSES.get(config.loss).build(config, nobody, device)
    return lambda logits, target: masked_loss(logits, target, multi_class, entry_loss)


class _Views:
    """The images of a step as they are looked at; drawn at once, made in physical batches."""

    def __init__(
        self,
        pool: ImagePool,
        picked: Sequence[NDArray[np.int64]],
        config: TrainConfig,
        draws: Draws,
        normalization: Normalization,
        device: str,
    ) -> None:
        self.images = np.concatenate([np.empty(0, np.int64), *picked])
        self.places = places_of(picked)
        generator = torch.Generator().manual_seed(secret_seed(draws))
        self._views = draw_views(len(self.images), config.augment, generator)
        self._pool, self._normalization, self._device = pool, normalization, device

    def at(self, places: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return (B, 1, H, W) inputs and (B, L) targets."""
        pixels, target = self._pool.gather(self.images[places])
        inputs = normalize(pixels.to(self._device), self._normalization)
        views = self._views[torch.from_numpy(places)].to(self._device)
        return augment(inputs, views), target.to(self._device)


def _gradients_at(
    model: nn.Module, loss: ImageLoss, views: _Views, places: NDArray[np.int64]
) -> Tensor:
    return image_gradients(model, loss, *views.at(places))


def put_gradient(
    gradients_of: Callable[[NDArray[np.int64]], Tensor],
    places: Sequence[NDArray[np.int64]],
    trained: Sequence[Tensor],
    mechanism: Mechanism,
    noise: Draws,
) -> PatientSum:
    """Put the noised gradient of a step where the optimiser looks; return what it was made of.

    Args:
        gradients_of: (B,) places of images among those of the step → their (B, T) gradients.
        places: of each drawn patient, as `places_of` gives them.
        trained: the tensors that T numbers are of, in order.
        mechanism: of the step.
        noise: what only the site knows.
    """
    size, device = sum(p.numel() for p in trained), str(trained[0].device)
    gradient, total = step_gradient(gradients_of, places, size, mechanism, noise, device=device)
    pieces = torch.split(gradient, [p.numel() for p in trained])
    for parameter, piece in zip(trained, pieces, strict=True):
        parameter.grad = torch.empty_like(parameter).copy_(piece.view_as(parameter))
    return total


def places_of(picked: Sequence[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """Return of each patient of a step, where its images are among those of the step."""
    ends = np.cumsum([len(own) for own in picked])
    return np.split(np.arange(int(ends[-1])), ends[:-1]) if len(ends) else []


def check_finite(trained: Sequence[Tensor], words: str = NOT_FINITE) -> None:
    """Raise `DivergedError` where a weight is not finite; weights are noised, they tell nobody."""
    if not all(bool(torch.isfinite(p).all()) for p in trained):
        raise DivergedError(words)


def images_by_patient(patient: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return of each patient the numbers of its images."""
    order = np.argsort(patient, kind="stable")
    starts = np.flatnonzero(np.diff(patient[order])) + 1
    return np.split(order, starts)


def secret_seed(draws: Draws) -> int:
    """Return a seed of 52 secret bits for torch's own generators."""
    return int(draws.uniforms(1)[0] * 2**52)
