"""ChestX-ray14 as one-hot tables: `Image,Atelectasis,…,PatientId`, as courses hand it out.

A file's name says its split (train-small.csv, nih_test.csv), the columns stand in any order, and
nothing is said of age, sex or projection. The tables in circulation share patients
between train and valid, so they are compared before they become one data set.

Source: "AI for Medicine", DeepLearning.AI; the labels are Wang et al. 2017's (`nih14.py`).
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Literal

from fedcxr.data.identity import by_number, shown_patient
from fedcxr.data.labels import NEGATIVE, NIH14_LABELS, POSITIVE
from fedcxr.data.leaks import split_overlaps
from fedcxr.data.readers.csv_file import read_header
from fedcxr.data.readers.nih14 import ATTRIBUTION, patient_numbers
from fedcxr.data.readers.nih14_files import DEFAULT_FOLDER, find_images, image_names
from fedcxr.data.readers.split_names import split_of, split_order
from fedcxr.data.readers.tables import CsvTable, read_table_file, without_duplicates
from fedcxr.data.records import DataSet, OfficialSet, Record
from fedcxr.errors import LeakError, RecordError, some

IMAGE, PATIENT = "Image", "PatientId"

_ALIASES = {"Pleural Thickening": "Pleural_Thickening"}
_STATES = {"1": POSITIVE, "1.0": POSITIVE, "0": NEGATIVE, "0.0": NEGATIVE}
FOLDERS = ("", "images-small")
"""Where the images may lie beside the places of the download."""


def is_onehot_header(header: Collection[str]) -> bool:
    """Return whether the columns are those of a one-hot table."""
    return {IMAGE, PATIENT} <= set(header) and not set(header).isdisjoint(NIH14_LABELS)


def onehot_tables(folder: Path) -> dict[str, Path]:
    """Return the one-hot tables in a folder by name, train before val, test and the rest."""
    paths = {path.name: path for path in folder.glob("*.csv")}
    found = [name for name, path in paths.items() if is_onehot_header(read_header(path))]
    return {name: paths[name] for name in split_order(found)}


def read_onehot_tables(folder: Path) -> dict[str, CsvTable]:
    """Return the one-hot tables of a folder as they are, by file name, without comparing them.

    Their patients are in `table["PatientId"]`, unpadded, and their images in `table["Image"]`.

    Raises:
        RecordError: a table cannot be read, or a patient is no number.
        DataError: an image's name leads out of the folder.
    """
    tables = {}
    for name, csv_path in onehot_tables(folder).items():
        table = read_table_file(csv_path, _ALIASES)
        image_names(table, IMAGE)
        columns = {**table.columns, PATIENT: tuple(patient_numbers(table, PATIENT))}
        tables[name] = CsvTable(csv_path, columns, len(table))
    return tables


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
        DataError: a path leads out of the folder, an image is there twice, or a table's name says
            two splits.
        LeakError: a patient is in the tables of two splits.
    """
    tables = read_onehot_tables(folder)
    if not tables:
        raise RecordError(
            f"{folder}: no table with the columns {IMAGE}, {PATIENT} and findings is here. Give "
            f"the folder with the tables."
        )
    chosen = _chosen(tables)
    _refuse_leaks(folder, chosen)
    _refuse_contradictions(folder, chosen)
    return onehot_dataset(folder, tables, labels, source=source, column=column)


def onehot_dataset(
    folder: Path,
    tables: Mapping[str, CsvTable],
    labels: Sequence[str] = NIH14_LABELS,
    *,
    source: str = "nih14",
    column: str | None = None,
) -> DataSet:
    """Return the records of the tables, which are not compared: an image may be in two of them.

    Takes and raises what `read_onehot` does; `tables` is what `read_onehot_tables` returns.
    """
    chosen, notes = _chosen(tables), [ATTRIBUTION]
    if len(chosen) < len(tables):
        left_out = some([name for name in tables if name not in chosen])
        notes.append(f"{left_out}: left out, since the name does not say the split.")
    names = chain.from_iterable(table[IMAGE] for table in chosen.values())
    folders = find_images(folder, names, FOLDERS)
    records: list[Record] = []
    for table in chosen.values():
        split = split_of(table.csv_path)
        own = _records(table, labels, folders, split=split, source=source, column=column)
        records += without_duplicates(own, table.csv_path, notes)
    return DataSet(
        root=folder,
        layout="nih14-onehot",
        labels=tuple(labels),
        records=tuple(records),
        notes=tuple(notes),
        official=_official(chosen, source),
    )


def _chosen(tables: Mapping[str, CsvTable]) -> dict[str, CsvTable]:
    """Return the tables whose names say their split, or all where none does."""
    named = {name: table for name, table in tables.items() if split_of(table.csv_path)}
    return named or dict(tables)


def _records(
    table: CsvTable,
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


def _refuse_leaks(folder: Path, tables: Mapping[str, CsvTable]) -> None:
    patients = {name: table[PATIENT] for name, table in tables.items()}
    for overlap in split_overlaps(patients):
        first, second = tables[overlap.first], tables[overlap.second]
        if not overlap.shared or split_of(first.csv_path) == split_of(second.csv_path):
            continue
        images = len(set(first[IMAGE]) & set(second[IMAGE]))
        hashed = [shown_patient(patient) for patient in sorted(overlap.shared, key=by_number)]
        raise LeakError(
            f"{folder}: {len(hashed)} patients and {images} images are in {overlap.first} and in "
            f"{overlap.second}: {some(hashed)} (hashes). A model would be chosen or scored on "
            f"patients that it was trained on. Move {overlap.second} to another folder, and its "
            f"place is filled from whole patients of the other tables; `fedcxr check-data` shows "
            f"every pair."
        )


def _refuse_contradictions(folder: Path, tables: Mapping[str, CsvTable]) -> None:
    first: dict[str, str] = {}
    twice = [
        (image, name)
        for name, table in tables.items()
        for image in table[IMAGE]
        if first.setdefault(image, name) != name
    ]
    if twice:
        image, name = twice[0]
        raise RecordError(
            f"{folder}: {len(twice)} images are in two tables: the first, {image}, is in "
            f"{first[image]} and in {name}. Keep one row of each, with the right patient."
        )


def _official(tables: Mapping[str, CsvTable], source: str) -> tuple[OfficialSet, ...]:
    """Return the val and the test set that the tables are."""
    files: dict[str, list[str]] = {}
    for name, table in tables.items():
        if len(table):
            files.setdefault(split_of(table.csv_path), []).append(name)
    splits: tuple[Literal["val", "test"], ...] = ("val", "test")
    return tuple(
        OfficialSet(split, "table", tuple(files[split]), source)
        for split in splits
        if split in files
    )
