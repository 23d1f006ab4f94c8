"""The mean of client-level privacy: shortened updates, each of weight 1, over an expected number.

It divides by how many sites a round expects and not by how many answered, so one site more or less
moves it by no more than C ÷ expected. Float buffers are left out: no site's may be in the model.
"""

from collections.abc import Callable

import numpy as np

from fedcxr.chain import clip_factor
from server.aggregate.aggregator import Aggregate, AggregatorKind, AggregatorPlace
from server.aggregate.mean import add_weighted
from server.check import SiteUpdate

SURPLUS = "surplus"
"""½ for each update no longer than C, -½ for each longer one, added up."""


class ClippedSum:
    """The sum of the shortened updates added so far."""

    def __init__(self, place: AggregatorPlace, *, clip: float, expected: float) -> None:
        spec = place.schema.shared.spec
        self._size, self._clip, self._expected = spec.num_trainable, clip, expected
        self._sum = np.zeros(spec.num_float)
        self._surplus = 0.0
        self._counters = np.zeros(spec.num_counters, np.int64)

    def add(self, update: SiteUpdate) -> None:
        """Add a site's update; it was shortened at the site, and is here, whatever it says."""
        values = update.update[: self._size]
        factor = clip_factor(values, self._clip)
        self._surplus += 0.5 if factor == 1.0 else -0.5
        add_weighted(self._sum[: self._size], values, factor)

    def result(self) -> Aggregate:
        """Return the sum over the expected number; of no update at all it is 0."""
        self._sum /= self._expected
        return Aggregate(self._sum, self._counters, {SURPLUS: np.array([self._surplus])})


def clipped_sum(clip: Callable[[], float], expected: float) -> AggregatorKind:
    """Return the aggregator of a run.

    Args:
        clip: returns C, the longest update, of the round that begins.
        expected: sites in a round.
    """
    return AggregatorKind(
        "mean over the expected number of sites (McMahan et al. 2018)",
        lambda place: ClippedSum(place, clip=clip(), expected=expected),
    )
