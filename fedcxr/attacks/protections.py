"""What stands between a site's images and what the server sees of them, by name.

Only `dp` is a promise, of σ, C and how patients are drawn; the others are what they are measured to
be.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from fedcxr.attacks.site_update import Mechanism
from fedcxr.privacy.dp_sgd import Draws, PatientSum, noised
from fedcxr.privacy.dp_sgd import Mechanism as NoisedStep

Norm = Literal["batch", "local", "frozen", "group"]


@dataclass(frozen=True, slots=True)
class Protection:
    """One of them."""

    name: str
    title: str
    norm: Norm = "batch"
    """`local`: batch norms use their batch's statistics and send none; `frozen`: they keep the
    server's and send none; `group`: group norms stand in their place."""
    noised: bool = False
    """Whether each image's gradient is clipped, and noise added to the step's."""
    summed: bool = False
    """Whether the server sees the mean of a cohort's updates only."""


PROTECTIONS = {
    each.name: each
    for each in (
        Protection("none", "No protection"),
        Protection("local", "Local batch norm", norm="local"),
        Protection("frozen", "Frozen batch norm", norm="frozen"),
        Protection("group", "Group norm", norm="group"),
        Protection("dp", "Clipping and noise", norm="frozen", noised=True),
        Protection("sum", "Sum of a cohort", summed=True),
    )
}


def clipped_and_noised(clip: float, noise: float, draws: Draws) -> Mechanism:
    """Return the step of DP-SGD over images that are all of different patients.

    Args:
        clip: C, the longest gradient of an image, L2.
        noise: σ: the noise's deviation over C.
        draws: of the noise.
    """

    def step(rows: Iterable[Tensor], number: int) -> Tensor:
        total: PatientSum | None = None
        for place, row in enumerate(rows):
            total = total or PatientSum(len(row), clip, str(row.device))
            total.add(row[None], np.array([place]), np.ones(1))
        assert total is not None
        return noised(total.result(), NoisedStep(clip, noise, expected=number), draws)

    return step
