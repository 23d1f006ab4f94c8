"""Who masks with whom: each site with k others instead of all, and how many shares open a secret.

The sites stand in a circle in random order, and each is the neighbour of the k / 2 next to it on
either side (a Harary graph). A secret has k + 1 holders: the neighbours, and its owner. The
threshold is a majority of them, so that no two separate groups of holders can open two secrets of
one site. k is the smallest even number with which, where `DROPPED` of the sites are silent and
`CORRUPT` of them tell the server all they know, each of these is unlikely enough: that corrupt
neighbours can open an honest site's secret, that the honest sites left fall into parts whose sums
would show one by one (both: privacy, 2**-40), and that too few holders are left to open one
(correctness, 2**-30). Where no k below all others is enough, every site is everyone's neighbour,
and none of these can happen.

Source: Bell et al. 2020, "Secure single-server aggregation with (poly)logarithmic overhead", §3.
Their bounds are replaced by the hypergeometric tails themselves.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

DROPPED = Fraction(3, 10)
"""Share of the sites that may fall silent, at any stages, in all."""
CORRUPT = Fraction(1, 3)
"""Share of the sites that may tell the server all they know."""
PRIVACY = 2.0**-40
CORRECTNESS = 2.0**-30
COMPLETE_UP_TO = 20
"""Sites that are all neighbours whatever the bounds say: masks for few are cheap, and without a
circle more of them may fall silent."""
FEWEST_SITES = 3
"""A sum of fewer shows a site's own to another that takes its own away."""


@dataclass(frozen=True, slots=True)
class GraphPlan:
    """What follows from the number of sites."""

    sites: int
    degree: int
    """k: neighbours of each site."""
    threshold: int
    """t: shares that open a secret, of the k + 1 that there are."""
    fewest: int
    """Sites that must be in the sum; with fewer the round ends and nothing is unmasked."""
    privacy_failure: float
    """Probability, over the order of the circle, that what should be hidden is not."""
    correctness_failure: float
    """Probability that a round ends without a sum though no more sites are silent than may be."""

    @property
    def is_complete(self) -> bool:
        """Whether every site is everyone's neighbour."""
        return self.degree == self.sites - 1

    @property
    def most_dropped(self) -> int:
        """Return how many sites may fall silent in a round."""
        return self.sites - self.fewest


@lru_cache(maxsize=64)
def graph_plan(sites: int) -> GraphPlan:
    """Return degree and threshold for so many sites.

    Raises:
        ValueError: they are fewer than `FEWEST_SITES`.
    """
    if sites < FEWEST_SITES:
        raise ValueError(f"secure aggregation needs at least {FEWEST_SITES} sites, not {sites}")
    dropped, corrupt = int(DROPPED * sites), int(CORRUPT * sites)
    for degree in range(2, sites - 1, 2) if sites > COMPLETE_UP_TO else ():
        threshold = majority(degree)
        hidden = privacy_failure(sites, degree, threshold, corrupt, dropped)
        opened = correctness_failure(sites, degree, threshold, dropped)
        if hidden <= PRIVACY and opened <= CORRECTNESS:
            return GraphPlan(sites, degree, threshold, sites - dropped, hidden, opened)
    threshold = majority(sites - 1)
    return GraphPlan(sites, sites - 1, threshold, max(threshold, corrupt + 2), 0.0, 0.0)


def majority(degree: int) -> int:
    """Return the threshold: more than half of a secret's holders.

    >>> majority(2), majority(3), majority(4)
    (2, 3, 3)
    """
    return (degree + 1) // 2 + 1


def privacy_failure(sites: int, degree: int, threshold: int, corrupt: int, dropped: int) -> float:
    """Return a bound on the probability that an honest site's values show.

    The first term is a union over the honest sites of the exact tail that its corrupt neighbours
    are `threshold` or more. The second is a union over pairs of places in the circle: the sites
    left fall apart only if two separate runs of degree / 2 places are all corrupt or silent.
    """
    opened = (sites - corrupt) * at_least(threshold, sites - 1, corrupt, degree)
    gone = corrupt + dropped
    parted = math.comb(sites, 2) * at_least(degree, sites, gone, degree)
    return min(1.0, opened + parted)


def correctness_failure(sites: int, degree: int, threshold: int, dropped: int) -> float:
    """Return a bound on the probability that some secret has too few holders left.

    A union over all sites. Of a silent one its neighbours hold the secret, of another one it also
    holds a share itself; the first is the worse.
    """
    others = sites - 1
    left = others - max(0, dropped - 1)
    # Fewer than t of the k neighbours answer where more than k - t of them are silent.
    silent = at_least(degree - threshold + 1, others, others - left, degree)
    answering = at_least(degree - threshold + 2, others, dropped, degree)
    return min(1.0, dropped * silent + (sites - dropped) * answering)


def at_least(least: int, total: int, marked: int, drawn: int) -> float:
    """Return the probability that `least` or more of those drawn are marked (hypergeometric).

    Counted in whole numbers and divided once, so that a tail of 1e-40 is as exact as any.

    >>> at_least(2, total=4, marked=2, drawn=2) == 1 / 6
    True
    """
    most = min(marked, drawn)
    ways = sum(
        math.comb(marked, number) * math.comb(total - marked, drawn - number)
        for number in range(max(least, 0), most + 1)
    )
    return ways / math.comb(total, drawn)


def neighbours(circle: Sequence[str], degree: int, site_id: str) -> tuple[str, ...]:
    """Return a site's neighbours, in the circle's order.

    Args:
        circle: all sites, in random order.
        degree: even, or all others.
        site_id: one of them.

    >>> neighbours(["a", "b", "c", "d", "e"], 2, "a")
    ('b', 'e')
    """
    count, place = len(circle), circle.index(site_id)
    if degree >= count - 1:
        return tuple(other for other in circle if other != site_id)
    near = {(place + step) % count for step in range(1, degree // 2 + 1)}
    near |= {(place - step) % count for step in range(1, degree // 2 + 1)}
    return tuple(circle[other] for other in sorted(near))
