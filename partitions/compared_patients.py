"""The patients in a folder that a site, or the server, takes part with; for their comparison."""

from pathlib import Path

from fedcxr.data.identity import normal_ids
from fedcxr.data.read import read_dataset
from fedcxr.data.readers.site_folder import SITE_CSV
from fedcxr.data.tokens import Tokens
from partitions.hospital_folder import hospital_reading, own_images
from partitions.plan_folder import PLAN_JSON, TEST_CSV, VAL_CSV
from partitions.table import read_table


def patients_in(folder: Path, key: bytes) -> set[str]:
    """Return the patients in a folder that a site, or the server, takes part with.

    Args:
        folder: a hospital's own with `site.csv`, a CheXpert or NIH ChestX-ray14 (without its
            official val and test sets), or the server's with `plan.json`.
        key: of the tokens that stand for patients in messages.

    Raises:
        DataError: it is none of these, or its tables are wrong.
    """
    if (folder / SITE_CSV).is_file():
        found = {record.patient_id for record in hospital_reading(folder).dataset.records}
    elif (folder / PLAN_JSON).is_file():
        tables = [read_table(folder / name) for name in (VAL_CSV, TEST_CSV)]
        found = set(normal_ids(p for table in tables for p in table.patient_id).values())
    else:
        dataset = own_images(read_dataset(folder), Tokens(key))
        found = {record.patient_id for record in dataset.records}
    return found


def is_server_folder(folder: Path) -> bool:
    """Return whether a folder is the server's, and not that of a site."""
    return not (folder / SITE_CSV).is_file() and (folder / PLAN_JSON).is_file()
