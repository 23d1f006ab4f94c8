"""From a scheme's name to the site of every patient: the one place that knows all schemes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.partition import PartitionConfig
from fedcxr.data.records import DataSet
from fedcxr.errors import ConfigError, DataError, FedCxrError
from fedcxr.seeding import derive_rng
from partitions.by_attribute import assign_by_attribute, attribute_cells
from partitions.by_source import assign_by_source
from partitions.dirichlet import assign_dirichlet, strata_by_rarest
from partitions.hospitals import assign_hospitals, hospital_strata
from partitions.iid import assign_iid
from partitions.patient_table import PatientTable, majority
from partitions.patients import Grouped
from partitions.quantity import assign_quantity
from partitions.sites_file import assign_by_file
from partitions.splits import MIN_SITE_PATIENTS

FIXED = ("by-attribute", "by-source", "sites-file")
"""Schemes that say of each patient where they belong: nobody is moved to meet a minimum."""


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


def assign(
    patients: Patients, pool: NDArray[np.int64], config: PartitionConfig, seed: int
) -> Assignment:
    """Return the site of each patient of `pool`.

    Args:
        patients: all patients of the data set.
        pool: those that the sites get, at least two a site.
        config: the scheme and its parameters.
        seed: the root seed of the run.

    Raises:
        ConfigError: the scheme does not fit the data set or the number of sites.
        DataError: the file of sites is wrong, forgets a patient, or leaves a site almost empty.
    """
    if config.scheme == "sites-file":
        ids = [patients.grouped.patient_ids[p] for p in pool.tolist()]
        site_of, site_ids = assign_by_file(Path(config.sites_file or ""), ids)
        holds = [""] * len(site_ids)
    else:
        site_ids = numbered(config.clients)
        site_of, holds = _by_scheme(patients, pool, config, seed)
    assignment = Assignment(site_of, site_ids, tuple(holds))
    _check_filled(assignment, config)
    return assignment


def numbered(num_sites: int) -> tuple[str, ...]:
    """Return the ids of so many sites.

    >>> numbered(2)
    ('site-00', 'site-01')
    """
    width = max(2, len(str(num_sites - 1)))
    return tuple(f"site-{site:0{width}d}" for site in range(num_sites))


def scheme_parameters(config: PartitionConfig) -> dict[str, Any]:
    """Return what the scheme and its splits depend on, as plan.json holds it."""
    own = {"dirichlet": "alpha", "quantity": "exponent", "by-attribute": "attribute"}
    names = ["val_fraction", "test_fraction", "site_val_fraction", "min_images", "min_positives"]
    names += [own[config.scheme]] if config.scheme in own else []
    names += [] if config.folds is None else ["folds", "fold"]
    return {name: getattr(config, name) for name in names}


def _by_scheme(
    patients: Patients, pool: NDArray[np.int64], config: PartitionConfig, seed: int
) -> tuple[NDArray[np.int64], list[str]]:
    """Return the site of each patient of the pool, and what each site holds."""
    rng = derive_rng(seed, "partition", config.scheme, config.clients)
    num_sites, patient_of = config.clients, patients.grouped.patient_of
    positive = patients.table.positive[pool]
    nothing = [""] * num_sites
    match config.scheme:
        case "iid":
            return assign_iid(len(pool), num_sites, rng), nothing
        case "dirichlet":
            strata = strata_by_rarest(positive)
            return assign_dirichlet(strata, num_sites, alpha=config.alpha, rng=rng), nothing
        case "quantity":
            exponent = config.exponent
            return assign_quantity(len(pool), num_sites, exponent=exponent, rng=rng), nothing
        case "by-attribute":
            cells, name = attribute_cells(patients.dataset, config.attribute), config.attribute
            return assign_by_attribute(cells, patient_of, pool, num_sites, attribute=name, rng=rng)
        case "by-source":
            return assign_by_source(patients.sources, patients.source_of[pool], num_sites, rng)
        case "hospitals":
            cells = attribute_cells(patients.dataset, "projection")
            values, value_of = majority(cells, patient_of, len(patients.table.images))
            projection = np.array(values)[value_of[pool]]
            strata = hospital_strata(positive, projection, patients.dataset.labels)
            return assign_hospitals(strata, num_sites, rng)
    raise ConfigError(f"partition.scheme={config.scheme}: there is no such scheme.")


def _check_filled(assignment: Assignment, config: PartitionConfig) -> None:
    """Refuse a site that has too few patients to train on."""
    counts = np.bincount(assignment.site_of, minlength=len(assignment.site_ids))
    poorest = int(counts.argmin())
    if counts[poorest] >= MIN_SITE_PATIENTS:
        return
    held = f" ({assignment.holds[poorest]})" if assignment.holds[poorest] else ""
    in_file = config.scheme == "sites-file"
    error: type[FedCxrError] = DataError if in_file else ConfigError
    mend = "Give it more patients in the file" if in_file else "Set --clients lower"
    raise error(
        f"partition.scheme={config.scheme}: {assignment.site_ids[poorest]}{held} would have "
        f"{counts[poorest]} of the {len(assignment.site_of)} patients that are left after global "
        f"validation and test, and each site needs {MIN_SITE_PATIENTS}. {mend}, or name another "
        f"--scheme."
    )
