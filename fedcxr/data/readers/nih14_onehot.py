"""ChestX-ray14 as one-hot tables: `Image,Atelectasis,…,PatientId`, as courses hand it out.

A file's name says its split (train-small.csv, valid-small.csv, test.csv), the columns stand in any
order, and nothing is said of age, sex or projection. The tables in circulation share patients
between train and valid, so they are compared before they become one data set.

Source: "AI for Medicine", DeepLearning.AI; the labels are Wang et al. 2017's (`nih14.py`).
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import chain, combinations, repeat
from pathlib import Path

from fedcxr.data.identity import shown_patient
from fedcxr.data.labels import NEGATIVE, NIH14_LABELS, POSITIVE
from fedcxr.data.paths import check_relative
from fedcxr.data.readers.csv_file import read_header
from fedcxr.data.readers.nih14 import ATTRIBUTION, patient_numbers
from fedcxr.data.readers.nih14_files import DEFAULT_FOLDER, find_images
from fedcxr.data.readers.tables import Table, read_table_file, without_duplicates
from fedcxr.data.records import DataSet, Record
from fedcxr.errors import LeakError, RecordError, some

IMAGE, PATIENT = "Image", "PatientId"

_ALIASES = {"Pleural Thickening": "Pleural_Thickening"}
_SPLITS = {"train": "train", "valid": "val", "val": "val", "dev": "val", "test": "test"}
_STATES = {"1": POSITIVE, "1.0": POSITIVE, "0": NEGATIVE, "0.0": NEGATIVE}
FOLDERS = ("", "images-small")
"""Where the images may lie beside the places of the download."""


def is_onehot_header(header: Collection[str]) -> bool:
    """Return whether the columns are those of a one-hot table."""
    return {IMAGE, PATIENT} <= set(header) and not set(header).isdisjoint(NIH14_LABELS)


def onehot_tables(folder: Path) -> dict[str, Path]:
    """Return the one-hot tables in a folder by name, train before val, test and the rest."""
    order = {"train": 0, "val": 1, "test": 2, "": 3}
    found = [path for path in folder.glob("*.csv") if is_onehot_header(read_header(path))]
    return {p.name: p for p in sorted(found, key=lambda p: (order[split_of(p.name)], p.name))}


def read_onehot_tables(folder: Path) -> dict[str, Table]:
    """Return the one-hot tables of a folder as they are, by file name, without comparing them.

    Their patients are in `table["PatientId"]`, unpadded, and their images in `table["Image"]`.

    Raises:
        RecordError: a table cannot be read, or a patient is no number.
        DataError: an image's name leads out of the folder.
    """
    tables = {}
    for name, csv_path in onehot_tables(folder).items():
        table = read_table_file(csv_path, _ALIASES)
        check_relative(table[IMAGE], csv_path, IMAGE)
        columns = {**table.columns, PATIENT: tuple(patient_numbers(table, PATIENT))}
        tables[name] = Table(csv_path, columns, len(table))
    return tables


def split_of(name: str) -> str:
    """Return the split that a file's name begins with, or nothing.

    >>> split_of("valid-small.csv"), split_of("nih.csv")
    ('val', '')
    """
    return next((split for word, split in _SPLITS.items() if name.lower().startswith(word)), "")


def read_onehot(
    folder: Path,
    labels: Sequence[str] = NIH14_LABELS,
    *,
    source: str = "nih14",
    column: str | None = None,
) -> DataSet:
    """Return the records of the one-hot tables in a folder.

    Where one table's name says its split, those whose names say none are left out.

    Args:
        folder: with the tables; the images lie beside them, in images-small/ or in images/.
        labels: the findings to read.
        source: what to write into the records.
        column: a column of the tables to keep as the records' attribute.

    Raises:
        RecordError: a table is missing, lacks a column or holds a cell that it may not.
        DataError: a path leads out of the folder, or an image is there twice.
        LeakError: a patient is in the tables of two splits.
    """
    tables = read_onehot_tables(folder)
    if not tables:
        raise RecordError(
            f"{folder}: no table with the columns {IMAGE}, {PATIENT} and findings is here. Give "
            f"the folder with the tables."
        )
    notes = [ATTRIBUTION]
    named = {name: table for name, table in tables.items() if split_of(name)}
    if named and len(named) < len(tables):
        left_out = some([name for name in tables if name not in named])
        notes.append(f"{left_out}: left out, since the name does not say the split.")
    chosen = named or tables
    _refuse_leaks(folder, chosen)
    names = chain.from_iterable(table[IMAGE] for table in chosen.values())
    folders = find_images(folder, names, FOLDERS)
    records: list[Record] = []
    for name, table in chosen.items():
        own = _records(table, labels, folders, split=split_of(name), source=source, column=column)
        records += without_duplicates(own, table.csv_path, notes)
    _refuse_contradictions(folder, records)
    notes += _split_notes(records)
    return DataSet(folder, "nih14-onehot", tuple(labels), tuple(records), (), tuple(notes))


def _records(
    table: Table,
    labels: Sequence[str],
    folders: Mapping[str, str],
    *,
    split: str,
    source: str,
    column: str | None,
) -> list[Record]:
    table.require([*labels, *([column] if column and split in ("train", "") else [])])
    names = table[IMAGE]
    states = zip(*(table.coded(label, _STATES, "1 or 0").tolist() for label in labels), strict=True)
    return list(
        map(
            Record,
            table[PATIENT],
            [name.rpartition(".")[0] for name in names],
            [f"{folders.get(name, DEFAULT_FOLDER)}/{name}".lstrip("/") for name in names],
            repeat("frontal"),
            repeat(""),
            repeat(""),
            repeat(None),
            repeat(split),
            states,
            repeat(source),
            table.kept(column),
        )
    )


def _refuse_leaks(folder: Path, tables: Mapping[str, Table]) -> None:
    for (one, first), (other, second) in combinations(tables.items(), 2):
        shared = sorted(set(first[PATIENT]) & set(second[PATIENT]), key=int)
        if shared and split_of(one) != split_of(other):
            images = len(set(first[IMAGE]) & set(second[IMAGE]))
            hashed = [shown_patient(patient) for patient in shared]
            raise LeakError(
                f"{folder}: {len(shared)} patients and {images} images are in {one} and in "
                f"{other}: {some(hashed)} (hashes). A model would be chosen or scored on patients "
                f"that it was trained on. Move {other} to another folder, and its place is filled "
                f"from whole patients of the other tables; `fedcxr check-data` shows every pair."
            )


def _refuse_contradictions(folder: Path, records: Sequence[Record]) -> None:
    first: dict[str, Record] = {}
    for record in records:
        if first.setdefault(record.path, record) is not record:
            raise RecordError(
                f"{folder}: {record.path} is in two tables of the {record.split or 'same'} split. "
                f"Keep one of the tables."
            )


def _split_notes(records: Sequence[Record]) -> list[str]:
    splits = {record.split for record in records}
    test = "that of the test table" if "test" in splits else "drawn from the patients"
    notes = [f"The test set is {test}."]
    if "val" in splits:
        notes.append("The valid table is left out: validation patients are drawn from train.")
    return notes
