"""The median of each number over the sites, unweighted.

No single site can move a number beyond what the others send. What it costs: half of the sites may
be ignored in each number, so where sites differ by nature the model is another one than the mean.

Source: Yin et al. 2018, "Byzantine-robust distributed learning: towards optimal statistical rates",
Definition 1 and Algorithm 1, there of gradients, here of updates.
"""

import numpy as np
from numpy.typing import NDArray

from server.aggregate.aggregator import Aggregate, AggregatorKind, AggregatorPlace
from server.aggregate.mean import largest
from server.aggregate.spool import Spool
from server.check import SiteUpdate


class Median:
    """Keeps all updates of a round on disk."""

    def __init__(self, place: AggregatorPlace) -> None:
        self._size = place.schema.shared.spec.num_float
        self._spool = Spool(place.folder, place.num_sites, self._size)
        self._counters: NDArray[np.int64] | None = None

    def add(self, update: SiteUpdate) -> None:
        """Keep a site's update."""
        self._spool.add(update.update)
        self._counters = largest(self._counters, update.counters)

    def result(self) -> Aggregate:
        """Return the median of each number; of two in the middle their mean."""
        if self._counters is None:
            raise ValueError("nothing was added")
        found = np.empty(self._size)
        for part, values in self._spool.slices():
            found[part] = np.median(values, axis=0)
        self._spool.close()
        return Aggregate(found, self._counters, {})


AGGREGATORS = {
    "median": AggregatorKind(
        "median of each number (Yin et al. 2018)", Median, needs_all=True, is_mean=False
    )
}
