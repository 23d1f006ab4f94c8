"""Sites that differ in size and, but for chance, in nothing else: a power law of patients.

Site k holds patients in proportion to (k + 1) ** -exponent: 0 gives equal sites, 1 gives the second
site half of what the first one has. A site holds at least the two patients that it cannot do
without; with them the smallest sites of a steep law are larger than the law says.
"""

import numpy as np
from numpy.typing import NDArray

from partitions.splits import MIN_SITE_PATIENTS


def assign_quantity(
    num_patients: int, num_sites: int, *, exponent: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the site of each patient, (P,); the patients are dealt out at random."""
    sizes = power_law_sizes(num_patients, num_sites, exponent)
    site_of = np.empty(num_patients, dtype=np.int64)
    site_of[rng.permutation(num_patients)] = np.repeat(np.arange(num_sites), sizes)
    return site_of


def power_law_sizes(num_patients: int, num_sites: int, exponent: float) -> NDArray[np.int64]:
    """Return how many patients each site holds, (S,), the largest site first.

    Largest-remainder rounding. The sites that would hold fewer than two patients hold two, and the
    others share the rest by the same law.

    Args:
        num_patients: at least two a site.
        num_sites: S.
        exponent: 0 or more.

    >>> power_law_sizes(110, 4, 1.0)  # in proportion to 12 : 6 : 4 : 3
    array([53, 26, 18, 13])
    >>> power_law_sizes(20, 4, 5.0)
    array([14,  2,  2,  2])
    """
    weights = np.arange(1, num_sites + 1, dtype=np.float64) ** -exponent
    large = num_sites
    while True:
        rest = num_patients - MIN_SITE_PATIENTS * (num_sites - large)
        quotas = rest * weights[:large] / weights[:large].sum()
        # quotas fall, so these are the first ones; the very first holds whatever rounding says
        held = max(1, int((quotas >= MIN_SITE_PATIENTS).sum()))
        if held == large:
            break
        large = held
    sizes = np.full(num_sites, MIN_SITE_PATIENTS, dtype=np.int64)
    sizes[:large] = np.floor(quotas)
    remainders = quotas - sizes[:large]
    first = np.argsort(-remainders, kind="stable")[: num_patients - int(sizes.sum())]
    sizes[first] += 1
    return sizes
