"""A weighted mean kept as a running sum: one vector of memory, however many sites answer.

The sum is float64 and the order of sites fixed by the caller, so the result does not depend on who
answers first. Added in slices: a float64 copy of the whole vector would double the memory.
"""

import numpy as np
from numpy.typing import NDArray

from fedcxr.parameters import Parameters

_SLICE = 1 << 18


class RunningMean:
    """The mean of the parameters added so far, weighted by examples.

    Source: McMahan et al. 2017, Algorithm 1.
    """

    def __init__(self) -> None:
        self._sum: NDArray[np.float64] | None = None
        self._counters: NDArray[np.int64] | None = None
        self.total_weight = 0

    def add(self, parameters: Parameters, weight: int) -> None:
        """Add one site's parameters; `weight` is its number of examples, at least 1."""
        if self._sum is None or self._counters is None:
            self._sum = np.zeros(parameters.vector.shape, dtype=np.float64)
            self._counters = parameters.counters.copy()
        for start in range(0, len(self._sum), _SLICE):
            part = slice(start, start + _SLICE)
            self._sum[part] += parameters.vector[part].astype(np.float64) * weight
        np.maximum(self._counters, parameters.counters, out=self._counters)
        self.total_weight += weight

    def mean(self) -> Parameters:
        """Return the mean as float32; integer counters are the largest of the sites'.

        Counters (`num_batches_tracked`) count steps and have no meaningful mean.
        """
        if self._sum is None or self._counters is None:
            raise ValueError("nothing was added")
        vector = np.empty(self._sum.shape, dtype=np.float32)
        for start in range(0, len(self._sum), _SLICE):
            part = slice(start, start + _SLICE)
            vector[part] = self._sum[part] / self.total_weight
        return Parameters(vector, self._counters)
