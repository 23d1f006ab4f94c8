"""Sites that differ in who their patients are: by projection, view, sex, age band, or a column.

A patient goes whole to the value that most of their images have. Which values a site holds is
written into plan.json: a column that tells patients apart is refused.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.partition import ATTRIBUTES
from fedcxr.data.records import DataSet
from fedcxr.errors import ConfigError
from partitions.groups import UNKNOWN, assign_groups, describe
from partitions.patient_table import majority

AGE_BANDS = ((0, 17), (18, 39), (40, 59), (60, 79))
"""Years, both ends included; older patients are 80+."""

_PROJECTIONS = ("AP", "PA")


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
