"""Reads a data set for checking: what is wrong with its tables becomes a finding, not the end.

Where the tables cannot be read, the image files that are there stand in for them, so that damage
and copies are found all the same.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fedcxr.data.identity import normal_id, patient_in_name
from fedcxr.data.image_files import SUFFIXES
from fedcxr.data.quality.findings import PROBLEM, Finding
from fedcxr.data.quality.outlines import outline_files, read_outlines, unknown_keys
from fedcxr.data.quality.splits import (
    Split,
    given_splits,
    official_splits,
    splits_in_folder,
    tables_as_splits,
)
from fedcxr.data.read import read_dataset
from fedcxr.data.readers.csv_file import read_header
from fedcxr.data.readers.layouts import NIH14, NIH14_ONEHOT, recognise
from fedcxr.data.readers.nih14 import entry_tables
from fedcxr.data.readers.nih14_onehot import onehot_dataset, read_onehot_tables
from fedcxr.data.records import DataSet, Record
from fedcxr.errors import DataError, LeakError, RecordError

FILES = "files"
"""Layout of a data set whose tables could not be read."""

_FOLLOW_UP = ("Follow-up #", "Follow_Up_#")


@dataclass(frozen=True, slots=True)
class Reading:
    """A data set as far as it can be read."""

    dataset: DataSet
    splits: tuple[Split, ...]
    findings: tuple[Finding, ...]


def read_for_check(
    root: Path, split_files: Sequence[Path] = (), *, follow_links: bool = False
) -> Reading:
    """Return the data set in `root`, its splits, and what is wrong with its tables.

    Args:
        root: as `read_dataset` takes it.
        split_files: more splits, as `given_splits` takes them.
        follow_links: as `read_dataset` takes it.

    Raises:
        DataError: no data set is recognised, or a split file cannot be read.
    """
    place = _place(root)
    if place is None:
        outlines = read_outlines(root)
        return Reading(outlines.dataset, tuple(given_splits(split_files, None)), outlines.findings)
    folder, layout = place
    findings: list[Finding] = []
    try:
        dataset = _read(root, folder, layout, follow_links=follow_links)
    except DataError as err:
        dataset = files_as_dataset(folder)
        findings.append(_table_finding(err))
    dataset = replace(dataset, follow_links=follow_links)
    splits = _own_splits(folder, dataset)
    try:
        splits += splits_in_folder(folder, dataset)
    except RecordError as err:
        findings.append(_table_finding(err))
    splits += given_splits(split_files, dataset)
    if outline_files(folder):
        outlines = read_outlines(folder)
        findings += [*outlines.findings, *unknown_keys(outlines, dataset)]
    return Reading(dataset, tuple(splits), tuple(findings))


def _place(root: Path) -> tuple[Path, str] | None:
    """Return the folder and layout of the data set, None where there are only outlines."""
    try:
        return recognise(root)
    except DataError:
        if root.is_dir() and outline_files(root):
            return None
        raise


def _visit_column(folder: Path, layout: str) -> str | None:
    """Return the column of NIH's table that numbers the visits, if there is one.

    The corrected table of 2020 numbers visits by age; the names of the files do not.
    """
    header = read_header(entry_tables(folder)[0]) if layout == NIH14 else ()
    return next((name for name in _FOLLOW_UP if name in header), None)


def _own_splits(folder: Path, dataset: DataSet) -> list[Split]:
    """Return the splits of the data set; those that are a file each keep its name and rows."""
    is_by_file = dataset.layout in (NIH14_ONEHOT, FILES)
    return tables_as_splits(folder) if is_by_file else official_splits(dataset)


def _read(root: Path, folder: Path, layout: str, *, follow_links: bool) -> DataSet:
    """Return the data set, one-hot tables also where they share patients: other findings tell."""
    try:
        return read_dataset(root, column=_visit_column(folder, layout), follow_links=follow_links)
    except LeakError:
        if layout != NIH14_ONEHOT:
            raise
        return onehot_dataset(folder, read_onehot_tables(folder))


def files_as_dataset(folder: Path) -> DataSet:
    """Return a record without labels for each image file below a folder, in the order of names."""
    records = tuple(_record_of(path) for path in sorted(_image_files(folder)))
    return DataSet(folder, FILES, (), records)


def _record_of(path: str) -> Record:
    patient = patient_in_name(path)
    return Record(
        patient_id=patient or normal_id(path),
        study_id=path.rpartition("/")[0] if patient.startswith("patient") else path,
        path=path,
        view="lateral" if "lateral" in path.rpartition("/")[2].lower() else "frontal",
        projection="",
        sex="",
        age=None,
        split="",
        labels=(),
    )


def _image_files(folder: Path) -> Iterator[str]:
    for place, _, names in os.walk(folder):
        inside = Path(place).relative_to(folder).as_posix()
        start = "" if inside == "." else f"{inside}/"
        yield from (start + name for name in names if name.lower().endswith(SUFFIXES))


def _table_finding(err: DataError) -> Finding:
    return Finding(
        "table",
        PROBLEM,
        1,
        "Tables that cannot be read",
        str(err),
        "Do what the message says; the checks of its rows wait for that.",
    )
