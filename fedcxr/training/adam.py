"""Adam over one model, started anew for each site in the memory of the last.

PyTorch's own update (`torch.optim.adam.adam`), called without its `Optimizer` class: that imports
torch.compile's machinery at the first step, 0.8 s of a core in every worker.
Source: Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization", algorithm 1.
"""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from fedcxr.config.train import TrainConfig

_EPSILON = 1e-8


@dataclass(frozen=True, slots=True)
class Moments:
    """What Adam knows after some steps, on the CPU and in canonical order."""

    means: Tensor
    """(T,) running means of the gradients of the T trainable numbers."""
    squares: Tensor
    """(T,) running means of their squares."""
    steps: Tensor
    """(K,) steps that each of the K tensors has taken."""


class Adam:
    """The moments of a model's parameters, and the step that uses them."""

    def __init__(self, model: nn.Module) -> None:
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._means = [torch.zeros_like(p) for p in self._parameters]
        self._squares = [torch.zeros_like(p) for p in self._parameters]
        self._steps = [torch.zeros((), device=p.device) for p in self._parameters]

    def start(self, moments: Moments | None = None) -> None:
        """Forget every step, or go on from these: clearing takes 2 ms for a densenet121."""
        for tensors in (self._means, self._squares, self._steps):
            torch._foreach_zero_(tensors)
        self._drop_gradients()
        if moments is not None:
            _fill(self._means, moments.means)
            _fill(self._squares, moments.squares)
            _fill(self._steps, moments.steps)

    def moments(self) -> Moments:
        """Return a copy of the moments."""
        kept = (self._means, self._squares, self._steps)
        return Moments(*(torch.cat([t.reshape(-1).cpu() for t in tensors]) for tensors in kept))

    def step(self, config: TrainConfig, learning_rate: float) -> None:
        """Move the parameters by their gradients, and let go of those."""
        all_rows = zip(self._parameters, self._means, self._squares, self._steps, strict=True)
        rows = [(p, p.grad, *moments) for p, *moments in all_rows if p.grad is not None]
        parameters, gradients, means, squares, steps = map(list, zip(*rows, strict=True))
        with torch.no_grad():
            adam(
                parameters,
                gradients,
                means,
                squares,
                [],
                steps,
                fused=True,  # the fastest of the three on CPU and GPU
                amsgrad=False,
                beta1=config.beta1,
                beta2=config.beta2,
                lr=learning_rate,
                weight_decay=config.weight_decay,
                eps=_EPSILON,
                maximize=False,
            )
        self._drop_gradients()

    def _drop_gradients(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None

    def fits(self, model: nn.Module) -> bool:
        """Return whether the parameters still are where and as the moments are."""
        now = [p for p in model.parameters() if p.requires_grad]
        rows = zip(now, self._parameters, self._means, strict=False)
        return len(now) == len(self._means) and all(
            p is known and p.device == m.device and p.stride() == m.stride() for p, known, m in rows
        )


_KEPT: WeakKeyDictionary[nn.Module, Adam] = WeakKeyDictionary()


def adam_of(model: nn.Module, moments: Moments | None = None) -> Adam:
    """Return the model's optimiser as if it were new, or as it was when it had these moments."""
    kept = _KEPT.get(model)
    if kept is None or not kept.fits(model):
        kept = _KEPT[model] = Adam(model)
    kept.start(moments)
    return kept


def moments_of(model: nn.Module) -> Moments:
    """Return what the model's optimiser knows since `adam_of` was last asked for it."""
    return _KEPT[model].moments()


def _fill(tensors: list[Tensor], values: Tensor) -> None:
    """Write a flat tensor over others, in order and whatever their memory layout."""
    start = 0
    for tensor in tensors:
        part = values[start : start + tensor.numel()]
        tensor.copy_(part.reshape(tensor.shape))
        start += tensor.numel()
