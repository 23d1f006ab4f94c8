"""From a scheme's name to the site of every patient: the registry of the schemes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.flag import flagged_keys
from fedcxr.config.partition import PartitionConfig, SchemeName
from fedcxr.errors import ConfigError, DataError, FedCxrError
from fedcxr.seeding import derive_rng
from partitions.by_group import by_attribute, by_source
from partitions.drawn import dirichlet, iid, quantity
from partitions.hospitals import hospitals
from partitions.scheme import Assignment, Patients, Scheme, ToShare
from partitions.sites_file import by_file
from partitions.splits import MIN_SITE_PATIENTS

SCHEMES: Mapping[SchemeName, Scheme] = {
    "iid": Scheme(iid),
    "dirichlet": Scheme(dirichlet),
    "quantity": Scheme(quantity),
    "by-attribute": Scheme(by_attribute, is_fixed=True),
    "by-source": Scheme(by_source, is_fixed=True),
    "hospitals": Scheme(hospitals),
    "sites-file": Scheme(by_file, is_fixed=True),
}


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
    scheme = SCHEMES.get(config.scheme)
    if scheme is None:
        raise ConfigError(f"partition.scheme={config.scheme}: there is no such scheme.")
    rng = derive_rng(seed, "partition", config.scheme, config.clients)
    assignment = scheme.assign(ToShare(patients, pool, config, rng))
    _check_filled(assignment, config)
    return assignment


def scheme_parameters(config: PartitionConfig) -> dict[str, Any]:
    """Return what the scheme and its splits depend on, as plan.json holds it; no path."""
    names = ["val_fraction", "test_fraction", "site_val_fraction", "min_images", "min_positives"]
    for flagged in flagged_keys(PartitionConfig):
        if flagged.chooses == ("scheme", config.scheme) and not flagged.is_path:
            names.append(flagged.key)
    folds = {} if config.folds is None else {"folds": config.folds, "fold": config.test_fold}
    sizes = {}
    if config.class_sizes is not None:
        names = [name for name in names if name not in ("val_fraction", "test_fraction")]
        sizes = {"class_sizes": config.class_sizes.model_dump(mode="json")}
    return {**{name: getattr(config, name) for name in names}, **folds, **sizes}


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
