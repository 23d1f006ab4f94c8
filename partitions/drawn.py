"""Sites whose patients are drawn at random: alike, of different label mix, or of different size.

`iid`: sites differ only by chance. `quantity`: they differ in size and, but for chance, in nothing
else. `dirichlet`: they differ in labels and not in size. Every site has a distribution over strata,
q ~ Dir(α·p) with p the strata's shares of all patients, and draws as many patients as every other
site. Large α gives iid sites; small α gives sites that see mostly one kind of patient.

Source of `dirichlet`: Hsu, Qi, Brown 2019, "Measuring the effects of non-identical data
distribution for federated visual classification", §3 (arXiv:1909.06335).

Deviations: whole patients are drawn, not images; a patient has many labels and is counted in the
stratum of the rarest one that any of their images shows; the sites draw in turn, one patient each,
so that not only the last ones are left with what remains when a stratum runs out.
"""

import numpy as np
from numpy.typing import NDArray

from partitions.scheme import Assignment, ToShare
from partitions.splits import MIN_SITE_PATIENTS

_CONCENTRATION_RANGE = (1e-6, 1e9)
"""Of one stratum; outside it the gamma variates under a Dirichlet draw under- or overflow."""


def iid(share: ToShare) -> Assignment:
    """Return sites that differ only by chance."""
    return share.to_numbered(assign_iid(len(share.pool), share.config.clients, share.rng))


def dirichlet(share: ToShare) -> Assignment:
    """Return sites that differ in labels, the more the smaller `alpha` is."""
    strata, config = strata_by_rarest(share.positive), share.config
    return share.to_numbered(
        assign_dirichlet(strata, config.clients, alpha=config.alpha, rng=share.rng)
    )


def quantity(share: ToShare) -> Assignment:
    """Return sites that differ in size, the more the larger `exponent` is."""
    num_patients, config = len(share.pool), share.config
    return share.to_numbered(
        assign_quantity(num_patients, config.clients, exponent=config.exponent, rng=share.rng)
    )


def assign_iid(num_patients: int, num_sites: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the site of each patient, (P,); site sizes differ by at most one patient."""
    site_of = np.empty(num_patients, dtype=np.int64)
    site_of[rng.permutation(num_patients)] = np.arange(num_patients) % num_sites
    return site_of


def strata_by_rarest(positive: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return each patient's stratum: the positive label that fewest patients have.

    Args:
        positive: (P, L), whether any image of the patient shows the label.

    Returns:
        (P,) in 0 … L; L is the stratum of patients without a positive label.

    >>> strata_by_rarest(np.array([[1, 1], [1, 0], [0, 0]], dtype=bool))
    array([1, 0, 2])
    """
    num_labels = positive.shape[1]
    rarest_first = np.argsort(positive.sum(axis=0), kind="stable")
    first = positive[:, rarest_first].argmax(axis=1)
    stratum: NDArray[np.int64] = np.where(positive.any(axis=1), rarest_first[first], num_labels)
    return stratum


def assign_dirichlet(
    strata: NDArray[np.int64], num_sites: int, *, alpha: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the site of each patient, (P,); site sizes differ by at most one patient.

    Args:
        strata: (P,) the stratum of each patient.
        num_sites: how many sites draw.
        alpha: concentration; small = sites differ more.
        rng: the only source of chance.
    """
    present, stratum_of = np.unique(strata, return_inverse=True)
    order = rng.permutation(len(strata))
    counts = np.bincount(stratum_of, minlength=len(present)).astype(np.float64)
    concentration = np.clip(alpha * counts / counts.sum(), *_CONCENTRATION_RANGE)
    mixes = rng.dirichlet(concentration, size=num_sites)  # (sites, strata)
    return draw_in_turn(stratum_of, mixes, order, rng.random(len(strata)))


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

    Site k holds patients in proportion to (k + 1) ** -exponent: 0 gives equal sites, 1 gives the
    second site half of what the first one has. Largest-remainder rounding. The sites that would
    hold fewer than two patients hold two, which they cannot do without, and the others share the
    rest by the same law: the smallest sites of a steep law are larger than the law says.

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
