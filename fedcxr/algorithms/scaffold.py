"""SCAFFOLD: control variates take out of each site's steps what is its own drift.

Source: Karimireddy et al. 2020, "SCAFFOLD: Stochastic controlled averaging for federated learning",
Algorithm 1, with option II for the new control variate. The server has c, site i has cᵢ, both zero
at the start. At a site x is what the server sent and yᵢ what is trained, in K steps of rate η_l:

- each step takes gᵢ(yᵢ) + c − cᵢ (eq. 3, line 10)
- cᵢ⁺ = cᵢ − c + (x − yᵢ) / (K·η_l) (eq. 4, line 12, option II)
- the site sends Δyᵢ = yᵢ − x and Δcᵢ = cᵢ⁺ − cᵢ, and keeps cᵢ⁺ (lines 13 and 14)
- the server: x ← x + η_g·Δx, c ← c + |S|/N·Δc (eq. 5, lines 16 and 17)

Option II is the mean gradient only under plain gradient descent, so the site's optimiser must be
that. Deviation: means are weighted by images, as in FedAvg, where the paper has 1/|S| and 1/N: c
then is the weighted mean of all cᵢ, and equal to the paper's where sites are equally large.
A site keeps its cᵢ⁺ also where the server refuses its update or the round's model, or the answer
comes too late: from then on c is that mean but for the change that was lost.
"""

import numpy as np
from pydantic import PositiveFloat

from fedcxr.algorithms.protocol import (
    Algorithm,
    Doubles,
    Floats,
    LocalResult,
    LocalStep,
    Round,
    float32,
)
from fedcxr.section import Section

GLOBAL = "control"
OWN = "own-control"
CHANGE = "control-change"


class ScaffoldParameters(Section):
    """Of SCAFFOLD."""

    server_learning_rate: PositiveFloat = 1.0
    """η_g, as in the paper's experiments."""


def begin(parameters: ScaffoldParameters, size: int) -> dict[str, Floats]:
    """Begin with c = 0."""
    return {GLOBAL: np.zeros(size, np.float32)}


def correct(parameters: ScaffoldParameters, step: LocalStep) -> None:
    """Take the drift out: g ← g + c − cᵢ (line 10)."""
    controls = zip(step.vectors[GLOBAL], step.vectors[OWN], strict=True)
    for weight, (control, own) in zip(step.weights, controls, strict=True):
        if weight.grad is not None:
            weight.grad.add_(control - own)


def finish(
    parameters: ScaffoldParameters, result: LocalResult
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Renew: cᵢ⁺ = cᵢ − c + (x − yᵢ) / (K·η_l); sent is cᵢ⁺ − cᵢ (lines 12 to 14)."""
    steps = result.num_steps * result.learning_rate
    control = result.vectors[GLOBAL].astype(np.float64)
    change = -control - result.update.astype(np.float64) / steps
    own = result.vectors[OWN] + change
    return {CHANGE: float32(change)}, {OWN: float32(own)}


def step(parameters: ScaffoldParameters, found: Round) -> tuple[Doubles, dict[str, Floats]]:
    """Move: x ← x + η_g·Δx, c ← c + share·Δc (lines 16 and 17)."""
    control = found.state[GLOBAL] + found.share * found.vectors[CHANGE]
    return parameters.server_learning_rate * found.update, {GLOBAL: float32(control)}


ALGORITHMS = {
    "scaffold": Algorithm(
        "SCAFFOLD (Karimireddy et al. 2020)",
        step,
        parameters=ScaffoldParameters,
        begin=begin,
        to_sites=(GLOBAL,),
        from_sites=(CHANGE,),
        kept=(OWN,),
        correct=correct,
        finish=finish,
        needs={"optimizer": "sgd", "momentum": 0.0, "moments": "restart"},
    )
}
