"""A hospital's own data: its `site.csv`, or the table that it makes of a CheXpert or NIH folder.

The table made of a data set is of tokens under the hospital's own key. Who is kept for validation
follows from a patient's token, so the split needs no seed of the server's, and a table that grows
moves nobody: who was in a set stays in it.
"""

import os
import uuid
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from fedcxr.data.identity import normal_ids
from fedcxr.data.leaks import refuse_shared_patients
from fedcxr.data.quality.read import Reading
from fedcxr.data.quality.splits import official_splits
from fedcxr.data.readers.site_folder import LAYOUT, SITE_CSV, no_path_error
from fedcxr.data.records import DataSet, Record, RecordTable
from fedcxr.data.tokens import TOKEN_HEX, Tokens
from fedcxr.errors import DataError
from fedcxr.storage import writing
from partitions.record_table import take, tokenise
from partitions.splits import MIN_PATIENTS_FOR_SITE_VAL, MIN_SITE_PATIENTS
from partitions.table import read_table, write_table


def hospital_reading(folder: Path) -> Reading:
    """Return the data set in a hospital's own folder, as `fedcxr check-data` looks at one.

    Raises:
        RecordError: the table is wrong, or says of no image where it is.
        LeakError: a patient is in both of its splits.
    """
    table = read_table(folder / SITE_CSV)
    if table.path is None:
        raise no_path_error(folder)
    names = normal_ids(table.patient_id)
    columns = zip(
        (names[patient] for patient in table.patient_id),
        table.study_id,
        table.path,
        table.view,
        table.projection,
        table.sex,
        table.age,
        table.split,
        map(tuple, table.states.tolist()),
        strict=True,
    )
    dataset = DataSet(folder, LAYOUT, table.labels, tuple(Record(*row) for row in columns))
    return Reading(dataset, tuple(official_splits(dataset)), ())


def own_images(dataset: DataSet, tokens: Tokens) -> DataSet:
    """Return the images of a data set that a hospital trains and validates on.

    Those of its official val and test sets are left out, as in every partition.

    Raises:
        LeakError: a patient is in two of its official sets.
        DataError: all images are of these sets.
    """
    refuse_shared_patients(dataset, tokens)
    own = dataset.where(lambda record: record.split not in ("val", "test"))
    if not own.records:
        raise DataError(
            f"{dataset.root}: all images are of an official val or test set, so there is none to "
            "train on. Add the table of training labels."
        )
    return own


def write_own_table(dataset: DataSet, tokens: Tokens, fraction: float, file: Path) -> RecordTable:
    """Return the table of a hospital's images, written to `file`; who was in a set stays in it.

    Args:
        dataset: the images.
        tokens: under the hospital's key.
        fraction: of its patients to keep for validation.
        file: the table of an earlier day is there, or none; of the same key.

    Raises:
        StorageError: it cannot be written.
    """
    before = read_table(file) if file.is_file() else None
    kept = {} if before is None else dict(zip(before.patient_id, before.split, strict=True))
    patients = {record.patient_id: tokens.patient(record.patient_id) for record in dataset.records}
    split = split_by_token(patients.values(), fraction, kept)
    table = tokenise(dataset, tokens, [split[patients[r.patient_id]] for r in dataset.records])
    order = np.argsort(np.array(table.image_id))
    paths = tuple(dataset.records[i].path for i in order.tolist())
    table = replace(take(table, order), path=paths)
    building = file.with_name(f".{file.name}-{uuid.uuid4().hex[:8]}")
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            write_table(table, building)
            os.replace(building, file)
        finally:
            building.unlink(missing_ok=True)
    return read_table(file)


def split_by_token(
    tokens: Collection[str], fraction: float, kept: Mapping[str, str]
) -> dict[str, str]:
    """Return `train` or `val` for each patient: by their token alone, or as it was kept.

    A token is a keyed hash, so those below `fraction` of all that there could be are about that
    fraction of the patients. At least one is kept for validation where there are four patients or
    more, none where there are fewer, and two are left to train on.

    >>> split_by_token(["00aa", "f0bb", "80cc", "90dd"], 0.1, kept={})
    {'00aa': 'val', '80cc': 'train', '90dd': 'train', 'f0bb': 'train'}
    """
    ordered = sorted(set(tokens))
    if len(ordered) < MIN_PATIENTS_FOR_SITE_VAL or fraction <= 0:
        return {token: kept.get(token, "train") for token in ordered}
    below = [token for token in ordered if _share(token) < fraction] or ordered[:1]
    val = set(below[: len(ordered) - MIN_SITE_PATIENTS])
    return {token: kept.get(token, "val" if token in val else "train") for token in ordered}


def _share(token: str) -> float:
    """Return how far up among all tokens one is, 0 to 1."""
    return float(int(token.ljust(TOKEN_HEX, "0"), 16) / 16**TOKEN_HEX)
