"""How far a site's labels are from those of all sites together."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def js_distance(counts: Sequence[int], whole: Sequence[int]) -> float:
    """Return the Jensen-Shannon distance of two distributions, 0 (alike) to 1 (nothing in common).

    The square root of the divergence in bits, a metric.

    Args:
        counts: (K,) of one site, at least one above 0.
        whole: (K,) of what it is compared with, above 0 wherever `counts` is.

    Source: Endres, Schindelin 2003, "A new metric for probability distributions", IEEE Trans. Inf.
    Theory 49(7).

    >>> js_distance([1, 0], [0, 1]), js_distance([1, 2], [2, 4])
    (1.0, 0.0)
    """
    own, other = (np.asarray(c, dtype=np.float64) / sum(c) for c in (counts, whole))
    middle = (own + other) / 2
    divergence = (_bits(own, middle) + _bits(other, middle)) / 2
    return float(np.sqrt(np.clip(divergence, 0.0, 1.0)))


def _bits(own: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the Kullback-Leibler divergence in bits."""
    held = own > 0
    return float(np.sum(own[held] * np.log2(own[held] / other[held])))
