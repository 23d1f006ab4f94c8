"""The CSV file of one site or of one of the server's splits: written, and read back strictly.

A site reads its own file and nothing else of the plan; a real hospital brings the same file, with
one more column, `path`, that says where each image is, relative to the file's folder. A label cell
is 1, 0, -1, blank, or NA where the source of the image does not have the label.
"""

import csv
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from fedcxr.data.identity import normal_ids
from fedcxr.data.labels import BLANK, MASKED
from fedcxr.data.paths import check_relative
from fedcxr.data.readers.tables import STATE_CELLS, CsvTable, read_table_file
from fedcxr.data.records import RecordTable
from fedcxr.errors import RecordError, some
from partitions.patients import prove_disjoint, table_sets

COLUMNS = ("image_id", "patient_id", "study_id", "split", "view", "projection", "sex", "age")
"""Before the labels; whatever else a header names, except `path`, is a label."""

_CELLS = {**STATE_CELLS, "NA": MASKED}
_WRITTEN = {BLANK: "", MASKED: "NA"}
_SPLITS = {split: split for split in ("train", "val", "test")}
_VIEWS = {view: view for view in ("frontal", "lateral")}
_SEXES = {sex: sex for sex in ("F", "M", "")}
_ID = re.compile(r"[0-9A-Za-z._-]{1,64}")
_CODE = re.compile(r"[0-9A-Za-z._ -]{0,16}")


def write_table(table: RecordTable, csv_path: Path) -> None:
    """Write the records, in their order."""
    own = ["path"] if table.path is not None else []
    columns = [
        table.image_id,
        table.patient_id,
        table.study_id,
        table.split,
        table.view,
        table.projection,
        table.sex,
        ["" if age is None else age for age in table.age],
        *([table.path] if table.path is not None else []),
        *([[_WRITTEN.get(s, s) for s in states] for states in table.states.T.tolist()]),
    ]
    with csv_path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *own, *table.labels])
        writer.writerows(zip(*columns, strict=True))


def read_table(csv_path: Path) -> RecordTable:
    """Return the records of a site's or a split's CSV file; its labels are those of the header.

    Raises:
        RecordError: a column is missing, or a cell holds what it may not.
        DataError: a path leads out of the file's folder.
        LeakError: a patient is in two splits of the file.
    """
    source = read_table_file(csv_path)
    source.require(COLUMNS)
    labels = tuple(name for name in source.columns if name not in (*COLUMNS, "path"))
    if not labels:
        raise RecordError(f"{csv_path}: row 1: no label column after {COLUMNS[-1]!r}; add one.")
    path = source.columns.get("path")
    if path is not None:
        check_relative(path, csv_path, "path")
    table = RecordTable(
        labels=labels,
        image_id=_matching(source, "image_id", _ID),
        patient_id=_matching(source, "patient_id", _ID),
        study_id=_matching(source, "study_id", _ID),
        split=tuple(source.named("split", _SPLITS, "train, val or test")),
        view=tuple(source.named("view", _VIEWS, "frontal or lateral")),
        projection=_matching(source, "projection", _CODE),
        sex=tuple(source.named("sex", _SEXES, "F, M or blank")),
        age=tuple(source.ages("age")),
        states=np.column_stack(
            [source.coded(label, _CELLS, "1, 0, -1, NA or blank") for label in labels]
        ),
        path=path,
    )
    _check_unique(table, csv_path)
    prove_disjoint(table_sets(csv_path.stem, table if path is None else _told_apart(table)))
    return table


def _told_apart(table: RecordTable) -> RecordTable:
    """Return a hospital's own table with its patients as `normal_id` spells them.

    Not the tables of a partition: their tokens are of one length and in one spelling.
    """
    known = normal_ids(table.patient_id)
    return replace(table, patient_id=tuple(known[patient] for patient in table.patient_id))


def _matching(source: CsvTable, column: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
    cells = source.columns[column]
    bad = [i for i, cell in enumerate(cells) if not pattern.fullmatch(cell)]
    source.refuse(bad, column, "letters, digits, '.', '_' and '-'")
    return cells


def _check_unique(table: RecordTable, csv_path: Path) -> None:
    if len(set(table.image_id)) < len(table):
        twice = [name for name, count in Counter(table.image_id).items() if count > 1]
        raise RecordError(
            f"{csv_path}: {len(twice)} images are there more than once: {some(twice)}. Remove "
            f"the repeated rows."
        )
