"""The mean of each number over the sites without its smallest and its largest values, unweighted.

Of n updates ⌈β·n⌉ are left out at each end of each number (`server.trim` is β), so hostile sites do
no more harm than honest values at the ends would, as long as they are at most a share β. The
weights of the sites do not count, since a site could lie about its own; with β = 0 it is the plain
mean of the updates. Batch-norm statistics, where they are shared, are treated as all other numbers;
what is private to a site never comes here.

Source: Yin et al. 2018, "Byzantine-robust distributed learning: towards optimal statistical rates",
Definition 2 and Algorithm 1, there of gradients and with a whole β·n, here of updates and rounded
up: rounding down would trim nothing of four sites with β = 0.2.
"""

import math
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.server import ServerConfig
from server.aggregate.aggregator import AggregatorKind, AggregatorPlace, Doubles
from server.aggregate.by_number import ByNumber


def trimmed_mean(place: AggregatorPlace) -> ByNumber:
    """Return the aggregator."""
    return ByNumber(place, partial(mean_without_ends, share=place.settings.trim))


def mean_without_ends(values: NDArray[np.float32], share: float) -> Doubles:
    """Return the mean of each column without its ends.

    Sorted before it is added up, so the order of the sites does not change a bit.

    Args:
        values: (S, n).
        share: of the rows, left out at each end.

    >>> mean_without_ends(np.float32([[1], [2], [3], [90]]), 0.25)
    array([2.5])
    """
    left_out = num_trimmed(len(values), share)
    kept = np.sort(values, axis=0)[left_out : len(values) - left_out]
    return np.asarray(kept.mean(axis=0, dtype=np.float64))


def num_trimmed(count: int, share: float) -> int:
    """Return how many of `count` updates are left out at each end.

    >>> num_trimmed(10, 0.2), num_trimmed(11, 0.2), num_trimmed(10, 0)
    (2, 3, 0)
    """
    return math.ceil(share * count - 1e-9)


def too_few(count: int, settings: ServerConfig) -> str | None:
    """Return the figures where nothing would be left."""
    left_out = num_trimmed(count, settings.trim)
    if 2 * left_out < count:
        return None
    return (
        f"trimmed-mean leaves out {left_out} of {count} updates at each end "
        f"(server.trim={settings.trim:g}, rounded up), so none would be left. "
        "Lower server.trim, or have more sites in a round."
    )


AGGREGATORS = {
    "trimmed-mean": AggregatorKind(
        "mean of each number without its ends (Yin et al. 2018)",
        trimmed_mean,
        needs_all=True,
        is_mean=False,
        too_few=too_few,
    )
}
