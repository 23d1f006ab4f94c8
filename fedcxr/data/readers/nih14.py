"""NIH ChestX-ray14: its table of entries in every copy's spelling, images, lists and boxes.

The labels were mined from reports: a finding is positive or not named, and not named counts as
negative, so there is nothing uncertain or blank here. All images are frontal.

Source: Wang et al. 2017, "ChestX-ray8", CVPR; https://nihcc.app.box.com/v/ChestXray-NIHCC
"""

import re
from collections.abc import Collection, Sequence
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.identity import normal_ids
from fedcxr.data.labels import NEGATIVE, NIH14_LABELS, POSITIVE
from fedcxr.data.readers.csv_file import read_header
from fedcxr.data.readers.nih14_boxes import read_boxes
from fedcxr.data.readers.nih14_files import (
    DEFAULT_FOLDER,
    find_images,
    image_names,
    with_official_splits,
)
from fedcxr.data.readers.tables import CsvTable, read_table_file, without_duplicates
from fedcxr.data.records import DataSet, Record
from fedcxr.errors import DataError, RecordError, some

ENTRY_GLOB = "Data_Entry_2017*.csv"
SAMPLE_CSV = "sample_labels.csv"
"""Kaggle's sample of 5,606 images."""
MAX_AGE_YEARS = 120
"""NIH's first table has 16 ages from 148 to 414; the table of 2020 has none above 95."""

ATTRIBUTION = (
    "Data provided by the NIH Clinical Center, https://nihcc.app.box.com/v/ChestXray-NIHCC. "
    "Wang X, Peng Y, Lu L, Lu Z, Bagheri M, Summers RM. ChestX-ray8: Hospital-scale Chest X-ray "
    "Database and Benchmarks on Weakly-Supervised Classification and Localization of Common "
    "Thorax Diseases. IEEE CVPR 2017, pp. 3462-3471."
)

_ALIASES = {
    "Image_Index": "Image Index",
    "Finding_Labels": "Finding Labels",
    "Follow_Up_#": "Follow-up #",
    "Patient_ID": "Patient ID",
    "Patient_Age": "Patient Age",
    "Patient_Gender": "Patient Gender",
    "Patient Sex": "Patient Gender",
    "Patient_Sex": "Patient Gender",
    "View_Position": "View Position",
}
_COLUMNS = (
    "Image Index",
    "Finding Labels",
    "Patient ID",
    "Patient Age",
    "Patient Gender",
    "View Position",
)
_SEXES = {"F": "F", "M": "M", "": ""}
_PROJECTIONS = {code: code for code in ("AP", "PA", "")}
_AGE = re.compile(r"([0-9]{1,4})(?:\.0)?([YMWD]?)")
_DAYS = {"Y": 365, "": 365, "M": 365 / 12, "W": 7, "D": 1}


def is_entry_header(header: Collection[str]) -> bool:
    """Return whether the columns are those of a table of entries."""
    names = {_ALIASES.get(name, name) for name in header}
    return {"Image Index", "Finding Labels"} <= names


def entry_tables(folder: Path) -> list[Path]:
    """Return the tables of entries in a folder, the one to read first.

    That is Data_Entry_2017_v2020.csv, the corrected one, before Data_Entry_2017.csv, Kaggle's
    sample and any other table with these columns.
    """
    official = sorted(folder.glob(ENTRY_GLOB), reverse=True)
    sample = [path for path in [folder / SAMPLE_CSV] if path.is_file()]
    rest = [
        path
        for path in sorted(folder.glob("*.csv"))
        if path not in official + sample and is_entry_header(read_header(path))
    ]
    return official + sample + rest


def read_nih14(
    folder: Path,
    labels: Sequence[str] = NIH14_LABELS,
    *,
    source: str = "nih14",
    column: str | None = None,
) -> DataSet:
    """Return the records of the folder that holds Data_Entry_2017*.csv or a copy of it.

    Args:
        folder: with the table; the images lie in it as NIH or Kaggle unpack them.
        labels: the findings to read.
        source: what to write into the records.
        column: a column of the table to keep as the records' attribute.

    Raises:
        RecordError: a table is missing, lacks a column or holds a cell that it may not.
        DataError: a path leads out of the folder, an image is there twice, no entry is in the
            official lists, or it cannot be told which table is meant.
        LeakError: an image is in both official lists.
    """
    notes = [ATTRIBUTION]
    table = _read_entries(folder, notes)
    kept = _ALIASES.get(column, column) if column else None
    table.require([*_COLUMNS, *([kept] if kept else [])])
    names = image_names(table, "Image Index")
    folders = find_images(folder, names)
    records = list(
        map(
            Record,
            patient_numbers(table, "Patient ID"),
            [name.rpartition(".")[0] for name in names],  # each image is a visit of its own
            [f"{folders.get(name, DEFAULT_FOLDER)}/{name}" for name in names],
            repeat("frontal"),
            table.named("View Position", _PROJECTIONS, "AP, PA or blank"),
            table.named("Patient Gender", _SEXES, "F, M or blank"),
            _ages(table, notes),
            repeat(""),
            map(tuple, _states(table, labels).tolist()),
            repeat(source),
            table.kept(kept),
        )
    )
    records = without_duplicates(records, table.csv_path, notes)
    records, official = with_official_splits(folder, records, notes)
    return DataSet(
        root=folder,
        layout="nih14",
        labels=tuple(labels),
        records=tuple(records),
        boxes=read_boxes(folder, labels, folders),
        notes=tuple(notes),
        official=official,
    )


def patient_numbers(table: CsvTable, column: str) -> list[str]:
    """Return patient numbers as `normal_id` spells them: copies write 13, 13.0 or 00000013.

    Raises:
        RecordError: a cell is not a whole number of at most 18 digits.
    """
    cells = table.columns[column]
    known = normal_ids(cells)
    is_number = {
        cell: who.isascii() and who.isdigit() and not who[18:] for cell, who in known.items()
    }
    table.refuse(
        [i for i, cell in enumerate(cells) if not is_number[cell]], column, "a whole number"
    )
    return [known[cell] for cell in cells]


def _read_entries(folder: Path, notes: list[str]) -> CsvTable:
    """Return the table of entries; others beside it are told of in the notes."""
    tables = entry_tables(folder)
    if not tables:
        raise RecordError(f"{folder}: no {ENTRY_GLOB} here. Give the folder with the table.")
    if len(tables) > 1:
        others = some([path.name for path in tables[1:]])
        if not (tables[0].match(ENTRY_GLOB) or tables[0].name == SAMPLE_CSV):
            raise DataError(
                f"{folder}: {tables[0].name} and {others} are tables of entries, and which is "
                f"meant cannot be told. Join them, or move those that are not meant elsewhere."
            )
        notes.append(f"The table is {tables[0].name}; {others} beside it is not read.")
    return read_table_file(tables[0], _ALIASES)


def _states(table: CsvTable, labels: Sequence[str]) -> NDArray[np.int8]:
    """Return (N, L) states from the `|`-separated findings."""
    column = "Finding Labels"
    by_cell: dict[str, list[int] | None] = {}
    for cell in set(table.columns[column]):
        found = set(cell.split("|"))
        known = found == {"No Finding"} or found <= set(NIH14_LABELS)
        states = [POSITIVE if label in found else NEGATIVE for label in labels]
        by_cell[cell] = states if known else None
    rows = [by_cell[cell] for cell in table.columns[column]]
    expected = "the 14 findings of ChestX-ray14, separated by '|', or 'No Finding' alone"
    table.refuse([i for i, row in enumerate(rows) if row is None], column, expected)
    return np.array(rows, dtype=np.int8).reshape(len(rows), len(labels))


def _ages(table: CsvTable, notes: list[str]) -> list[int | None]:
    """Return ages in whole years; those that no one reaches are unknown, and counted in notes."""
    column = "Patient Age"
    years = {cell: _age(cell) for cell in set(table.columns[column])}
    cells = table.columns[column]
    bad = [i for i, cell in enumerate(cells) if years[cell] == -1]
    table.refuse(bad, column, "an age such as 58, 058Y, 012M or 003D, or blank")
    ages = [years[cell] for cell in cells]
    typos = sum(age is not None and age > MAX_AGE_YEARS for age in ages)
    if typos:
        notes.append(
            f"{table.csv_path.name}: {typos} ages above {MAX_AGE_YEARS} years are slips of the "
            f"pen and taken as unknown."
        )
    return [None if age is not None and age > MAX_AGE_YEARS else age for age in ages]


def _age(cell: str) -> int | None:
    """Return whole years, None for a blank, -1 for anything that is no age."""
    match = _AGE.fullmatch(cell)
    if match is None:
        return -1 if cell else None
    return int(int(match[1]) * _DAYS[match[2]] / 365)
