"""NIH ChestX-ray14: Data_Entry_2017*.csv, images, the official lists and the boxes.

The labels were mined from reports: a finding is positive or not named, and not named counts as
negative, so there is nothing uncertain or blank here. All images are frontal.

Source: Wang et al. 2017, "ChestX-ray8", CVPR; https://nihcc.app.box.com/v/ChestXray-NIHCC
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.labels import NEGATIVE, NIH14_LABELS, POSITIVE
from fedcxr.data.paths import check_relative
from fedcxr.data.records import Box, DataSet, Record
from fedcxr.data.tables import Table, read_table_file, without_duplicates
from fedcxr.errors import DataError, LeakError, RecordError, some

ENTRY_GLOB = "Data_Entry_2017*.csv"
BOXES_CSV = "BBox_List_2017.csv"
FRAME_PX = 1024.0
"""Side of the square frame in which the boxes are given, whatever the size of the files here."""

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
    "View_Position": "View Position",
    "Finding_Label": "Finding Label",
}
_COLUMNS = ("Image Index", "Finding Labels", "Patient ID", "Patient Age", "Patient Gender")
_SEXES = {"F": "F", "M": "M", "": ""}
_PROJECTIONS = {code: code for code in ("AP", "PA", "")}
_BOX_LABELS = {"Infiltrate": "Infiltration", **{label: label for label in NIH14_LABELS}}


def read_nih14(folder: Path, labels: Sequence[str] = NIH14_LABELS) -> DataSet:
    """Return the records of the folder that holds Data_Entry_2017*.csv.

    Raises:
        RecordError: a table lacks a column or holds a cell that it may not.
        DataError: a path leads out of the folder, or no entry is in the official lists.
        LeakError: an image is in both official lists.
    """
    csv_path = max(folder.glob(ENTRY_GLOB))  # v2020, the corrected one, sorts last
    table = read_table_file(csv_path, _ALIASES)
    table.require([*_COLUMNS, "View Position"])
    names = table.columns["Image Index"]
    check_relative(names, csv_path, "Image Index")
    folders = _image_folders(folder)
    patients = _patient_ids(table)
    records = list(
        map(
            Record,
            patients,
            [name.rpartition(".")[0] for name in names],  # each image is a visit of its own
            [f"{folders.get(name, 'images')}/{name}" for name in names],
            ["frontal"] * len(table),
            table.named("View Position", _PROJECTIONS, "AP, PA or blank"),
            table.named("Patient Gender", _SEXES, "F, M or blank"),
            table.ages("Patient Age"),
            [""] * len(table),
            map(tuple, _states(table, labels).tolist()),
        )
    )
    notes = [ATTRIBUTION]
    records = without_duplicates(records, csv_path, notes)
    records = _with_official_splits(folder, records, notes)
    boxes = _read_boxes(folder / BOXES_CSV, labels, folders)
    return DataSet(folder, "nih14", tuple(labels), tuple(records), boxes, tuple(notes))


def _states(table: Table, labels: Sequence[str]) -> NDArray[np.int8]:
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


def _patient_ids(table: Table) -> list[str]:
    """Return patient numbers without padding: copies write 13 or 00000013."""
    cells = table.columns["Patient ID"]
    bad = [i for i, cell in enumerate(cells) if not (cell.isascii() and cell.isdigit())]
    table.refuse(bad, "Patient ID", "a whole number")
    return [str(int(cell)) for cell in cells]


def _image_folders(folder: Path) -> dict[str, str]:
    """Return the folder of each image name: images/, or images_001/images/ … as downloaded."""
    parts = sorted(p.name for p in folder.glob("images_*") if p.is_dir())
    places = [f"{part}/images" for part in parts] + parts + ["images/images", "images"]
    return {
        name: place
        for place in places
        if (folder / place).is_dir()
        for name in os.listdir(folder / place)
    }


def _with_official_splits(folder: Path, records: list[Record], notes: list[str]) -> list[Record]:
    """Return the records with their official split; those in neither list are left out."""
    train, test = _read_list(folder / "train_val_list.txt"), _read_list(folder / "test_list.txt")
    if train is None and test is None:
        notes.append("There are no official lists: the test set is drawn from the patients.")
        return records
    if train is not None and test is not None:
        both = sorted(train & test)
        if both:
            raise LeakError(
                f"{folder}: {len(both)} images are in train_val_list.txt and in test_list.txt. "
                f"Fetch the lists again."
            )
    split_by_name = {r.path: _split(Path(r.path).name, train, test) for r in records}
    kept = [
        replace(record, split=split_by_name[record.path])
        for record in records
        if split_by_name[record.path]
    ]
    if not kept:
        raise DataError(f"{folder}: no image of the table is in the official lists; remove them.")
    if len(kept) < len(records):
        notes.append(f"{len(records) - len(kept)} images in neither official list are left out.")
    notes.append("The test set is NIH's official test list.")
    return kept


def _split(name: str, train: set[str] | None, test: set[str] | None) -> str:
    """Return the split of an image; where one list is missing it is the other's complement."""
    if test is not None and name in test:
        return "test"
    if train is not None:
        return "train" if name in train else ("test" if test is None else "")
    return "train"


def _read_list(path: Path) -> set[str] | None:
    if not path.is_file():
        return None
    try:
        return set(path.read_text(encoding="utf-8-sig").split())
    except UnicodeDecodeError as err:
        raise RecordError(f"{path}: not UTF-8 text. Fetch it again.") from err


def _read_boxes(csv_path: Path, labels: Sequence[str], folders: dict[str, str]) -> tuple[Box, ...]:
    """Return the boxes as fractions of the image; the header spells them `Bbox [x,y,w,h]`."""
    if not csv_path.is_file():
        return ()
    table = read_table_file(csv_path, _ALIASES)
    sides = ("Bbox [x", "y", "w", "h]")
    table.require(["Image Index", "Finding Label", *sides])
    found = table.named("Finding Label", _BOX_LABELS, f"one of {some(sorted(_BOX_LABELS), 15)}")
    rectangles = zip(*(table.numbers(side, 0.0, FRAME_PX) for side in sides), strict=True)
    return tuple(
        Box(f"{folders.get(name, 'images')}/{name}", label, *(side / FRAME_PX for side in sides_px))
        for name, label, sides_px in zip(
            table.columns["Image Index"], found, rectangles, strict=True
        )
        if label in labels
    )
