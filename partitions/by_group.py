"""Sites that differ in who their patients are: by an attribute, or by the data set they are of.

A patient goes whole to the value that most of their images have. Which values a site holds is
written into plan.json: a column that tells patients apart is refused.

Of joined data sets each site may have the patients of one: CheXpert is some, NIH others. Labels
that a source does not have are masked in its records (`fedcxr/data/labels.py`): a site of that
source neither learns nor is scored on them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.partition import ATTRIBUTES
from fedcxr.data.records import DataSet
from fedcxr.errors import ConfigError
from partitions.groups import UNKNOWN, assign_groups, describe
from partitions.patient_table import majority
from partitions.scheme import Assignment, ToShare

AGE_BANDS = ((0, 17), (18, 39), (40, 59), (60, 79))
"""Years, both ends included; older patients are 80+."""

_PROJECTIONS = ("AP", "PA")


def by_attribute(share: ToShare) -> Assignment:
    """Return sites that differ in an attribute of their patients."""
    name, dataset = share.config.attribute, share.patients.dataset
    site_of, holds = assign_by_attribute(
        attribute_cells(dataset, name),
        share.patients.grouped.patient_of,
        share.pool,
        share.config.clients,
        attribute=name,
        rng=share.rng,
    )
    return share.to_numbered(site_of, holds)


def by_source(share: ToShare) -> Assignment:
    """Return sites each of which has patients of one data set."""
    patients = share.patients
    source_of = patients.source_of[share.pool]
    return share.to_numbered(
        *assign_by_source(patients.sources, source_of, share.config.clients, share.rng)
    )


def attribute_cells(dataset: DataSet, attribute: str) -> list[str]:
    """Return the attribute of each record, (N,), blank where it is not known.

    Projections other than AP and PA are not known: the 17 of CheXpert are slips of the pen.
    """
    records = dataset.records
    if attribute == "projection":
        return [r.projection if r.projection in _PROJECTIONS else "" for r in records]
    if attribute == "view":
        return [record.view for record in records]
    if attribute == "sex":
        return [record.sex for record in records]
    if attribute == "age_band":
        return [age_band(record.age) for record in records]
    return [record.attribute for record in records]


def age_band(age: int | None) -> str:
    """Return the band of an age in years, blank for none.

    >>> age_band(17), age_band(18), age_band(80), age_band(None)
    ('0-17', '18-39', '80+', '')
    """
    if age is None:
        return ""
    return next((f"{low}-{high}" for low, high in AGE_BANDS if age <= high), "80+")


def assign_by_attribute(
    cells: Sequence[str],
    patient_of: NDArray[np.int64],
    pool: NDArray[np.int64],
    num_sites: int,
    *,
    attribute: str,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], list[str]]:
    """Return the site of each patient of `pool`, and which values each site holds.

    Args:
        cells: (N,) the value of each image, blank = unknown.
        patient_of: (N,) the patient of each image.
        pool: the patients that the sites get.
        num_sites: how many sites.
        attribute: its name, for messages.
        rng: deals the patients of one value among its sites.

    Raises:
        ConfigError: all patients have one value, or hardly two have the same.
    """
    values, value_of = majority(cells, patient_of, int(patient_of.max()) + 1)
    present, group_of = np.unique(value_of[pool], return_inverse=True)
    names = [values[value] for value in present.tolist()]
    _check_values(names, len(pool), attribute)
    site_of, holds = assign_groups(group_of, num_sites, join_small=True, rng=rng)
    return site_of, [describe([names[group] for group in groups]) for groups in holds]


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


def _check_values(names: list[str], num_patients: int, attribute: str) -> None:
    if len(names) == 1:
        raise ConfigError(
            f"partition.attribute={attribute}: all {num_patients} patients are "
            f"{names[0][:40] or UNKNOWN!r}, so that there is nothing to tell sites apart by. Name "
            f"another --attribute or another --scheme."
        )
    known = [name for name in names if name]
    if attribute not in ATTRIBUTES and len(known) > num_patients / 2:
        raise ConfigError(
            f"partition.attribute={attribute}: {len(known)} different values among {num_patients} "
            f"patients tell patients apart, not sites. Name a column that patients share."
        )
