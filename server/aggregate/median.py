"""The median of each number over the sites, unweighted.

No single site can move a number beyond what the others send. What it costs: half of the sites may
be ignored in each number, so where sites differ by nature the model is another one than the mean.

Source: Yin et al. 2018, "Byzantine-robust distributed learning: towards optimal statistical rates",
Definition 1 and Algorithm 1, there of gradients, here of updates.
"""

from functools import partial

import numpy as np

from server.aggregate.aggregator import AggregatorKind, AggregatorPlace
from server.aggregate.by_number import ByNumber


def median(place: AggregatorPlace) -> ByNumber:
    """Return the aggregator; of two values in the middle it takes their mean."""
    return ByNumber(place, partial(np.median, axis=0))


AGGREGATORS = {
    "median": AggregatorKind(
        "median of each number (Yin et al. 2018)", median, needs_all=True, is_mean=False
    )
}
