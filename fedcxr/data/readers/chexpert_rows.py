"""The rows of CheXpert's tables as records: a row an image, or in the test labels a row a study."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Literal

from fedcxr.data.identity import normal_ids
from fedcxr.data.image_files import SUFFIXES, only_paths
from fedcxr.data.readers.chexpert_places import (
    IMAGE_PATH,
    SPLIT_FOLDERS,
    STUDY_PATH,
    Parts,
    Place,
    find_place,
    find_places,
    place_images,
    split_paths,
)
from fedcxr.data.readers.chexpert_tables import ALIASES
from fedcxr.data.readers.tables import CsvTable, read_table_file, without_duplicates
from fedcxr.data.records import OfficialKind, OfficialSet, Record

Split = Literal["train", "val", "test"]

_DESCRIBED = ("Sex", "Age", "Frontal/Lateral", "AP/PA")
_SEXES = {"Female": "F", "Male": "M", "Unknown": "", "": ""}
_VIEWS = {"Frontal": "frontal", "Lateral": "lateral"}
_KINDS: dict[str, OfficialKind] = {"valid": "chexpert-valid", "test": "chexpert-test-2022"}
"""By folder."""
_PROJECTIONS = {code: code for code in ("AP", "PA", "LL", "RL", "")}


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What is to be read from every table of a folder."""

    home: Path
    labels: tuple[str, ...]
    source: str
    column: str | None
    """The column to keep as the records' attribute."""
    notes: list[str] = field(default_factory=list)
    """Where what a reader of the report must know is added."""
    official: list[OfficialSet] = field(default_factory=list)
    """Where the sets that are held out are added."""


def read_images(csv_path: Path, options: ReadOptions, *, split: Split, folder: str) -> list[Record]:
    """Return a record per row of train.csv, valid.csv or a table of their shape.

    Args:
        csv_path: the table.
        options: what to read.
        split: of the records.
        folder: `train`, `valid`, …: where images lie whose paths do not say it.

    Raises:
        RecordError: a column is missing, or a cell holds what it may not.
        DataError: a path leads out of the folder.
    """
    table = read_table_file(csv_path, ALIASES)
    table.require(["Path", *_DESCRIBED, *options.labels])
    if options.column is not None and split == "train":
        table.require([options.column])
    return _image_records(table, options, split, folder)


def read_evaluation(
    csv_path: Path, options: ReadOptions, *, split: Split, folder: str
) -> list[Record]:
    """Return the records of a table of the 2022 test set or of CheXlocalize.

    They are labelled by study (`Study`) or by image (`Path`), and most say nothing of the patient:
    what is not there is empty, and the view is taken from the name.

    Raises:
        RecordError: a column is missing, or a cell holds what it may not.
        DataError: a path leads out of the folder.
    """
    table = read_table_file(csv_path, ALIASES)
    is_by_study = "Study" in table.columns or "Path" not in table.columns
    table.require(["Study" if is_by_study else "Path", *options.labels])
    if not is_by_study:
        return _image_records(table, options, split, folder)
    return _study_records(table, options, split, folder)


def has_images(csv_path: Path, home: Path, folder: str) -> bool:
    """Return whether the images of an evaluation table are on disk.

    The table is opened only where batches hold the patients of all splits together.
    """
    place = find_place(home, folder)
    if not place.by_patient:
        return place.found
    table = read_table_file(csv_path, ALIASES)
    column = "Study" if "Study" in table.columns else "Path"
    pattern = STUDY_PATH if column == "Study" else IMAGE_PATH
    matches = (pattern.fullmatch(cell) for cell in table[column])
    return any(match[2] in place.by_patient for match in matches if match is not None)


def _study_records(
    table: CsvTable, options: ReadOptions, split: Split, folder: str
) -> list[Record]:
    """Return a record per image on disk of each study."""
    example = f"…/{folder}/patient64741/study1"
    parts = split_paths(table, "Study", STUDY_PATH, folder, example)
    _note_set(table, parts, options, split, folder)
    places = find_places(options.home, table, "Study", parts)
    views = [_views_of(options.home, places[part[0]].candidates(*part[1:])) for part in parts]
    paths = iter(only_paths(options.home, chain.from_iterable(views)))
    patients, studies = _identities(parts)
    states = map(tuple, table.states(options.labels).tolist())
    rows = zip(patients, studies, states, table.kept(options.column), views, strict=True)
    records = [
        Record(
            patient_id=patient,
            study_id=study,
            path=path,
            view=_view_of(path),
            projection="",
            sex="",
            age=None,
            split=split,
            labels=labels,
            source=options.source,
            attribute=cell,
        )
        for patient, study, labels, cell, mine in rows
        for path in islice(paths, len(mine))
    ]
    of_row = [row for row, mine in enumerate(views, start=2) for _ in mine]
    return without_duplicates(records, table.csv_path, options.notes, of_row)


def _views_of(home: Path, studies: Sequence[str]) -> list[list[str]]:
    """Return for each view of a study the files that it may be; without any, one that is missed."""
    found: dict[str, list[str]] = {}
    for study in studies:
        for path in sorted((home / study).glob("view*")):
            if path.suffix.lower() in SUFFIXES:
                found.setdefault(path.stem, []).append(f"{study}/{path.name}")
    return [*found.values()] or [[f"{studies[0]}/view1_frontal.jpg"]]


def _image_records(
    table: CsvTable, options: ReadOptions, split: Split, folder: str
) -> list[Record]:
    """Return a record per row."""
    example = f"…/{folder}/patient00001/study1/view1_frontal.jpg"
    parts = split_paths(table, "Path", IMAGE_PATH, folder, example)
    _note_set(table, parts, options, split, folder)
    places = find_places(options.home, table, "Path", parts)
    _note_missing(table, places, parts, options.notes)
    patients, studies = _identities(parts)
    records = list(
        map(
            Record,
            patients,
            studies,
            place_images(places, parts),
            _views(table, parts),
            _named(table, "AP/PA", _PROJECTIONS, "AP, PA, LL, RL or blank"),
            _named(table, "Sex", _SEXES, "Female, Male, Unknown or blank"),
            table.ages("Age") if "Age" in table.columns else repeat(None),
            repeat(split),
            map(tuple, table.states(options.labels).tolist()),
            repeat(options.source),
            table.kept(options.column),
        )
    )
    return without_duplicates(records, table.csv_path, options.notes)


def _note_set(
    table: CsvTable, parts: Sequence[Parts], options: ReadOptions, split: Split, folder: str
) -> None:
    """Add the official set that the rows are, if any, and a note where they are another's images.

    A valid.csv that somebody cut out of train is not the set that radiologists read.
    """
    name = table.csv_path.name
    if not parts:
        options.notes.append(f"{name} has no rows.")
        return
    elsewhere = sum(part[0] not in SPLIT_FOLDERS[folder] for part in parts)
    if elsewhere:
        options.notes.append(
            f"{name}: by their paths {elsewhere} of {len(parts)} rows are not of {folder}/."
        )
    if split != "train":
        kind = "table" if elsewhere else _KINDS[folder]
        options.official.append(OfficialSet(split, kind, (name,), options.source))


def _identities(parts: Sequence[Parts]) -> tuple[list[str], list[str]]:
    """Return the patient and the study of each path, as `normal_id` spells them."""
    known = normal_ids(chain.from_iterable((part[1], part[2]) for part in parts))
    patients = [known[part[1]] for part in parts]
    return patients, [f"{known[part[1]]}/{known[part[2]]}" for part in parts]


def _views(table: CsvTable, parts: list[Parts]) -> Iterable[str]:
    if "Frontal/Lateral" in table.columns:
        return table.named("Frontal/Lateral", _VIEWS, "Frontal or Lateral")
    return [_view_of(part[3]) for part in parts]


def _view_of(name: str) -> str:
    return "lateral" if "lateral" in name else "frontal"


def _named(table: CsvTable, column: str, names: Mapping[str, str], expected: str) -> Iterable[str]:
    """Return the cells of a column in our words, blank where the table has no such column."""
    return table.named(column, names, expected) if column in table.columns else repeat("")


def _note_missing(
    table: CsvTable, places: Mapping[str, Place], parts: list[Parts], notes: list[str]
) -> None:
    """Say how many patients no batch holds: the cache would only count their images as missing."""
    pooled = {(part[0], part[1]) for part in parts if places[part[0]].by_patient}
    absent = sum(patient not in places[split].by_patient for split, patient in pooled)
    if absent:
        notes.append(
            f"{table.csv_path.name}: {absent} of {len(pooled)} patients have no folder on disk."
        )
