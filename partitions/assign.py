"""From a scheme's name to the site of every patient: the registry of the schemes."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.flag import flagged_keys
from fedcxr.config.partition import SCHEME_GROUP, PartitionConfig
from fedcxr.errors import ConfigError, DataError, FedCxrError
from fedcxr.registry import Registry
from fedcxr.seeding import derive_rng
from partitions.by_group import by_attribute, by_source
from partitions.drawn import dirichlet, iid, quantity
from partitions.hospitals import hospitals
from partitions.scheme import Assignment, Patients, Scheme, ToShare
from partitions.sites_file import by_file
from partitions.splits import MIN_SITE_PATIENTS


def _accept(value: object) -> Scheme:
    """Make a scheme of a `Scheme`, or of a function from patients to the site of each."""
    if isinstance(value, Scheme):
        return value
    if not callable(value) or isinstance(value, type):
        raise TypeError(
            "is no function of a partitions.scheme.ToShare that returns the site of each patient, "
            "(P,) in 0 … clients-1, and no partitions.scheme.Scheme"
        )
    return Scheme(partial(_assign_by_own, value))


SCHEMES: Registry[Scheme] = Registry("partition.scheme", "scheme", SCHEME_GROUP, _accept)
SCHEMES.add("iid", Scheme(iid))
SCHEMES.add("dirichlet", Scheme(dirichlet))
SCHEMES.add("quantity", Scheme(quantity))
SCHEMES.add("by-attribute", Scheme(by_attribute, is_fixed=True))
SCHEMES.add("by-source", Scheme(by_source, is_fixed=True))
SCHEMES.add("hospitals", Scheme(hospitals))
SCHEMES.add("sites-file", Scheme(by_file, is_fixed=True))


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
    rng = derive_rng(seed, "partition", config.scheme, config.clients)
    assignment = scheme.assign(ToShare(patients, pool, config, rng))
    _check_shape(assignment, len(pool), config)
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


def _assign_by_own(own: Callable[[ToShare], object], share: ToShare) -> Assignment:
    """Return what a user's function gives, for sites called by their numbers."""
    try:
        found = own(share)
        return found if isinstance(found, Assignment) else share.to_numbered(np.asarray(found))
    except FedCxrError:
        raise
    except Exception as err:  # whatever a user's function raises
        raise ConfigError(
            f"partition.scheme = {share.config.scheme}: fails ({type(err).__name__}: {err})."
        ) from err


def _check_shape(assignment: Assignment, num_patients: int, config: PartitionConfig) -> None:
    """Raise ConfigError unless each patient has one of the sites."""
    site_of, num_sites = assignment.site_of, len(assignment.site_ids)
    is_whole = site_of.shape == (num_patients,) and np.issubdtype(site_of.dtype, np.integer)
    if not is_whole or not num_patients or site_of.min() < 0 or site_of.max() >= num_sites:
        raise ConfigError(
            f"partition.scheme = {config.scheme}: gives {site_of.dtype} {list(site_of.shape)}, "
            f"expected a whole number in 0 … {num_sites - 1} for each of {num_patients} patients."
        )


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
