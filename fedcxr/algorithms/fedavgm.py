"""FedAvgM: the server takes the mean update as a gradient and moves with momentum.

Source: Hsu, Qi and Brown 2019, "Measuring the effects of non-identical data distribution for
federated visual classification", §4.3: v ← β·v + Δw, w ← w − γ·v, where Δw = Σ (nₖ/n)·Δwₖ is what
the sites' models have lost. Here an update is what they have gained, so the sign is turned.
"""

import numpy as np
from pydantic import Field, PositiveFloat

from fedcxr.algorithms.protocol import Algorithm, Doubles, Floats, Round, float32
from fedcxr.section import Section


class FedAvgMParameters(Section):
    """Of FedAvgM."""

    beta: float = Field(default=0.9, ge=0.0, lt=1.0)
    """Momentum; 0 with γ = 1 is FedAvg."""
    server_learning_rate: PositiveFloat = 1.0
    """γ."""


def begin(parameters: FedAvgMParameters, size: int) -> dict[str, Floats]:
    """Begin with v = 0."""
    return {"momentum": np.zeros(size, np.float32)}


def step(parameters: FedAvgMParameters, found: Round) -> tuple[Doubles, dict[str, Floats]]:
    """Move: v ← β·v + Δ, w ← w + γ·v."""
    momentum = parameters.beta * found.state["momentum"].astype(np.float64) + found.update
    return parameters.server_learning_rate * momentum, {"momentum": float32(momentum)}


ALGORITHMS = {
    "fedavgm": Algorithm(
        "FedAvgM (Hsu et al. 2019)", step, parameters=FedAvgMParameters, begin=begin
    )
}
