"""What a site's training sends for some images, as a function that can be differentiated by them.

The same function makes the update that is attacked and the attacker's guess at it: an attacker who
knows the model, the labels and how a site trains simulates the site. Every step is one of plain
SGD, w ← w − rate · g, without views of the images; the steps' gradients g are added up, which is
(given − trained) / rate. Not for training.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy, deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from fedcxr.errors import ConfigError
from fedcxr.training.transforms import Normalization, normalize

BatchLoss = Callable[[Tensor, Tensor], Tensor]
"""((N, L) logits, (N, L) target with nan for unknown) → a scalar."""
Mechanism = Callable[[Iterable[Tensor], int], Tensor]
"""(T,) gradients of a step's images, one after another, and how many → the gradient that the step
takes."""
WHITE = 255.0


@dataclass(frozen=True, slots=True)
class Sent:
    """What leaves a site, or several of them together."""

    update: Tensor
    """(T,) the steps' gradients, added up."""
    statistics: tuple[Tensor, ...] = ()
    """(2, C) of each batch norm, mean and variance of what came into it: the moved running
    statistics tell them. Empty where none leave."""


@dataclass(frozen=True, slots=True)
class LocalSteps:
    """How a site trains."""

    loss: BatchLoss
    normalization: Normalization
    batch_size: int
    """Images of a step, in the order in which they are given."""
    learning_rate: float = 0.0
    """Between two steps; of a single step it changes nothing."""
    frozen: bool = False
    """Whether batch norms use the statistics that the server sent, and send none."""
    local: bool = False
    """Whether they use those of their batch, and send none."""
    mechanism: Mechanism | None = None
    """What a step does to its images' gradients; none = their mean, by the loss."""


class SimulatedSite:
    """A copy of the network, and the steps that a site makes with it."""

    def __init__(self, model: nn.Module, steps: LocalSteps) -> None:
        """Copy the model; it is left as it is."""
        self._model = deepcopy(model).train()
        self._norms = [m for m in self._model.modules() if isinstance(m, _BatchNorm)]
        self._momentum = {m: m.momentum or 0.0 for m in self._norms}
        for norm in self._norms:
            norm.momentum = 0.0  # what the copy is sent stays what it was
            norm.train(not steps.frozen)
        self._steps = steps
        self._weights = {
            name: weight.detach().requires_grad_()
            for name, weight in self._model.named_parameters()
            if weight.requires_grad
        }

    def with_mechanism(self, mechanism: Mechanism) -> "SimulatedSite":
        """Return a site with the same network whose steps do this to their gradients."""
        other = copy(self)
        other._steps = replace(self._steps, mechanism=mechanism)
        return other

    @property
    def sizes(self) -> list[int]:
        """Numbers of each tensor in the update, T together."""
        return [weight.numel() for weight in self._weights.values()]

    def place(self, name: str) -> slice:
        """Return where a tensor lies in the update."""
        start = 0
        for own, weight in self._weights.items():
            if own == name:
                return slice(start, start + weight.numel())
            start += weight.numel()
        raise KeyError(name)

    def probs(self, pixels: Tensor) -> Tensor:
        """Return (N, L + M) probabilities of images, (N, H, W) in [0, 1], as a step sees them."""
        with torch.no_grad():
            logits: Tensor = self._model(normalize(WHITE * pixels, self._steps.normalization))
        return logits.sigmoid()

    def send(self, pixels: Tensor, target: Tensor, *, keep_graph: bool = False) -> Sent:
        """Return what leaves the site after training on these images.

        Args:
            pixels: (N, H, W) float in [0, 1].
            target: (N, L); nan = not known.
            keep_graph: have the result depend on `pixels`.

        Raises:
            ConfigError: a batch norm is given one number to take the variance of.
        """
        weights = dict(self._weights)
        total = torch.zeros(sum(self.sizes), device=pixels.device)
        seen: list[list[Tensor]] = []
        for start in range(0, len(pixels), self._steps.batch_size):
            part = slice(start, start + self._steps.batch_size)
            with self._watched() as found:
                gradients = self._gradients(weights, pixels[part], target[part], keep_graph)
            seen.append(found)
            total = total + _flat(gradients)
            moved = zip(weights.items(), gradients, strict=True)
            weights = {n: w - self._steps.learning_rate * g for (n, w), g in moved}
        statistics = self._statistics(seen)
        if keep_graph:
            return Sent(total, statistics)
        return Sent(total.detach(), tuple(each.detach() for each in statistics))

    def _gradients(
        self, weights: dict[str, Tensor], pixels: Tensor, target: Tensor, keep_graph: bool
    ) -> Sequence[Tensor]:
        """Return the gradient that one step takes, a tensor a weight."""
        if self._steps.mechanism is None:
            return self._mean_gradient(weights, pixels, target, keep_graph)
        rows = (
            _flat(self._mean_gradient(weights, pixels[i : i + 1], target[i : i + 1], keep_graph))
            for i in range(len(pixels))
        )
        pieces = torch.split(self._steps.mechanism(rows, len(pixels)), self.sizes)
        return [p.view(w.shape) for p, w in zip(pieces, weights.values(), strict=True)]

    def _mean_gradient(
        self, weights: dict[str, Tensor], pixels: Tensor, target: Tensor, keep_graph: bool
    ) -> Sequence[Tensor]:
        inputs = normalize(WHITE * pixels, self._steps.normalization)
        try:
            logits = functional_call(self._model, weights, (inputs,))
        except ValueError as err:  # PyTorch's, of a map of one pixel and one image
            raise ConfigError(
                f"{len(pixels)} image of {pixels.shape[-1]} px: batch norm has one value a channel "
                "in the last maps, and no variance of it. Take larger images, two or more in an "
                "update (--per-update), or --protection frozen."
            ) from err
        loss = self._steps.loss(logits, target)
        return torch.autograd.grad(loss, list(weights.values()), create_graph=keep_graph)

    @contextmanager
    def _watched(self) -> Iterator[list[Tensor]]:
        """Yield the list of what came into each batch norm, (2, C), where statistics leave."""
        found: list[Tensor] = []

        def look(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            maps = inputs[0].transpose(0, 1).flatten(1)  # (C, N · h · w)
            correction = min(1, maps.shape[1] - 1)  # one value: the norm itself will refuse it
            found.append(torch.stack([maps.mean(1), maps.var(1, correction=correction)]))

        hooks = []
        if not (self._steps.frozen or self._steps.local):
            hooks = [norm.register_forward_pre_hook(look) for norm in self._norms]
        try:
            yield found
        finally:
            for hook in hooks:
                hook.remove()

    def _statistics(self, seen: list[list[Tensor]]) -> tuple[Tensor, ...]:
        """Return each layer's mean over the steps, as running statistics weigh them.

        After k steps they are (1 − m)ᵏ · before + Σ m (1 − m)ᵏ⁻¹⁻ⁱ · step i, of which the server
        knows all but the sum.
        """
        if not seen[0]:
            return ()
        found = []
        for layer, norm in enumerate(self._norms):
            left = 1.0 - self._momentum[norm]
            weights = [left ** (len(seen) - 1 - i) for i in range(len(seen))]
            parts = [w * step[layer] for w, step in zip(weights, seen, strict=True)]
            found.append(torch.stack(parts).sum(0) / sum(weights))
        return tuple(found)


def mean_of(sent: Sequence[Sent]) -> Sent:
    """Return what the server sees of several sites whose updates it sees as a sum only."""
    update = torch.stack([each.update for each in sent]).mean(0)
    layers = zip(*(each.statistics for each in sent), strict=True)
    return Sent(update, tuple(torch.stack(layer).mean(0) for layer in layers))


def _flat(gradients: Sequence[Tensor]) -> Tensor:
    return torch.cat([each.reshape(-1) for each in gradients])
