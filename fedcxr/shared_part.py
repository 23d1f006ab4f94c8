"""The part of a model's state that sites share, cut out of the whole and put back.

What is private to a site (batch-norm statistics under `batch_norm: local`, all of batch norm under
FedBN) never leaves it: what is sent and averaged has the layout of the shared part alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.parameters import Parameters, ParameterSpec


@dataclass(frozen=True)  # no slots: cached_property keeps its value in the instance
class SharedPart:
    """Which tensors of a model cross the wire towards the server."""

    whole: ParameterSpec
    private: frozenset[str] = frozenset()
    """Names of the tensors that stay at each site."""

    @cached_property
    def spec(self) -> ParameterSpec:
        """The layout of the shared tensors."""
        if not self.private:
            return self.whole
        rows = zip(self.whole.names, self.whole.shapes, self.whole.kinds, strict=True)
        kept = [row for row in rows if row[0] not in self.private]
        names, shapes, kinds = zip(*kept, strict=True) if kept else ((), (), ())
        return ParameterSpec(tuple(names), tuple(shapes), tuple(kinds))

    @cached_property
    def owns_buffers(self) -> bool:
        """Whether a site has batch-norm statistics of its own."""
        kinds = dict(zip(self.whole.names, self.whole.kinds, strict=True))
        return any(kinds[name] == "buffer" for name in self.private)

    def take(self, parameters: Parameters) -> Parameters:
        """Return the shared values of a model's state; all of it where nothing is private."""
        return self._cut(parameters, is_private=False)

    def take_private(self, parameters: Parameters) -> Parameters:
        """Return the values of a model's state that stay at the site."""
        return self._cut(parameters, is_private=True)

    def put(self, shared: Parameters, parameters: Parameters) -> Parameters:
        """Return a model's state with other shared values."""
        return self._joined(shared, parameters, is_private=False)

    def put_private(self, private: Parameters, parameters: Parameters) -> Parameters:
        """Return a model's state with other private values."""
        return self._joined(private, parameters, is_private=True)

    def _cut(self, parameters: Parameters, *, is_private: bool) -> Parameters:
        if not self.private and not is_private:
            return parameters
        floats, counters = self._places(is_private)
        return Parameters(
            _pieces(parameters.vector, floats), _pieces(parameters.counters, counters)
        )

    def _joined(self, part: Parameters, parameters: Parameters, *, is_private: bool) -> Parameters:
        if not self.private:
            return parameters if is_private else part
        floats, counters = self._places(is_private)
        return Parameters(
            _filled(parameters.vector, floats, part.vector),
            _filled(parameters.counters, counters, part.counters),
        )

    def _places(self, is_private: bool) -> tuple[list[slice], list[slice]]:
        """Return where the private or the other tensors lie in the vector and the counters."""
        floats: list[slice] = []
        counters: list[slice] = []
        spec = self.whole
        rows = zip(spec.names, spec.offsets, spec.sizes, spec.kinds, strict=True)
        for name, offset, size, kind in rows:
            if (name in self.private) == is_private:
                place = counters if kind == "counter" else floats
                place.append(slice(offset, offset + size))
        return floats, counters


def _pieces(vector: NDArray[Any], places: Sequence[slice]) -> NDArray[Any]:
    empty = vector[:0]
    return np.concatenate([empty, *(vector[place] for place in places)])


def _filled(vector: NDArray[Any], places: Sequence[slice], part: NDArray[Any]) -> NDArray[Any]:
    filled, start = vector.copy(), 0
    for place in places:
        size = place.stop - place.start
        filled[place] = part[start : start + size]
        start += size
    return filled
