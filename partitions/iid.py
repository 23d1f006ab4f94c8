"""Sites that differ only by chance: patients dealt out at random, in equal numbers."""

import numpy as np
from numpy.typing import NDArray


def assign_iid(num_patients: int, num_sites: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the site of each patient, (P,); site sizes differ by at most one patient."""
    site_of = np.empty(num_patients, dtype=np.int64)
    site_of[rng.permutation(num_patients)] = np.arange(num_patients) % num_sites
    return site_of
