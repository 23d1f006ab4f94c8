"""Optimisers by name over one model, started anew for each site in the memory of the last.

PyTorch's own updates, called without its `Optimizer` classes: those import torch.compile's
machinery at the first step, 0.8 s of a core in every worker. A rule names the tensors that it keeps
from step to step, so that whoever stores them need not know which rule it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from fedcxr.config.train import TrainConfig
from fedcxr.registry import Registry, only

_EPSILON = 1e-8

Tensors = list[Tensor]
Step = Callable[[Tensors, Tensors, Mapping[str, Tensors], TrainConfig, float], None]
"""(parameters, gradients, kept tensors by name, config, learning rate): moves the parameters and
updates what is kept, both in place; K tensors in each list."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How an optimiser steps, and what it keeps from step to step."""

    step: Step
    like_parameters: tuple[str, ...] = ()
    """Names of what is kept for each trainable number; 0 at the start."""
    like_scalars: tuple[str, ...] = ()
    """Names of what is kept once for each tensor; 0 at the start."""
    keys: tuple[str, ...] = ()
    """Fields of `train` that it reads and not every optimiser does."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all that is kept."""
        return (*self.like_parameters, *self.like_scalars)


@dataclass(frozen=True, slots=True)
class OptimizerState:
    """What an optimiser knows after some steps, on the CPU and in canonical order."""

    optimizer: str
    """Its name in `OPTIMIZERS`."""
    tensors: Mapping[str, Tensor]
    """By the rule's names: (T,) for the T trainable numbers, or (K,) for the K tensors."""


OPTIMIZERS: Registry[Rule] = Registry(
    "train.optimizer",
    "optimiser",
    "fedcxr.optimizers",
    only(Rule, "Name = Rule(step), with fedcxr.training.optimizers.Rule"),
)


class Optimizer:
    """The kept tensors of a model's parameters, and the step that uses them."""

    def __init__(self, model: nn.Module, name: str) -> None:
        rule = OPTIMIZERS.get(name)
        parameters: Tensors = [p for p in model.parameters() if p.requires_grad]
        self._name, self._rule, self._parameters = name, rule, parameters
        self._kept = {
            kept: [torch.zeros_like(p) for p in parameters] for kept in rule.like_parameters
        } | {
            kept: [torch.zeros((), device=p.device) for p in parameters]
            for kept in rule.like_scalars
        }
        # What the kept tensors are laid out like, where a rule keeps none as well.
        self._places = [(p.device, p.stride()) for p in parameters]

    def start(self, state: OptimizerState | None = None) -> None:
        """Forget every step, or go on from this state: clearing takes 2 ms for a densenet121."""
        for tensors in self._kept.values():
            torch._foreach_zero_(tensors)
        self._drop_gradients()
        if state is not None:
            for name, tensors in self._kept.items():
                _fill(tensors, state.tensors[name])

    def state(self) -> OptimizerState:
        """Return a copy of what is kept."""
        flat = {
            name: torch.cat([t.reshape(-1).cpu() for t in tensors])
            for name, tensors in self._kept.items()
        }
        return OptimizerState(self._name, flat)

    def step(self, config: TrainConfig, learning_rate: float) -> None:
        """Move the parameters by their gradients, and let go of those."""
        moved = [i for i, p in enumerate(self._parameters) if p.grad is not None]
        parameters = [self._parameters[i] for i in moved]
        gradients = [p.grad for p in parameters if p.grad is not None]
        kept = {name: [tensors[i] for i in moved] for name, tensors in self._kept.items()}
        with torch.no_grad():
            self._rule.step(parameters, gradients, kept, config, learning_rate)
        self._drop_gradients()

    def fits(self, model: nn.Module, name: str) -> bool:
        """Return whether it is this optimiser, and the parameters still are where and as it is."""
        now = [p for p in model.parameters() if p.requires_grad]
        rows = zip(now, self._parameters, self._places, strict=False)
        return (name, len(now)) == (self._name, len(self._parameters)) and all(
            p is known and (p.device, p.stride()) == place for p, known, place in rows
        )

    def _drop_gradients(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None


_KEPT: WeakKeyDictionary[nn.Module, Optimizer] = WeakKeyDictionary()


def reset_optimizer(model: nn.Module, name: str, state: OptimizerState | None = None) -> Optimizer:
    """Return the model's optimiser as if it were new, or as it was when it had this state.

    Raises:
        ConfigError: there is no optimiser of that name.
    """
    kept = _KEPT.get(model)
    if kept is None or not kept.fits(model, name):
        kept = _KEPT[model] = Optimizer(model, name)
    kept.start(state)
    return kept


def optimizer_state(model: nn.Module) -> OptimizerState:
    """Return what the model's optimiser knows since `reset_optimizer` was last asked for it."""
    return _KEPT[model].state()


def _adam_step(update: Callable[..., None]) -> Step:
    """Return the step of PyTorch's `adam` or `adamw`, which are called alike.

    adam: Kingma and Ba 2015, "Adam", algorithm 1; weight decay is part of the gradient.
    adamw: Loshchilov and Hutter 2019, algorithm 2; the decay is apart from the gradient. Deviation,
    PyTorch's own: it is multiplied by the learning rate.
    """

    def step(
        parameters: Tensors,
        gradients: Tensors,
        kept: Mapping[str, Tensors],
        config: TrainConfig,
        learning_rate: float,
    ) -> None:
        update(
            parameters,
            gradients,
            kept["means"],
            kept["squares"],
            [],
            kept["steps"],
            fused=True,  # the fastest of the three on CPU and GPU
            amsgrad=False,
            beta1=config.beta1,
            beta2=config.beta2,
            lr=learning_rate,
            weight_decay=config.weight_decay,
            eps=_EPSILON,
            maximize=False,
        )

    return step


def _step_sgd(
    parameters: Tensors,
    gradients: Tensors,
    kept: Mapping[str, Tensors],
    config: TrainConfig,
    learning_rate: float,
) -> None:
    """Step by v ← momentum · v + g, w ← w − rate · v (Polyak 1964); no dampening, no Nesterov."""
    # A list of its own: PyTorch writes into it where it makes buffers, which are here already.
    velocities: list[Tensor | None] = list(kept["velocities"])
    sgd(
        parameters,
        gradients,
        velocities,
        fused=True,
        weight_decay=config.weight_decay,
        momentum=config.momentum,
        lr=learning_rate,
        dampening=0.0,
        nesterov=False,
        maximize=False,
    )


def _fill(tensors: Tensors, values: Tensor) -> None:
    """Write a flat tensor over others, in order and whatever their memory layout."""
    start = 0
    for tensor in tensors:
        part = values[start : start + tensor.numel()]
        tensor.copy_(part.reshape(tensor.shape))
        start += tensor.numel()


_BETAS = ("beta1", "beta2")
OPTIMIZERS.add("adam", Rule(_adam_step(adam), ("means", "squares"), ("steps",), _BETAS))
OPTIMIZERS.add("adamw", Rule(_adam_step(adamw), ("means", "squares"), ("steps",), _BETAS))
OPTIMIZERS.add("sgd", Rule(_step_sgd, ("velocities",), keys=("momentum",)))
