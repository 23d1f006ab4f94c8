"""Hospitals of an urban area: one large that sees the multimorbid, and small ones."""

import numpy as np
from numpy.typing import NDArray

from partitions.scheme import ToShare

LARGE = 0.5
"""Share of the patients at the large hospital."""


def one_large(share: ToShare) -> NDArray[np.int64]:
    """Return the site of each patient, (P,): those with most findings at site 0, others dealt."""
    num_patients, num_sites = len(share.pool), share.config.clients
    # chance orders the patients with as many findings
    order = np.lexsort((share.rng.random(num_patients), -share.positive.sum(axis=1)))
    num_large = round(LARGE * num_patients) if num_sites > 1 else num_patients
    site_of = np.zeros(num_patients, dtype=np.int64)
    others = share.rng.permutation(order[num_large:])
    site_of[others] = 1 + np.arange(len(others)) % max(1, num_sites - 1)
    return site_of
