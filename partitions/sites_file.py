"""Who is at which site, from a CSV file with the columns `patient_id` and `site`.

The names of the sites become their ids. Patients are told by `normal_id`, so the file may spell
them in any way that a table does. Patients of the file whom the data set does not have, or whose
images all are of another view, harm nobody; a patient whom the file forgets is an error, and so no
slip of the pen goes unseen.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.identity import normal_id, normal_ids
from fedcxr.data.readers.tables import read_table_file
from fedcxr.errors import DataError, LeakError, RecordError, some
from partitions.patients import shown_id
from partitions.plan_folder import GLOBAL, SITE_ID, site_file
from partitions.scheme import Assignment, ToShare

COLUMNS = ("patient_id", "site")


def site_names(csv_path: Path) -> tuple[str, ...]:
    """Return the sites that the file names, in the order of their files' names.

    Raises:
        RecordError: not a table with the two columns, or a wrong name of a site.
        LeakError: a patient is at two sites.
    """
    return _in_order(set(_read(csv_path).values()))


def by_file(share: ToShare) -> Assignment:
    """Return the sites of the file that the configuration names; as many as it has."""
    ids = [share.patients.grouped.patient_ids[p] for p in share.pool.tolist()]
    site_of, site_ids = assign_by_file(Path(share.config.sites_file or ""), ids)
    return Assignment(site_of, site_ids, ("",) * len(site_ids))


def assign_by_file(
    csv_path: Path, patient_ids: Sequence[str]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the site of each patient, (P,), and the names of the sites.

    Args:
        csv_path: the file.
        patient_ids: (P,) in any spelling.

    Raises:
        RecordError: not a table with the two columns, or a wrong name of a site.
        LeakError: a patient is at two sites.
        DataError: the file says nothing of a patient.
    """
    site_of = _read(csv_path)
    patient_ids = [normal_id(patient_id) for patient_id in patient_ids]
    forgotten = [patient_id for patient_id in patient_ids if patient_id not in site_of]
    if forgotten:
        unused = len(site_of) - (len(patient_ids) - len(forgotten))
        raise DataError(
            f"{csv_path}: {len(forgotten)} of {len(patient_ids)} patients to share are not in the "
            f"file: {some([shown_id(p) for p in forgotten])} (hashed), and {unused} of its "
            f"patients are not among them. Add the missing ones by the data set's names: "
            f"patient00001 in CheXpert, 1 in NIH ChestX-ray14, and with the source before them "
            f"where data sets are joined (chexpert/patient00001)."
        )
    names = _in_order(set(site_of.values()))
    number = {name: i for i, name in enumerate(names)}
    return np.array([number[site_of[p]] for p in patient_ids], dtype=np.int64), names


def _read(csv_path: Path) -> dict[str, str]:
    """Return the site of each patient of the file, by `normal_id`."""
    table = read_table_file(csv_path)
    table.require(COLUMNS)
    cells, sites = (table.columns[name] for name in COLUMNS)
    known = normal_ids(cells)
    blank = [i for i, cell in enumerate(cells) if not known[cell]]
    table.refuse(blank, "patient_id", "the id of a patient")
    good = {site for site in set(sites) if SITE_ID.fullmatch(site) and site.lower() != GLOBAL}
    wrong = [i for i, site in enumerate(sites) if site not in good]
    expected = "1 to 64 letters, digits, '.', '_' and '-', a letter or digit first, not 'global'"
    table.refuse(wrong, "site", expected)
    if len({site.lower() for site in good}) < len(good):
        raise RecordError(
            f"{csv_path}: two names of sites differ only in upper and lower case, which some disks "
            f"take for one file. Spell each site in one way."
        )
    site_of: dict[str, str] = {}
    at_two: dict[str, int] = {}
    for row, (cell, site) in enumerate(zip(cells, sites, strict=True), start=2):
        if site_of.setdefault(known[cell], site) != site:
            at_two.setdefault(known[cell], row)
    if at_two:
        shown = [f"{shown_id(patient)} in row {row}" for patient, row in sorted(at_two.items())]
        raise LeakError(
            f"{csv_path}: {len(at_two)} patients are at two sites: {some(shown)} (hashed, with the "
            f"row that says another site than one above). Give each patient one site."
        )
    if not site_of:
        raise DataError(f"{csv_path}: the file names no patient. Add a row for each patient.")
    return site_of


def _in_order(names: set[str]) -> tuple[str, ...]:
    """Return the names in the order of their files: clients are numbered along it."""
    return tuple(sorted(names, key=site_file))
