"""Vectors with a name, and what is declared of each: nothing else crosses between server and site.

A declaration says dtype and length. Both sides derive the same ones from the run's task, so a
vector of another name, dtype or length is refused before a value of it is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class VectorSpec:
    """What is declared of a vector."""

    dtype: str
    """As NumPy writes it, with its byte order: `<f4`."""
    length: int


Declared = Mapping[str, VectorSpec]


def problem_of(vectors: Vectors, declared: Declared) -> str:
    """Return in a phrase what of the vectors is not as declared; empty if all is.

    >>> problem_of({"update": np.zeros(3, np.float32)}, {"update": VectorSpec("<f4", 4)})
    "'update' has 3 numbers, expected 4"
    """
    for name in sorted(vectors.keys() | declared.keys()):
        if name not in declared:
            return f"'{name[:40]}' is not declared"
        if name not in vectors:
            return f"'{name}' is missing"
        vector, spec = vectors[name], declared[name]
        if vector.dtype != np.dtype(spec.dtype) or vector.ndim != 1:
            return (
                f"'{name}' is {vector.dtype} with {vector.ndim} dimensions, "
                f"expected {np.dtype(spec.dtype)} with 1"
            )
        if len(vector) != spec.length:
            return f"'{name}' has {len(vector)} numbers, expected {spec.length}"
    return ""
