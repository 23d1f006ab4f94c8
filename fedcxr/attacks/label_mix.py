"""How many of a site's patients have a finding, told by the gradient of the head's bias.

Of cross-entropy, averaged over all labels of all images, that gradient is (mean p − share) / L for
each label: the attacker knows p nearly, by the same model on radiographs of their own, and L. Not
for other losses, nor after several steps.

Of a mean of sites' updates it is the cohort's mix that is told; who takes it for one site's is off
by how much that site differs from the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def told_shares(bias_gradient: Floats, probs: Floats) -> Floats:
    """Return (L,) the share of positives of each label that a gradient tells.

    Args:
        bias_gradient: (L,) of the head.
        probs: (P, L) the model's, of other radiographs.

    >>> told_shares(np.array([0.1, -0.2]), np.array([[0.5, 0.4], [0.5, 0.6]]))  # p - 2 g
    array([0.3, 0.9])
    """
    shares = probs.mean(axis=0) - len(bias_gradient) * bias_gradient
    return np.asarray(np.clip(shares, 0.0, 1.0))


def distance(told: Floats, truth: Floats) -> tuple[float, float]:
    """Return the mean and the largest distance of shares.

    >>> tuple(round(each, 3) for each in distance(np.array([0.3, 0.9]), np.array([0.2, 0.9])))
    (0.05, 0.1)
    """
    apart = np.abs(told - truth)
    return float(apart.mean()), float(apart.max())


@dataclass(frozen=True, slots=True)
class ToldMix:
    """How far told shares are from the true ones, with so many sites in what is seen."""

    cohort: int
    error: float
    """Mean over labels, from the first site's shares."""
    largest_error: float
    cohort_error: float
    """Mean over labels, from the shares of all sites together."""


def told_by_cohort(
    bias_gradients: Floats, probs: Floats, shares: Floats, sizes: Sequence[int]
) -> list[ToldMix]:
    """Return what the mean of the first sites' gradients tells, for each number of them.

    Args:
        bias_gradients: (S, L) of sites with equally many images, the attacked one first.
        probs: (P, L) the model's, of other radiographs.
        shares: (S, L) the true shares of positives.
        sizes: how many sites are in the mean; each from 1 to S.
    """
    found = []
    for size in sizes:
        told = told_shares(bias_gradients[:size].mean(axis=0), probs)
        mean, largest = distance(told, shares[0])
        of_cohort, _ = distance(told, shares[:size].mean(axis=0))
        found.append(ToldMix(size, mean, largest, of_cohort))
    return found


def cohort_sizes(largest: int) -> list[int]:
    """Return the numbers of sites to look at: each twice the one before, and the largest.

    >>> cohort_sizes(8), cohort_sizes(5), cohort_sizes(1)
    ([2, 4, 8], [2, 4, 5], [1])
    """
    sizes = [2**power for power in range(1, largest.bit_length()) if 2**power < largest]
    return [*sizes, largest]
