"""FedProx: local training is held near the global model by a proximal term.

Source: Li et al. 2020, "Federated optimization in heterogeneous networks", Algorithm 2: site k
minimises h(w) = F_k(w) + μ/2·‖w − wᵗ‖² (eq. 2), so its gradient gets μ·(w − wᵗ). The server's side
is that of FedAvg.
"""

from pydantic import Field

from fedcxr.algorithms.protocol import Algorithm, LocalStep, mean_step
from fedcxr.section import Section


class FedProxParameters(Section):
    """Of FedProx."""

    mu: float = Field(default=0.01, ge=0.0, le=1000.0)
    """Weight of the proximal term; the paper tries 0.001, 0.01, 0.1 and 1. 0 = FedAvg."""


def correct(parameters: FedProxParameters, step: LocalStep) -> None:
    """Add the term: g ← g + μ·(w − wᵗ)."""
    for weight, given in zip(step.weights, step.given, strict=True):
        if weight.grad is not None:
            weight.grad.add_(weight.detach() - given, alpha=parameters.mu)


ALGORITHMS = {
    "fedprox": Algorithm(
        "FedProx (Li et al. 2020)", mean_step, parameters=FedProxParameters, correct=correct
    )
}
