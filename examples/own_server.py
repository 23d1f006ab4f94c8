"""What a server does with the sites' updates: an algorithm and an aggregator of one's own."""

import numpy as np
from numpy.typing import NDArray

from fedcxr.algorithms.protocol import Algorithm, Doubles, Floats, Round
from fedcxr.section import Section
from server.aggregate.aggregator import AggregatorKind, AggregatorPlace
from server.aggregate.by_number import ByNumber

STEP = 0.5


def damped_step(parameters: Section, found: Round) -> tuple[Doubles, dict[str, Floats]]:
    """Return half of the mean update, and no state to keep."""
    return STEP * found.update, {}


damped = Algorithm("FedAvg with half of the step", damped_step)


def middle(updates: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the middle between the smallest and the largest of each number, (K, P) → (P,)."""
    return (updates.min(axis=0).astype(np.float64) + updates.max(axis=0)) / 2


def make_midrange(place: AggregatorPlace) -> ByNumber:
    """Return the aggregator of a round."""
    return ByNumber(place, middle)


midrange = AggregatorKind("mid-range of each number", make_midrange, needs_all=True, is_mean=False)
