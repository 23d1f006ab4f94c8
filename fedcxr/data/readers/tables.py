"""A CSV file as columns of text, chosen by name: what every table reader shares.

Nothing is guessed: a column that is missing or there twice and a cell outside its vocabulary are
refused with the file, the rows and the mend. Row numbers are those a spreadsheet shows: the header
is row 1. What a CSV file has to be is in `fedcxr/data/readers/csv_file.py`.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.labels import BLANK, NEGATIVE, POSITIVE, UNCERTAIN
from fedcxr.data.readers.csv_file import read_rows
from fedcxr.data.records import Record
from fedcxr.errors import RecordError, some

STATE_CELLS = {
    "1": POSITIVE,
    "1.0": POSITIVE,
    "0": NEGATIVE,
    "0.0": NEGATIVE,
    "-1": UNCERTAIN,
    "-1.0": UNCERTAIN,
    "": BLANK,
}
"""Every way in which a copy of CheXpert writes a label."""

# not all that `float` reads: 1_0 is no number, nor are digits of other scripts
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class CsvTable:
    """The text cells of one CSV file, by column."""

    csv_path: Path
    columns: dict[str, tuple[str, ...]]
    num_rows: int

    def __len__(self) -> int:
        return self.num_rows

    def __getitem__(self, column: str) -> tuple[str, ...]:
        """Return the cells of a column."""
        self.require([column])
        return self.columns[column]

    def kept(self, column: str | None) -> Iterable[str]:
        """Return the cells of a column that a table may lack: blank, one a row, if it does."""
        return self.columns.get(column or "", repeat("", self.num_rows))

    def require(self, names: Iterable[str]) -> None:
        """Raise RecordError naming the columns that are missing, each with the nearest present.

        Also where one differs from another in letter case or blanks alone: either may be meant.
        """
        names = list(names)
        missing = [name for name in names if name not in self.columns]
        if not missing:
            self._refuse_twins(names)
            return
        described = [f"{name!r}{nearest(name, self.columns)}" for name in missing]
        only = next(iter(self.columns), "") if len(self.columns) == 1 else ""
        if ";" in only or "\t" in only:
            raise RecordError(
                f"{self.csv_path}: row 1: the columns are not separated by commas. Save it again "
                f"as CSV with commas."
            )
        raise RecordError(
            f"{self.csv_path}: row 1: missing column{'s' * (len(missing) > 1)} "
            f"{some(described)}. Rename the column in the header, or fetch the file again."
        )

    def _refuse_twins(self, names: Sequence[str]) -> None:
        spelled: dict[str, list[str]] = {}
        for name in self.columns:
            spelled.setdefault("".join(name.split()).casefold(), []).append(name)
        twins = [
            same for same in spelled.values() if len(same) > 1 and not set(names).isdisjoint(same)
        ]
        if twins:
            raise RecordError(
                f"{self.csv_path}: row 1: columns {' and '.join(map(repr, twins[0]))} differ in "
                f"letter case or blanks alone, and which is meant cannot be told. Remove or rename "
                f"one."
            )

    def refuse(self, bad: Sequence[int], column: str, expected: str) -> None:
        """Raise RecordError naming the rows at positions `bad` of `column`, if there are any."""
        if not bad:
            return
        value = self.columns[column][bad[0]]
        rows = some([str(position + 2) for position in bad])
        raise RecordError(
            f"{self.csv_path}: {len(bad)} row{'s' * (len(bad) > 1)} with a wrong {column!r} "
            f"(row {rows}): the first is {value[:60]!r}, expected {expected}. "
            f"Mend these rows or fetch the file again."
        )

    def coded(self, column: str, codes: Mapping[str, int], expected: str) -> NDArray[np.int8]:
        """Return the column's cells as the small integers that `codes` gives them, (N,)."""
        found = [codes.get(cell) for cell in self.columns[column]]
        if None in found:
            self.refuse([i for i, code in enumerate(found) if code is None], column, expected)
        return np.array(found, dtype=np.int8)

    def named(self, column: str, names: Mapping[str, str], expected: str) -> list[str]:
        """Return the column's cells as the words that `names` gives them."""
        found = [names.get(cell) for cell in self.columns[column]]
        self.refuse([i for i, name in enumerate(found) if name is None], column, expected)
        return [name for name in found if name is not None]

    def states(self, labels: Sequence[str]) -> NDArray[np.int8]:
        """Return the label states of the columns `labels`, (N, L).

        Raises:
            RecordError: a cell is not 1, 0, -1 or blank.
        """
        self.require(labels)
        states = np.empty((len(self), len(labels)), dtype=np.int8)
        for column, label in enumerate(labels):
            states[:, column] = self.coded(label, STATE_CELLS, "1, 0, -1 or blank")
        return states

    def ages(self, column: str) -> list[int | None]:
        """Return ages in years, None where the cell is blank; `68`, `68.0` and `068Y` are read."""
        read = {cell: _age(cell) for cell in set(self.columns[column])}
        bad = [i for i, cell in enumerate(self.columns[column]) if read[cell] == -1]
        self.refuse(bad, column, "whole years from 0 to 150, or blank")
        return [read[cell] for cell in self.columns[column]]

    def numbers(self, column: str, low: float, high: float) -> list[float]:
        """Return the column's cells as numbers in [low, high]."""
        found = [_number(cell) for cell in self.columns[column]]
        bad = [i for i, number in enumerate(found) if not low <= number <= high]
        self.refuse(bad, column, f"a number from {low:g} to {high:g}")
        return found


def read_table_file(
    csv_path: Path,
    aliases: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
) -> CsvTable:
    """Return the columns of a CSV file; one without a name in the header is left out.

    Args:
        csv_path: the file, as `fedcxr/data/readers/csv_file.py` accepts it.
        aliases: other spellings of a column's name, each with the name to use.
        only: the columns that are wanted, none = all; the cells of others come blank.

    Raises:
        RecordError: the file is missing, too large, not UTF-8 text, not a rectangular table, or
            has a formula in a cell or a column twice.
    """
    known = aliases or {}
    is_wanted = None if only is None else lambda name: known.get(name, name) in only
    rows = read_rows(csv_path, is_wanted)
    names = [known.get(name.strip(), name.strip()) for name in rows.pop(0)]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise RecordError(
            f"{csv_path}: row 1: column {some([repr(name) for name in twice])} is there twice; "
            f"remove one."
        )
    columns = list(zip(*rows, strict=False)) if rows else [()] * len(names)
    by_name = {name: cells for name, cells in zip(names, columns, strict=False) if name}
    return CsvTable(csv_path, by_name, len(rows))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the known name nearest to `name`, or nothing.

    >>> nearest("Pneumotorax", ["Edema", "Pneumothorax"])
    " (did you mean 'Pneumothorax'?)"
    """
    by_lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=2, cutoff=0.5)
    words = " or ".join(repr(by_lower[other]) for other in close)
    return f" (did you mean {words}?)" if words else ""


def without_duplicates(
    records: list[Record],
    csv_path: Path,
    notes: list[str],
    rows: Sequence[int | str] | None = None,
) -> list[Record]:
    """Return the records with each image once; those that repeat one exactly are counted in notes.

    Args:
        records: of the table.
        csv_path: the table, for messages.
        notes: where the repeated ones are counted.
        rows: (N,) the row of each record, as a spreadsheet counts; none = one a record.

    Raises:
        RecordError: two rows give the same image different values.
    """
    first: dict[str, Record] = {}
    for record in records:
        kept = first.setdefault(record.path, record)
        if kept is not record and kept != record:
            numbers: Sequence[int | str] = rows or range(2, len(records) + 2)
            twice = zip(numbers, records, strict=True)
            shown = [str(row) for row, other in twice if other.path == record.path]
            raise RecordError(
                f"{csv_path}: rows {some(shown)} are the same image with different values. "
                f"Keep the right one."
            )
    if len(first) < len(records):
        notes.append(f"{csv_path.name}: {len(records) - len(first)} repeated rows left out.")
    return list(first.values())


def _number(cell: str) -> float:
    return float(cell) if _NUMBER.fullmatch(cell) else float("nan")


def _age(cell: str) -> int | None:
    """Return whole years, None for a blank, -1 for anything that is no age."""
    if not cell:
        return None
    text = cell.removesuffix("Y").removesuffix(".0")
    is_age = text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 150
    return int(text) if is_age else -1
