"""Sites whose label mix differs: each draws its patients from a mix of its own.

Every site has a distribution over strata, q ~ Dir(α·p) with p the strata's shares of all patients,
and draws as many patients as every other site. Large α gives iid sites; small α gives sites that
see mostly one kind of patient. Sites differ in labels and not in size.

Source: Hsu, Qi, Brown 2019, "Measuring the effects of non-identical data distribution for
federated visual classification", §3 (arXiv:1909.06335).

Deviations: whole patients are drawn, not images; a patient has many labels and is counted in the
stratum of the rarest one that any of their images shows; the sites draw in turn, one patient each
(`partitions/draw.py`).
"""

import numpy as np
from numpy.typing import NDArray

from partitions.draw import draw_in_turn

_CONCENTRATION_RANGE = (1e-6, 1e9)
"""Of one stratum; outside it the gamma variates under a Dirichlet draw under- or overflow."""


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
