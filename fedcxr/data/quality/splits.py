"""The splits that a data set or its user gives, and the patients and images that two of them share.

Splits come in groups that belong together: the official lists; a CSV file with a column `split`;
one CSV file a split (`train.csv`, `valid.csv`); the files named with `--splits`. Two splits of one
group must have no patient in common; splits of different groups overlap by nature.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from fedcxr.data.identity import normal_id, normal_ids, patient_in_name, shown_patient
from fedcxr.data.readers.csv_file import read_header
from fedcxr.data.readers.split_names import split_order, splits_in_name
from fedcxr.data.readers.tables import CsvTable, nearest, read_table_file
from fedcxr.data.records import DataSet, Record
from fedcxr.errors import RecordError, some

OFFICIAL = "official splits"
BY_TABLE = "tables of the folder"
GIVEN = "given splits"

IMAGE_COLUMNS = ("Image Index", "Image_Index", "Image", "Path", "image", "path", "filename", "file")
PATIENT_COLUMNS = ("Patient ID", "Patient_ID", "PatientId", "PatientID", "patient_id", "patient")
SPLIT_COLUMN = "split"


@dataclass(frozen=True, slots=True)
class Split:
    """The images of one split, each with its patient."""

    group: str
    name: str
    images: tuple[str, ...] = field(repr=False)
    """Record paths where the data set has the image, names as the file spells them elsewhere."""
    patients: tuple[str, ...] = field(repr=False)
    """Of each image, as `normal_id` spells it; empty where nobody knows."""
    rows: tuple[int, ...] = field(default=(), repr=False)
    """Of each image, as a spreadsheet counts; none if the split is no file of its own."""
    part: str = ""
    """Of tables, the split that the name says: two of one split may share patients."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two splits of a group, compared."""

    group: str
    first: str
    second: str
    patients_of_first: int
    patients_of_second: int
    shared_patients: int
    shared_images: int
    examples: tuple[str, ...] = ()
    """The first ten shared patients, hashed, and where they are."""

    def to_json(self) -> dict[str, Any]:
        """Return the pair as JSON holds it."""
        return {
            "group": self.group,
            "first": self.first,
            "second": self.second,
            "patients_of_first": self.patients_of_first,
            "patients_of_second": self.patients_of_second,
            "shared_patients": self.shared_patients,
            "shared_images": self.shared_images,
            "examples": list(self.examples),
        }


def official_splits(dataset: DataSet) -> list[Split]:
    """Return the splits that the data set's own tables and lists make, none if there are none."""
    by_name: dict[str, list[Record]] = defaultdict(list)
    for record in dataset.records:
        if record.split:
            by_name[record.split].append(record)
    return [
        Split(
            OFFICIAL,
            name,
            tuple(record.path for record in by_name[name]),
            tuple(normal_id(record.patient_id) for record in by_name[name]),
        )
        for name in split_order(by_name)
    ]


def splits_in_folder(folder: Path, dataset: DataSet | None) -> list[Split]:
    """Return the splits of the folder's CSV files that have an image column and a column `split`.

    Raises:
        RecordError: such a file cannot be read.
    """
    found: list[Split] = []
    for csv_path in sorted(folder.glob("*.csv")):
        header = read_header(csv_path)
        if SPLIT_COLUMN in header and _first(IMAGE_COLUMNS, header):
            table = read_table_file(csv_path)
            found += _by_column(table, csv_path.name, _Lookup(dataset))
    return found


def tables_as_splits(folder: Path) -> list[Split]:
    """Return the tables and lists of a folder whose names say one split, as a split each.

    Also of tables that could not be read as a data set: their patients can still be compared.
    """
    lookup, found = _Lookup(None), list[Split]()
    for path in sorted([*folder.glob("*.csv"), *folder.glob("*_list.txt")]):
        parts = splits_in_name(path.name)
        if len(parts) != 1:
            continue
        try:
            if path.suffix == ".txt":
                split = _list(path, BY_TABLE, lookup)
            else:
                split = _whole(read_table_file(path), BY_TABLE, path.stem, lookup)
        except RecordError:
            continue  # told already, by the reader
        found.append(replace(split, part=next(iter(parts))))
    names = [split.name for split in found]
    return sorted(found, key=lambda split: split_order(names).index(split.name))


def given_splits(files: Sequence[Path], dataset: DataSet | None) -> list[Split]:
    """Return a split for each file: a CSV with patients or images, or a list of image names.

    A CSV file with a column `split` is a group of its own, with a split for each of its values.

    Raises:
        RecordError: a file cannot be read, or names neither patients nor images.
    """
    lookup, found = _Lookup(dataset), list[Split]()
    for path in files:
        if path.suffix.lower() == ".csv":
            table = read_table_file(path)
            if SPLIT_COLUMN in table.columns:
                found += _by_column(table, path.name, lookup)
            else:
                found.append(_whole(table, GIVEN, path.name, lookup))
        else:
            found.append(_list(path, GIVEN, lookup))
    return found


def compare_splits(splits: Sequence[Split]) -> list[Pair]:
    """Return every pair of splits of the same group, those with nothing in common too."""
    groups: dict[str, list[Split]] = defaultdict(list)
    for split in splits:
        groups[split.group].append(split)
    return [
        _pair(one, two)
        for group in groups.values()
        for one, two in combinations(group, 2)
        if not one.part or one.part != two.part
    ]


def split_of_images(splits: Sequence[Split]) -> list[dict[str, str]]:
    """Return, for each group, the split of each image."""
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    for split in splits:
        groups[split.group].update(dict.fromkeys(split.images, split.part or split.name))
    return list(groups.values())


def _pair(one: Split, two: Split) -> Pair:
    where = [_first_rows(split) for split in (one, two)]
    shared = sorted((where[0].keys() & where[1].keys()) - {""}, key=lambda who: where[0][who])
    shown = [
        f"{shown_patient(who)}: "
        + ", ".join(
            f"{split.name} row {rows[who]}" if split.rows else split.name
            for split, rows in zip((one, two), where, strict=True)
        )
        for who in shared[:10]
    ]
    return Pair(
        group=one.group,
        first=one.name,
        second=two.name,
        patients_of_first=len(where[0].keys() - {""}),
        patients_of_second=len(where[1].keys() - {""}),
        shared_patients=len(shared),
        shared_images=len(set(one.images) & set(two.images) - {""}),
        examples=tuple(shown),
    )


def _first_rows(split: Split) -> dict[str, int]:
    """Return each patient's first row, or first position where the split has no rows."""
    first: dict[str, int] = {}
    for position, patient in enumerate(split.patients):
        first.setdefault(patient, split.rows[position] if split.rows else position)
    return first


class _Lookup:
    """Finds the record, and so the patient, of an image named in any of the usual ways."""

    def __init__(self, dataset: DataSet | None) -> None:
        records = () if dataset is None else dataset.records
        self._by_path = {record.path: record for record in records}
        names: dict[str, Record | None] = {}
        for record in records:
            name = record.path.rpartition("/")[2]
            names[name] = None if name in names else record  # view1_frontal.jpg names nobody
        self._by_name = names

    def image(self, cell: str) -> tuple[str, str]:
        """Return the record's path and patient, or the cell itself and who its name names."""
        tail = cell.partition("/")[2]
        record = (
            self._by_path.get(cell)
            or self._by_path.get(tail)
            or self._by_name.get(cell.rpartition("/")[2])
        )
        if record is not None:
            return record.path, normal_id(record.patient_id)
        return cell, patient_in_name(cell)


def _by_column(table: CsvTable, group: str, lookup: _Lookup) -> list[Split]:
    """Return a split for each value of the column `split`."""
    cells = [cell.strip().lower() for cell in table.columns[SPLIT_COLUMN]]
    return [
        _whole(table, group, name, lookup, [i for i, cell in enumerate(cells) if cell == name])
        for name in split_order(set(cells) - {""})
    ]


def _whole(
    table: CsvTable, group: str, name: str, lookup: _Lookup, rows: Sequence[int] | None = None
) -> Split:
    """Return the split of a table's rows, all of them if none are named."""
    chosen = range(len(table)) if rows is None else rows
    image_column = _first(IMAGE_COLUMNS, table.columns)
    patient_column = _first(PATIENT_COLUMNS, table.columns)
    if not image_column and not patient_column:
        raise RecordError(
            f"{table.csv_path}: no column names images or patients"
            f"{nearest(PATIENT_COLUMNS[0], table.columns)}; it has {some([*table.columns], 20)}. "
            f"Name one of them {IMAGE_COLUMNS[2]!r} or {PATIENT_COLUMNS[2]!r}."
        )
    images, patients = [""] * len(chosen), [""] * len(chosen)
    if image_column:
        found = [lookup.image(table.columns[image_column][row]) for row in chosen]
        images, patients = [image for image, _ in found], [patient for _, patient in found]
    if patient_column:
        known = normal_ids(table.columns[patient_column])
        patients = [known[table.columns[patient_column][row]] for row in chosen]
    return Split(group, name, tuple(images), tuple(patients), tuple(row + 2 for row in chosen))


def _list(path: Path, group: str, lookup: _Lookup) -> Split:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as err:
        raise RecordError(
            f"{path}: cannot be read as a list of image names ({err}). Give a CSV file, or text "
            f"with a name a line."
        ) from err
    rows = [number for number, line in enumerate(lines, start=1) if line.strip()]
    found = [lookup.image(lines[row - 1].strip()) for row in rows]
    images, patients = [image for image, _ in found], [patient for _, patient in found]
    return Split(group, path.name, tuple(images), tuple(patients), tuple(rows))


def _first(names: Sequence[str], columns: Mapping[str, object] | Sequence[str]) -> str:
    return next((name for name in names if name in columns), "")
