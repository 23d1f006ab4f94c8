"""CheXpert (v1.0, -small, or any tree of its shape): train.csv, valid.csv and the 2022 test labels.

The test set is the 2022 test set where `groundtruth.csv` and `test/` are there, and otherwise the
official valid set, whose 200 patients radiologists read; either way it is never used for choosing
anything. Validation patients are taken from train (`partitions/splits.py`).

Source: Irvin et al. 2019, "CheXpert: a large chest radiograph dataset with uncertainty labels and
expert comparison", AAAI; https://stanfordmlgroup.github.io/competitions/chexpert/
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.labels import CHEXPERT_LABELS
from fedcxr.data.paths import check_relative
from fedcxr.data.records import Box, DataSet, Record
from fedcxr.data.tables import Table, read_table_file, without_duplicates

TRAIN_CSV = "train.csv"
VALID_CSV = "valid.csv"
TEST_CSVS = ("groundtruth.csv", "test/groundtruth.csv", "test_labels.csv", "test.csv")
"""Where copies keep the labels of the 2022 test set; the first one found is read."""

_COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA")
_SEXES = {"Female": "F", "Male": "M", "Unknown": "", "": ""}
_VIEWS = {"Frontal": "frontal", "Lateral": "lateral"}
_PROJECTIONS = {code: code for code in ("AP", "PA", "LL", "RL", "")}
_PATH = re.compile(r"(?:.*/)?((?:train|valid|val|test)/(patient\d+)/(study\d+))/([^/]+)")
_STUDY = re.compile(r"(?:.*/)?(test/(patient\d+)/(study\d+))/?")


def read_chexpert(folder: Path, labels: Sequence[str] = CHEXPERT_LABELS) -> DataSet:
    """Return the records of the CheXpert folder that holds train.csv.

    Args:
        folder: the root of the record paths: what a path's first component (`CheXpert-v1.0-small`)
            stands for, under whatever name it is on this disk.
        labels: the label columns to read.

    Raises:
        RecordError: a table is missing, lacks a column or holds a cell that it may not.
        DataError: a path leads out of the folder.
    """
    has_test = (folder / "test").is_dir()
    test_csv = next((folder / name for name in TEST_CSVS if (folder / name).is_file()), None)
    valid_csv = folder / VALID_CSV
    notes: list[str] = []
    records = _read_images(folder / TRAIN_CSV, labels, "train", notes)
    if has_test and test_csv is not None:
        records += _read_test(folder, test_csv, labels, notes)
        notes.append("The test set is CheXpert's 2022 test set; its valid set is left out.")
        if valid_csv.is_file():
            records += _read_images(valid_csv, labels, "val", notes)
    elif valid_csv.is_file():
        records += _read_images(valid_csv, labels, "test", notes)
        notes.append(
            "The test set is valid.csv, the official valid set; it is never used to choose."
        )
    else:
        notes.append("There is no valid.csv: the test set is drawn from the train patients.")
    boxes = _read_boxes(folder / "boxes.csv", labels)
    return DataSet(folder, "chexpert", tuple(labels), tuple(records), boxes, tuple(notes))


def _read_images(
    csv_path: Path, labels: Sequence[str], split: str, notes: list[str]
) -> list[Record]:
    """Return a record per row of a table with a row per image."""
    table = read_table_file(csv_path)
    table.require([*_COLUMNS, *labels])
    parts = _split_paths(table, "Path", _PATH, "…/train/patient00001/study1/view1_frontal.jpg")
    states = table.states(labels)
    records = list(
        map(
            Record,
            [part[1] for part in parts],
            [f"{part[1]}/{part[2]}" for part in parts],
            [f"{part[0]}/{part[3]}" for part in parts],
            table.named("Frontal/Lateral", _VIEWS, "Frontal or Lateral"),
            table.named("AP/PA", _PROJECTIONS, "AP, PA, LL, RL or blank"),
            table.named("Sex", _SEXES, "Female, Male, Unknown or blank"),
            table.ages("Age"),
            [split] * len(table),
            map(tuple, states.tolist()),
        )
    )
    return without_duplicates(records, csv_path, notes)


def _read_test(
    folder: Path, csv_path: Path, labels: Sequence[str], notes: list[str]
) -> list[Record]:
    """Return the records of the 2022 test set: labelled by study, or by image in some copies."""
    table = read_table_file(csv_path)
    column = "Path" if "Path" in table.columns and "Study" not in table.columns else "Study"
    table.require([column, *labels])
    states = table.states(labels)
    if column == "Path":
        parts = _split_paths(table, column, _PATH, "…/test/patient64741/study1/view1_frontal.jpg")
        named = [(part, part[3], row) for row, part in enumerate(parts)]
    else:
        parts = _split_paths(table, column, _STUDY, "…/test/patient64741/study1")
        named = [
            (part, name, row) for row, part in enumerate(parts) for name in _views(folder, part[0])
        ]
    records = [_test_record(part, name, states[row]) for part, name, row in named]
    return without_duplicates(records, csv_path, notes)


def _test_record(part: tuple[str, ...], name: str, states: NDArray[np.int8]) -> Record:
    return Record(
        patient_id=part[1],
        study_id=f"{part[1]}/{part[2]}",
        path=f"{part[0]}/{name}",
        view="lateral" if "lateral" in name else "frontal",
        projection="",
        sex="",
        age=None,
        split="test",
        labels=tuple(states.tolist()),
    )


def _views(folder: Path, study: str) -> list[str]:
    """Return the image names of a study; one that is sure to be missed if there are none."""
    found = sorted(p.name for p in (folder / study).glob("view*") if p.suffix in (".jpg", ".png"))
    return found or ["view1_frontal.jpg"]


def _split_paths(
    table: Table, column: str, pattern: re.Pattern[str], example: str
) -> list[tuple[str, ...]]:
    """Return what `pattern` takes out of each path: folder, patient, study and perhaps name."""
    cells = table.columns[column]
    check_relative(cells, table.csv_path, column)
    matches = [pattern.fullmatch(cell) for cell in cells]
    table.refuse([i for i, match in enumerate(matches) if match is None], column, f"like {example}")
    return [match.groups() for match in matches if match is not None]


def _read_boxes(csv_path: Path, labels: Sequence[str]) -> tuple[Box, ...]:
    """Return the boxes of a synthetic tree: path, label and a rectangle in fractions."""
    if not csv_path.is_file():
        return ()
    table = read_table_file(csv_path)
    sides = ("x", "y", "width", "height")
    table.require(["path", "label", *sides])
    parts = _split_paths(table, "path", _PATH, "train/patient00001/study1/view1_frontal.jpg")
    rectangles = zip(*(table.numbers(side, 0.0, 1.0) for side in sides), strict=True)
    return tuple(
        Box(f"{part[0]}/{part[3]}", label, *rectangle)
        for part, label, rectangle in zip(parts, table.columns["label"], rectangles, strict=True)
        if label in labels
    )
