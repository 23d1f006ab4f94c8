"""FedAdagrad, FedAdam and FedYogi: the server's optimiser is adaptive.

Source: Reddi et al. 2021, "Adaptive federated optimization", Algorithm 2. With the round's mean
update Δₜ (line 11): mₜ = β₁·mₜ₋₁ + (1 − β₁)·Δₜ (line 12), vₜ by one of lines 13 to 15, and
xₜ₊₁ = xₜ + η·mₜ / (√vₜ + τ) (line 16). No correction of a bias, as in the paper. v₋₁ = τ² is the
smallest that it allows. Deviation: Δₜ is weighted by the sites' images, as in FedAvg, not by 1/|S|
(line 11).
"""

from collections.abc import Callable

import numpy as np
from pydantic import Field, PositiveFloat

from fedcxr.algorithms.protocol import Algorithm, Doubles, Floats, Round, float32
from fedcxr.section import Section


class FedOptParameters(Section):
    """Of the three."""

    server_learning_rate: PositiveFloat = 0.01
    """η; the paper has no default but tunes it for each task, with the sites' rate."""
    beta1: float = Field(default=0.9, ge=0.0, lt=1.0)
    """As in the paper's experiments (§5)."""
    tau: PositiveFloat = 1e-3
    """How adaptive: small = more. The paper tunes it; 10⁻³ did well on most of its tasks (§5)."""


class FedAdagradParameters(FedOptParameters):
    """v has no decay, and as in Adagrad itself there is no momentum."""

    beta1: float = Field(default=0.0, ge=0.0, lt=1.0)


class DecayingParameters(FedOptParameters):
    """Of FedAdam and FedYogi."""

    beta2: float = Field(default=0.99, ge=0.0, lt=1.0)
    """As in the paper's experiments (§5)."""


NextVariance = Callable[[FedOptParameters, Doubles, Doubles], Doubles]
"""(parameters, vₜ₋₁, Δₜ²) → vₜ."""


def adagrad_variance(parameters: FedOptParameters, variance: Doubles, square: Doubles) -> Doubles:
    """vₜ = vₜ₋₁ + Δₜ² (line 13)."""
    return variance + square


def yogi_variance(parameters: DecayingParameters, variance: Doubles, square: Doubles) -> Doubles:
    """vₜ = vₜ₋₁ − (1 − β₂)·Δₜ²·sign(vₜ₋₁ − Δₜ²) (line 14)."""
    return variance - (1.0 - parameters.beta2) * square * np.sign(variance - square)


def adam_variance(parameters: DecayingParameters, variance: Doubles, square: Doubles) -> Doubles:
    """vₜ = β₂·vₜ₋₁ + (1 − β₂)·Δₜ² (line 15)."""
    return parameters.beta2 * variance + (1.0 - parameters.beta2) * square


def begin(parameters: FedOptParameters, size: int) -> dict[str, Floats]:
    """Begin with m = 0 and v = τ²."""
    variance = np.full(size, parameters.tau**2, np.float32)
    return {"momentum": np.zeros(size, np.float32), "variance": variance}


def _algorithm(
    title: str, parameters: type[FedOptParameters], next_variance: Callable[..., Doubles]
) -> Algorithm:
    def step(parameters: FedOptParameters, found: Round) -> tuple[Doubles, dict[str, Floats]]:
        before = found.state["momentum"].astype(np.float64)
        momentum = parameters.beta1 * before + (1.0 - parameters.beta1) * found.update
        variance = found.state["variance"].astype(np.float64)
        variance = next_variance(parameters, variance, np.square(found.update))
        moved = parameters.server_learning_rate * momentum / (np.sqrt(variance) + parameters.tau)
        return moved, {"momentum": float32(momentum), "variance": float32(variance)}

    return Algorithm(title, step, parameters=parameters, begin=begin)


ALGORITHMS = {
    "fedadagrad": _algorithm(
        "FedAdagrad (Reddi et al. 2021)", FedAdagradParameters, adagrad_variance
    ),
    "fedadam": _algorithm("FedAdam (Reddi et al. 2021)", DecayingParameters, adam_variance),
    "fedyogi": _algorithm("FedYogi (Reddi et al. 2021)", DecayingParameters, yogi_variance),
}
