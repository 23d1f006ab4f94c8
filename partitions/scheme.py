"""What every scheme is given, and what it gives: patients to share, and the site of each."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.partition import PartitionConfig
from fedcxr.data.records import DataSet
from partitions.patient_table import PatientTable
from partitions.patients import Grouped


@dataclass(frozen=True, slots=True)
class Patients:
    """The patients of a data set, and what schemes may know of them."""

    dataset: DataSet
    grouped: Grouped
    table: PatientTable
    sources: tuple[str, ...]
    source_of: NDArray[np.int64]
    """(P,) positions in `sources`."""

    def strata(self) -> NDArray[np.bool_]:
        """Return what every split is to have its share of, (P, K): labels, and joined sources."""
        if len(self.sources) < 2:
            return self.table.positive
        of_source = self.source_of[:, None] == np.arange(len(self.sources))
        return np.hstack([self.table.positive, of_source])


@dataclass(frozen=True, slots=True)
class Assignment:
    """Patients given to sites."""

    site_of: NDArray[np.int64]
    """(P,) of the patients to share, in 0 … S-1."""
    site_ids: tuple[str, ...]
    holds: tuple[str, ...]
    """What each site holds by its scheme, such as `AP` or `inpatient`; blank where nothing can be
    said."""


@dataclass(frozen=True, slots=True)
class ToShare:
    """The patients that a scheme gives to sites."""

    patients: Patients
    """All of the data set."""
    pool: NDArray[np.int64]
    """(P,) those that the sites get."""
    config: PartitionConfig
    """The number of sites, and the parameters of the schemes."""
    rng: np.random.Generator
    """The only source of chance."""

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Return whether any image of a patient of the pool shows the label, (P, L)."""
        return self.patients.table.positive[self.pool]

    def to_numbered(self, site_of: NDArray[np.int64], holds: list[str] | None = None) -> Assignment:
        """Return the patients as given to sites that are called by their numbers."""
        num_sites = self.config.clients
        return Assignment(site_of, numbered(num_sites), tuple(holds or [""] * num_sites))


@dataclass(frozen=True, slots=True)
class Scheme:
    """One way to give patients to sites."""

    assign: Callable[[ToShare], Assignment]
    is_fixed: bool = False
    """Whether it says of each patient where they belong: nobody is moved to meet a minimum."""


def numbered(num_sites: int) -> tuple[str, ...]:
    """Return the ids of so many sites.

    >>> numbered(2)
    ('site-00', 'site-01')
    """
    width = max(2, len(str(num_sites - 1)))
    return tuple(f"site-{site:0{width}d}" for site in range(num_sites))
