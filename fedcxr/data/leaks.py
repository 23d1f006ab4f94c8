"""Patients in two places: the one mistake that makes a test set worthless.

`has_leak(train, valid, "PatientId")` answers for any two tables: pandas data frames, dictionaries
of columns, NumPy structured arrays, or paths of CSV files. Identifiers are compared by `normal_id`
alone: one person under two numbers is found, if at all, by the image itself (`quality/twins.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Protocol

from fedcxr.data.identity import by_number, normal_id
from fedcxr.data.readers.tables import nearest, read_table_file
from fedcxr.data.records import DataSet
from fedcxr.data.tokens import Tokens
from fedcxr.errors import LeakError, RecordError, some

_SPLIT_WORDS = {
    "train": "the official train set",
    "val": "the official valid set",
    "test": "the official test set",
    "": "no official set",
}


class Columns(Protocol):
    """Anything that gives a column by its name: a data frame, a dictionary, a structured array."""

    def __getitem__(self, column: str, /) -> Iterable[object]:
        """Return the cells of a column."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two splits and the members that they have in common."""

    first: str
    second: str
    shared: frozenset[str] = field(repr=False)


def has_leak(a: Columns | str | Path, b: Columns | str | Path, column: str) -> bool:
    """Return whether a patient is in both tables.

    Args:
        a: a table: anything with `table[column]`, such as a data frame, or the path of a CSV file.
        b: another.
        column: the column of both that names the patient.

    Raises:
        RecordError: a table lacks the column, or a CSV file cannot be read.

    >>> has_leak({"PatientId": [1, 2]}, {"PatientId": ["00000002"]}, "PatientId")
    True
    """
    return bool(shared_patients(a, b, column))


def shared_patients(a: Columns | str | Path, b: Columns | str | Path, column: str) -> set[str]:
    """Return the identifiers, as `normal_id` spells them, that are in both tables.

    Takes and raises what `has_leak` does.
    """
    first, second = ({normal_id(cell) for cell in _column(table, column)} for table in (a, b))
    return (first & second) - {""}


def split_overlaps(splits: Mapping[str, Iterable[object]]) -> tuple[Overlap, ...]:
    """Return what each pair of the splits has in common, every pair in order, empty ones too.

    >>> [(o.first, o.second, len(o.shared)) for o in split_overlaps({"a": [1, 2], "b": ["02"]})]
    [('a', 'b', 1)]
    """
    members = {
        name: frozenset(normal_id(one) for one in ids) - {""} for name, ids in splits.items()
    }
    return tuple(
        Overlap(one, other, members[one] & members[other])
        for one, other in combinations(members, 2)
    )


def refuse_shared_patients(dataset: DataSet, tokens: Tokens) -> None:
    """Raise LeakError if a patient is in two of the official splits.

    Args:
        dataset: the records; those of no official split are one more set.
        tokens: for the patients that the message names.
    """
    patients: dict[str, set[str]] = {split: set() for split in _SPLIT_WORDS}
    for record in dataset.records:
        patients[record.split].add(record.patient_id)
    shared = [
        f"{len(overlap.shared)} patients are in {_SPLIT_WORDS[overlap.first]} and in "
        f"{_SPLIT_WORDS[overlap.second]}: "
        f"{some([tokens.patient(patient) for patient in sorted(overlap.shared, key=by_number)])}"
        for overlap in split_overlaps(patients)
        if overlap.shared
    ]
    if shared:
        raise LeakError(
            f"{dataset.root}: {'; '.join(shared)} (keyed hashes). Fetch the official lists again, "
            f"or remove them all to have the patients split anew; `fedcxr check-data` shows every "
            f"pair."
        )


def _column(table: Columns | str | Path, column: str) -> Iterable[object]:
    if isinstance(table, str | Path):
        name, columns = str(table), read_table_file(Path(table)).columns
        if column not in columns:
            raise _no_column(name, column, [*columns])
        return columns[column]
    try:
        cells = table[column]
    except (KeyError, IndexError, ValueError, TypeError) as err:
        raise _no_column("the table", column, _column_names(table)) from err
    if isinstance(cells, str | bytes) or getattr(cells, "ndim", 1) != 1:
        raise RecordError(
            f"the table's column {column!r} is no single column of cells: it is there twice, has "
            f"two dimensions or is one text. Give one patient in each row."
        )
    return cells


def _no_column(name: str, column: str, known: Sequence[str]) -> RecordError:
    there = f"; it has {some([*known], 20)}" if known else ""
    return RecordError(
        f"{name} has no column {column!r}{nearest(column, known)}{there}. Name the column that "
        f"says whose image it is."
    )


def _column_names(table: object) -> list[str]:
    for names in (
        getattr(table, "columns", None),  # a data frame
        getattr(getattr(table, "dtype", None), "names", None),  # a structured array
        table if isinstance(table, Mapping) else None,
    ):
        if names is not None:
            return [str(name) for name in names]
    return []
