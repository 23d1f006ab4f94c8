"""The weighted mean, kept as a running sum: one vector of memory, however many sites answer.

The sum is float64 and the order of sites fixed by the caller, so the result does not depend on who
answers first. Added in slices that stay in a core's cache.

Source: McMahan et al. 2017, "Communication-efficient learning of deep networks from decentralized
data", Algorithm 1.
"""

import numpy as np
from numpy.typing import NDArray

from fedcxr.codecs import Floats
from server.aggregate.aggregator import Aggregate, AggregatorKind, AggregatorPlace, Doubles
from server.check import SiteUpdate

_SLICE = 1 << 14
"""Numbers; 128 KB of float64."""


class RunningMean:
    """The mean of the updates added so far, weighted by images."""

    def __init__(self, place: AggregatorPlace) -> None:
        schema = place.schema
        self._sum = np.zeros(schema.shared.spec.num_float)
        self._sums = {name: np.zeros(schema.size) for name in schema.rules.from_sites}
        self._counters: NDArray[np.int64] | None = None
        self._weight = 0

    def add(self, update: SiteUpdate) -> None:
        """Add a site's update."""
        add_weighted(self._sum, update.update, update.num_examples)
        for name, total in self._sums.items():
            add_weighted(total, update.vectors[name], update.num_examples)
        self._counters = largest(self._counters, update.counters)
        self._weight += update.num_examples

    def result(self) -> Aggregate:
        """Return the mean; the memory of the sums becomes its own."""
        if self._counters is None:
            raise ValueError("nothing was added")
        for total in (self._sum, *self._sums.values()):
            total /= self._weight
        return Aggregate(self._sum, self._counters, self._sums)


def add_weighted(total: Doubles, values: Floats, weight: float) -> None:
    """Add `weight` times the values to `total`, in place."""
    for start in range(0, len(total), _SLICE):
        part = slice(start, start + _SLICE)
        total[part] += values[part].astype(np.float64) * weight


def largest(so_far: NDArray[np.int64] | None, counters: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the larger of two counters each; `counters` may be gone after this."""
    return counters.copy() if so_far is None else np.maximum(so_far, counters)


AGGREGATORS = {"mean": AggregatorKind("mean by images (McMahan et al. 2017)", RunningMean)}
