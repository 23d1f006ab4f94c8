"""A hospital's own folder, `site.csv` and its images, as a data set among the others.

In deployment the table's `split` is the site's own: `train`, or `val` for its validation. Where the
folder is divided among simulated sites, each of them draws its own, so `val` is no official set.
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path

import numpy as np

from fedcxr.data.identity import normal_ids
from fedcxr.data.labels import MASKED
from fedcxr.data.paths import check_relative
from fedcxr.data.readers.csv_file import read_header
from fedcxr.data.readers.tables import STATE_CELLS, CsvTable, read_table_file
from fedcxr.data.records import DataSet, OfficialSet, Record, RecordTable
from fedcxr.errors import RecordError, some

LAYOUT = "site"
SITE_CSV = "site.csv"
COLUMNS = ("image_id", "patient_id", "study_id", "split", "view", "projection", "sex", "age")
"""Before the labels; whatever else a header names, except `path`, is a label."""

_CELLS = {**STATE_CELLS, "NA": MASKED}
_SPLITS = {split: split for split in ("train", "val", "test")}
_VIEWS = {view: view for view in ("frontal", "lateral")}
_SEXES = {sex: sex for sex in ("F", "M", "")}
_ID = re.compile(r"[0-9A-Za-z._-]{1,64}")
_CODE = re.compile(r"[0-9A-Za-z._ -]{0,16}")


def site_labels_of(folder: Path) -> tuple[str, ...]:
    """Return the labels that the `site.csv` of a folder has, in its order."""
    header = read_header(folder / SITE_CSV)
    return tuple(name for name in header if name and name not in (*COLUMNS, "path"))


def read_site_folder(
    folder: Path, labels: Sequence[str], *, source: str = LAYOUT, column: str | None = None
) -> DataSet:
    """Return the records of a hospital's own folder.

    Args:
        folder: with `site.csv`.
        labels: of its labels, those to read.
        source: what to write into the records.
        column: a column of the table to keep as the records' attribute.

    Raises:
        RecordError: the table is wrong, or says of no image where it is.
        DataError: a path leads out of the folder.
    """
    table = parse_site_table(folder / SITE_CSV)
    if table.path is None:
        raise no_path_error(folder)
    kept = read_table_file(folder / SITE_CSV)[column] if column else repeat("", len(table))
    names = normal_ids(table.patient_id)
    places = [table.labels.index(label) for label in labels]
    notes = []
    if "val" in table.split:
        notes.append(
            f"{SITE_CSV}: `val` is a site's own validation; who validates is drawn anew here."
        )
    records = map(
        Record,
        (names[patient] for patient in table.patient_id),
        table.study_id,
        table.path,
        table.view,
        table.projection,
        table.sex,
        table.age,
        ("test" if split == "test" else "" for split in table.split),
        map(tuple, table.states[:, places].tolist()),
        repeat(source),
        kept,
    )
    official = [OfficialSet("test", "table", (SITE_CSV,), source)] if "test" in table.split else []
    return DataSet(
        root=folder,
        layout=LAYOUT,
        labels=tuple(labels),
        records=tuple(records),
        notes=tuple(notes),
        official=tuple(official),
    )


def no_path_error(folder: Path) -> RecordError:
    """Return the error of a table that says of no image where it is."""
    return RecordError(
        f"{folder / SITE_CSV}: no column 'path', so the images cannot be found. Add it."
    )


def parse_site_table(csv_path: Path) -> RecordTable:
    """Return the records of a site's or a split's CSV file; its labels are those of the header.

    Whether a patient is in two splits is not looked at: `partitions.table.read_table` does.

    Raises:
        RecordError: a column is missing, or a cell holds what it may not.
        DataError: a path leads out of the file's folder.
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
    return table


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
