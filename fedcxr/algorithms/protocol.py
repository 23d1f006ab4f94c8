"""What an algorithm is made of: what it adds to local training, to the wire and to the server.

Clients and server know this protocol and no algorithm by name. All of it is pure: arrays in, arrays
out. Vectors have T numbers, one for each trainable number that crosses the wire, in the order of
the `ParameterSpec`; at a site they are float32, what the server computes with is float64.

An algorithm moves trained values only. Batch-norm statistics and counters are averaged, whatever
the algorithm.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.section import Section

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Vectors = Mapping[str, Floats]
Tensor = Any
"""torch's, of which a correction uses methods alone: importing it costs every command a second."""


class NoParameters(Section):
    """Of an algorithm that has none."""


@dataclass(frozen=True, slots=True)
class LocalStep:
    """One step of local training, after the gradients and before the optimiser."""

    weights: Sequence[Tensor]
    """The K trainable tensors, with the gradient of the loss in `.grad`."""
    given: Sequence[Tensor]
    """(K,) what the server sent."""
    vectors: Mapping[str, Sequence[Tensor]]
    """(K,) each, in the tensors' shapes: what came with the order, and what the site has kept."""


@dataclass(frozen=True, slots=True)
class LocalResult:
    """A site's training, when it is over."""

    update: Floats
    """(T,) trained minus given."""
    learning_rate: float
    num_steps: int
    vectors: Vectors
    """What came with the order, and what the site had kept from the rounds before."""


@dataclass(frozen=True, slots=True)
class Round:
    """What the server has after the replies of a round."""

    update: Doubles
    """(T,) weighted mean of the sites' updates."""
    vectors: Mapping[str, Doubles]
    """(T,) each: weighted means of what else the sites sent."""
    share: float
    """Weight of the sites that answered, of all sites in the plan that can train."""
    state: Vectors
    """The server's own, from the round before."""


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One federated algorithm.

    A name in several of the places below is one vector: what the server keeps under a name of
    `to_sites` is sent with each order.
    """

    title: str
    """With its source, for a reader."""
    step: Callable[[Any, Round], tuple[Doubles, dict[str, Floats]]]
    """(parameters, round) → (T,) by how much the global model moves, and the new state."""
    parameters: type[Section] = NoParameters
    """Its own configuration keys, with defaults and ranges."""
    begin: Callable[[Any, int], dict[str, Floats]] = lambda parameters, size: {}
    """(parameters, T) → the server's state before round 1."""
    to_sites: tuple[str, ...] = ()
    """Of the server's state what travels with every order."""
    from_sites: tuple[str, ...] = ()
    """What a site sends beside its update."""
    kept: tuple[str, ...] = ()
    """What a site keeps from round to round; zeros before its first."""
    correct: Callable[[Any, LocalStep], None] | None = None
    """Adds the algorithm's term to the gradients, in place."""
    finish: Callable[[Any, LocalResult], tuple[dict[str, Floats], dict[str, Floats]]] | None = None
    """What a trained site sends, by the names of `from_sites`, and keeps, by those of `kept`."""
    private: Callable[[Sequence[str]], frozenset[str]] = lambda names: frozenset()
    """Of the model's tensors those that are each site's own and never leave it."""
    needs: Mapping[str, object] | None = None
    """Values of the section `train` without which its arithmetic is another one."""


def mean_step(parameters: Section, found: Round) -> tuple[Doubles, dict[str, Floats]]:
    """Return the mean update as it is: the model becomes the mean of the sites' models."""
    return found.update, {}


def float32(values: Doubles) -> Floats:
    """Return what is kept of values between rounds."""
    return values.astype(np.float32)
