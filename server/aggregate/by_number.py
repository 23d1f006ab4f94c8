"""Aggregators that join each number over the sites by itself, without weights.

All updates of a round are kept on disk until the last has come, and are read a slice at a time.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from server.aggregate.aggregator import Aggregate, AggregatorPlace, Doubles
from server.aggregate.mean import largest
from server.aggregate.spool import Spool
from server.check import SiteUpdate

Join = Callable[[NDArray[np.float32]], Doubles | NDArray[np.float32]]
"""From the sites' values of some numbers, (S, n), to one value each, (n,)."""


class ByNumber:
    """Keeps all updates of a round on disk."""

    def __init__(self, place: AggregatorPlace, join: Join) -> None:
        self._join = join
        self._size = place.schema.shared.spec.num_float
        self._spool = Spool(place.folder, place.num_sites, self._size)
        self._counters: NDArray[np.int64] | None = None

    def add(self, update: SiteUpdate) -> None:
        """Keep a site's update."""
        self._spool.add(update.update)
        self._counters = largest(self._counters, update.counters)

    def result(self) -> Aggregate:
        """Return what the sites' values of each number become; counters are the largest."""
        if self._counters is None:
            raise ValueError("nothing was added")
        found = np.empty(self._size)
        for part, values in self._spool.slices():
            found[part] = self._join(values)
        self._spool.close()
        return Aggregate(found, self._counters, {})
