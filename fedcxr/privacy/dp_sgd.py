"""One step of DP-SGD whose unit is the patient: pure, tensors in and tensors out.

The mechanism, of one step over the patients that it has drawn::

    taken = poisson_sample(stream, patients, rate)            # each by itself, with probability q
    total = PatientSum(size, clip)                            # size = T trainable numbers
    total.add(rows, patient, share)                           # as often as needed, see `add`
    gradient = noised(total.result(), mechanism, stream)      # (T,) float32, for the optimiser

`rows` are (B, T) gradients of single images, as `image_gradients(model, loss, inputs, target)`
gives them; `step_gradient` does all of it but the draw, in physical batches. With an empty draw
nothing is added, and `noised` is noise alone. `stream` is a `SecretStream`, or whatever has
`normals(count)` and `uniforms(count)`.

Adding or removing one patient changes the sum by at most C: a patient's contribution is the mean of
the gradients of its images in the step, shortened to C over all trainable numbers together, and the
sum is divided by the expected number of patients, not by the drawn one. A patient whose gradient is
not finite contributes 0. To end the training there would tell that such a patient is among the
data, and that answer is not noised; 0 is no longer than C.

Source: Abadi et al. 2016, "Deep learning with differential privacy", algorithm 1; there the unit is
the example. McMahan et al. 2018, "Learning differentially private recurrent language models", §2,
for units of several examples and the fixed denominator.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

ImageLoss = Callable[[Tensor, Tensor], Tensor]
"""((1, L) logits, (1, L) target with nan for unknown) → the image's loss, a scalar."""


class Draws(Protocol):
    """Independent numbers, one after another."""

    def uniforms(self, count: int) -> NDArray[np.float64]:
        """Return numbers uniform in (0, 1)."""

    def normals(self, count: int) -> NDArray[np.float64]:
        """Return standard normal numbers."""


@dataclass(frozen=True, slots=True)
class Mechanism:
    """The public numbers of a step.

    Raises:
        ValueError: a number is out of range.
    """

    clip: float
    """C: the longest contribution of a patient, L2."""
    noise: float
    """σ: the noise's deviation over C; 0 = none, and then nothing is private."""
    expected: float
    """q·n: what the sum is divided by."""
    physical_batch: int = 32
    """Most images whose gradients are in memory at once."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.clip) and self.clip > 0 and self.expected > 0):
            raise ValueError(f"clip {self.clip} and expected {self.expected} must be above 0")
        if not (math.isfinite(self.noise) and self.noise >= 0) or self.physical_batch < 1:
            raise ValueError(f"noise {self.noise} or physical_batch {self.physical_batch}")


def poisson_sample(draws: Draws, patients: int, rate: float) -> NDArray[np.int64]:
    """Return which of the patients 0 … n − 1 a step takes: each by itself, with probability q."""
    return np.flatnonzero(draws.uniforms(patients) < rate)


def image_gradients(model: nn.Module, loss: ImageLoss, inputs: Tensor, target: Tensor) -> Tensor:
    """Return the (B, T) gradients of the single images' losses, one row an image.

    The T numbers are those of the model's trainable tensors in their order, each flattened.
    The model is left as it is.

    Args:
        model: must compute an image's logits from that image alone: no batch norm that trains.
        loss: of one image.
        inputs: (B, 1, H, W).
        target: (B, L); nan = not known.
    """

    def loss_of(network: Callable[..., Tensor], image: Tensor, truth: Tensor) -> Tensor:
        return loss(network(image).float(), truth)

    return example_gradients(model, loss_of, inputs, target)


def example_gradients(model: nn.Module, loss: Callable[..., Tensor], *parts: Tensor) -> Tensor:
    """Return the (B, T) gradients of single examples' losses, as `image_gradients` does of images.

    Args:
        model: must compute an example's outputs from that example alone.
        loss: (network, one of each part) → a scalar; the network is called as the model is, and
            each part has 1 where it had B.
        parts: (B, …) each.
    """
    trained = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
    fixed = {n: p.detach() for n, p in model.named_parameters() if not p.requires_grad}
    fixed |= dict(model.named_buffers())

    def loss_of(values: dict[str, Tensor], *one: Tensor) -> Tensor:
        def network(*given: Tensor) -> object:
            return functional_call(model, {**values, **fixed}, given)

        return loss(network, *(part[None] for part in one))

    in_dims = (None, *(0 for _ in parts))
    each = vmap(grad(loss_of), in_dims=in_dims, randomness="different")
    found = each(trained, *parts)
    return torch.cat([found[name].flatten(1) for name in trained], dim=1)


class PatientSum:
    """Σ over patients of the mean of their images' gradients, each shortened to C.

    What was added of a patient waits until its last image has come, so a patient may have any
    number of images; one unfinished patient at a time is held.
    """

    def __init__(self, size: int, clip: float, device: str = "cpu") -> None:
        """Begin with nothing.

        Args:
            size: T.
            clip: C.
            device: where the rows are.
        """
        self._clip = clip
        self._total = torch.zeros(size, dtype=torch.float64, device=device)
        self._waiting: Tensor | None = None
        self._waits_for = -1
        self.num_patients = 0
        """That contributed."""
        self.num_not_finite = 0
        """That contributed 0, since their gradient was not finite. For the site's own log."""

    def add(self, rows: Tensor, patient: NDArray[np.int64], share: NDArray[np.float64]) -> None:
        """Add gradients of images; those of a patient stand together, also over several calls.

        Args:
            rows: (B, T) float32.
            patient: (B,) whose each is, a number from 0.
            share: (B,) 1 ÷ how many images the patient has in the step.
        """
        new = np.flatnonzero(np.diff(patient)) + 1
        place = np.zeros(len(patient), np.int64)
        place[new] = 1
        place = np.cumsum(place)  # (B,) of each image, which patient of this call
        means = self._means(rows, place, share)
        if self._waiting is not None and self._waits_for == patient[0]:
            means[0] += self._waiting
        elif self._waiting is not None:
            self._finish(self._waiting[None])
        self._waiting, self._waits_for = means[-1].clone(), int(patient[-1])
        self._finish(means[:-1])

    def result(self) -> Tensor:
        """Return the (T,) float64 sum; nothing may be added any more."""
        if self._waiting is not None:
            self._finish(self._waiting[None])
            self._waiting = None
        return self._total

    def _means(self, rows: Tensor, place: NDArray[np.int64], share: NDArray[np.float64]) -> Tensor:
        """Return the (P, T) contributions so far of this call's patients, not yet shortened."""
        weight = torch.from_numpy(share.astype(np.float32)).to(rows.device)
        number = int(place[-1]) + 1
        weighted = rows * weight[:, None]
        if number == len(place):
            return weighted
        means = torch.zeros((number, rows.shape[1]), dtype=rows.dtype, device=rows.device)
        return means.index_add_(0, torch.from_numpy(place).to(rows.device), weighted)

    def _finish(self, means: Tensor) -> None:
        """Shorten the finished patients' means and add them up."""
        norms = torch.linalg.vector_norm(means, dim=1, dtype=torch.float64)
        finite = torch.isfinite(norms)
        means = torch.where(finite[:, None], means, 0.0)
        norms = torch.where(finite, norms, 0.0)
        scale = torch.clamp(self._clip / norms.clamp(min=1e-300), max=1.0)
        for mean, factor in zip(means, scale.tolist(), strict=True):
            self._total.add_(mean, alpha=factor)
        self.num_patients += len(means)
        self.num_not_finite += int((~finite).sum())


def noised(total: Tensor, mechanism: Mechanism, draws: Draws) -> Tensor:
    """Return (sum + N(0, (σC)²)) ÷ expected number of patients, (T,) float32."""
    noise = torch.from_numpy(draws.normals(len(total))).to(total.device)
    deviation = mechanism.noise * mechanism.clip
    return ((total + deviation * noise) / mechanism.expected).float()


def step_gradient(
    gradients_of: Callable[[NDArray[np.int64]], Tensor],
    images: Sequence[NDArray[np.int64]],
    size: int,
    mechanism: Mechanism,
    draws: Draws,
    *,
    device: str = "cpu",
) -> tuple[Tensor, PatientSum]:
    """Return the noised gradient of one step, and the sum that it was made of.

    Args:
        gradients_of: (B,) numbers of images → their (B, T) gradients; B ≤ `physical_batch`.
        images: of each drawn patient the numbers of its images; none = an empty draw.
        size: T.
        mechanism: of the step.
        draws: of the noise, which only the site may know.
        device: where the gradients are.
    """
    total = PatientSum(size, mechanism.clip, device)
    flat = np.concatenate([np.empty(0, np.int64), *images])
    counts = np.array([len(own) for own in images], dtype=np.int64)
    patient = np.repeat(np.arange(len(images)), counts)
    share = np.repeat(1.0 / np.maximum(counts, 1), counts)
    for start in range(0, len(flat), mechanism.physical_batch):
        part = slice(start, start + mechanism.physical_batch)
        total.add(gradients_of(flat[part]), patient[part], share[part])
    return noised(total.result(), mechanism, draws), total
