"""Which sites take part in a round: drawn by site from the seed, never by node id.

Flower's node ids change from run to run, site ids do not: the same seed asks the same sites.
"""

import math
from collections.abc import Sequence

from fedcxr.seeding import derive_rng


def cohort_size(num_sites: int, fraction: float) -> int:
    """Return the number of sites in every round: `fraction` of all, rounded up, at least one.

    >>> cohort_size(5, 0.5)
    3
    """
    return max(1, math.ceil(fraction * num_sites - 1e-9))


def draw_cohort(site_ids: Sequence[str], fraction: float, seed: int, round_num: int) -> list[str]:
    """Return the sites of a round, sorted: `fraction` of all, at least one.

    >>> draw_cohort(["b", "a", "c"], 1.0, seed=0, round_num=1)
    ['a', 'b', 'c']
    """
    ordered = sorted(site_ids)
    size = cohort_size(len(ordered), fraction)
    if size == len(ordered):
        return ordered
    picked = derive_rng(seed, "cohort", round_num).choice(len(ordered), size=size, replace=False)
    return [ordered[i] for i in sorted(picked)]
