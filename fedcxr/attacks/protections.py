"""What stands between a site's images and what the server sees of them, by name.

Only `dp` is a promise (of the step that is attacked, by σ and C alone); the others are what they
are measured to be.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fedcxr.attacks.site_update import Mechanism


@dataclass(frozen=True, slots=True)
class Protection:
    """One of them."""

    name: str
    title: str
    frozen: bool = False
    """Whether batch norms keep the server's statistics, and send none."""
    noised: bool = False
    """Whether each image's gradient is clipped, and noise added to the step's."""
    summed: bool = False
    """Whether the server sees the mean of a cohort's updates only."""
    grouped: bool = False
    """Whether group norms stand in the place of batch norms."""


PROTECTIONS = {
    each.name: each
    for each in (
        Protection("none", "No protection"),
        Protection("frozen", "Frozen batch norm", frozen=True),
        Protection("dp", "Clipping and noise", frozen=True, noised=True),
        Protection("sum", "Sum of a cohort", summed=True),
    )
}


def clipped_and_noised(
    clip: float, noise: float, generator: torch.Generator | None = None
) -> Mechanism:
    """Return the step of DP-SGD over images that are all of different patients.

    Source: Abadi et al. 2016, "Deep learning with differential privacy", algorithm 1.

    Args:
        clip: C, the longest gradient of an image, L2.
        noise: σ: the noise's deviation over C.
        generator: of the noise, on the CPU.
    """

    def step(rows: Tensor) -> Tensor:
        lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        total = (rows * (clip / lengths.clamp(min=1e-12)).clamp(max=1.0)).sum(0)
        drawn = torch.randn(total.shape, generator=generator).to(total.device)
        return (total + noise * clip * drawn) / len(rows)

    return step
