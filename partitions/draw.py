"""Sites that draw their patients in turn, each from a mix of its own: what several schemes share.

One patient a turn, so that all sites are of equal size, and so that not only the last ones are
left with what remains when a stratum runs out.
"""

import numpy as np
from numpy.typing import NDArray


def draw_in_turn(
    strata: NDArray[np.int64],
    mixes: NDArray[np.float64],
    order: NDArray[np.int64],
    chance: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Return the site of each patient, (P,); site sizes differ by at most one patient.

    A site whose own strata are all empty draws from what is left, in proportion.

    Args:
        strata: (P,) the stratum of each patient, in 0 … K-1.
        mixes: (S, K) how readily each site draws from each stratum, 0 or more.
        order: (P,) a permutation: which patient of a stratum goes first.
        chance: (P,) uniform in [0, 1): of each turn.
    """
    num_sites, num_strata = mixes.shape
    queues = [order[strata[order] == stratum].tolist() for stratum in range(num_strata)]
    remaining = np.array([len(queue) for queue in queues], dtype=np.float64)
    site_of = np.empty(len(strata), dtype=np.int64)
    for turn in range(len(strata)):
        site = turn % num_sites
        weights = mixes[site] * (remaining > 0)
        if not weights.sum() > 0:  # every stratum that this site wants is empty
            weights = remaining
        edges = np.cumsum(weights)
        drawn = int(np.searchsorted(edges, chance[turn] * edges[-1], side="right"))
        site_of[queues[drawn].pop()] = site
        remaining[drawn] -= 1
    return site_of
