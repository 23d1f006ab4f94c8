"""Sites of joined data sets, each with the patients of one: CheXpert is some, NIH others.

Labels that a source does not have are masked in its records (`fedcxr/data/labels.py`): a site of
that source neither learns nor is scored on them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedcxr.errors import ConfigError
from partitions.groups import assign_groups, describe


def assign_by_source(
    names: Sequence[str],
    source_of: NDArray[np.int64],
    num_sites: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], list[str]]:
    """Return the site of each patient, (P,), and the source of each site.

    Args:
        names: of the sources.
        source_of: (P,) the source of each patient, in 0 … sources-1.
        num_sites: how many sites, shared among the sources in proportion to their patients.
        rng: deals the patients of a source among its sites.

    Raises:
        ConfigError: the patients are of one source, or there are fewer sites than sources.
    """
    present, group_of = np.unique(source_of, return_inverse=True)
    if len(present) < 2:
        raise ConfigError(
            "partition.scheme=by-source: the patients are of one data set. Give the folders of two "
            "or more (`fedcxr partition DIR DIR2`, or --data twice), or name another --scheme."
        )
    if num_sites < len(present):
        raise ConfigError(
            f"partition.clients={num_sites}: by-source needs a site for each of the {len(present)} "
            f"data sets. Set --clients {len(present)} or more."
        )
    site_of, holds = assign_groups(group_of, num_sites, join_small=False, rng=rng)
    return site_of, [describe([names[present[group]] for group in groups]) for groups in holds]
