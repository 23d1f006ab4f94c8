"""The cells of a table of one's own, in the words that its `dataset.yaml` has for them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.dataset_file import DatasetFile
from fedcxr.config.dataset_sections import ALL_OTHERS, AgeColumn
from fedcxr.data.identity import normal_ids
from fedcxr.data.labels import BLANK
from fedcxr.data.readers.own_findings import STATES, listed_states, same_cell
from fedcxr.data.readers.own_tables import Columns, ReadTables
from fedcxr.data.readers.tables import CsvTable, nearest
from fedcxr.errors import RecordError, some

MAX_AGE_YEARS = 150

_AGE = re.compile(r"0*([0-9]{1,4})(?:\.[0-9]+)?\s*([DWMY]?)|([0-9]{1,3})\s*(?:\+|OR MORE)")
_YEAR = re.compile(r"(1[89][0-9]{2}|20[0-9]{2})(?:\.0|-?[0-9]{2}-?[0-9]{2})?")
_DAYS = {"D": 1.0, "W": 7.0, "M": 365.25 / 12, "Y": 365.25, "": 365.25}


@dataclass(frozen=True, slots=True)
class OwnTable:
    """The rows with the file that says what they hold."""

    tables: ReadTables
    file: DatasetFile

    @property
    def table(self) -> CsvTable:
        """Return the rows."""
        return self.tables.table

    def require(self, columns: Columns) -> None:
        """Raise RecordError for every column that the table lacks, with the line that names it.

        Args:
            columns: each with the key of `dataset.yaml` that names it.
        """
        known = self.table.columns
        missing = [
            f"{self.file.at(*key)}: {self.tables.name} has no column {name!r}"
            f"{nearest(name, known)}."
            for name, key in columns
            if name not in known
        ]
        if len(missing) == len(columns) and len(known) == 1:
            self.table.require([columns[0][0]])  # not separated by commas
        if missing:
            raise RecordError(
                "\n".join([*missing, f"Its columns are {some([*map(repr, known)], 40)}."])
            )
        self.table.require([name for name, _ in columns])

    def cells(self, column: str) -> list[str]:
        """Return the cells of a column without the blanks around them."""
        return [cell.strip() for cell in self.table[column]]

    def refuse(self, bad: Sequence[int], column: str, key: tuple[str, ...], expected: str) -> None:
        """Raise RecordError for the rows at positions `bad`, with the line of `dataset.yaml`."""
        if bad:
            raise RecordError(self._wrong(bad, column, key, expected))

    def named(
        self, column: str, rules: Mapping[str, Iterable[str]], key: tuple[str, ...]
    ) -> list[str]:
        """Return what each cell of a column means, by the words of each meaning.

        A meaning with the word `*` has all cells that no other has.
        """
        meanings = {same_cell(word): name for name, words in rules.items() for word in words}
        rest = meanings.pop(ALL_OTHERS, None)
        found = [meanings.get(same_cell(cell), rest) for cell in self.table[column]]
        bad = [i for i, name in enumerate(found) if name is None]
        self.refuse(bad, column, key, _listed(rules))
        return [name for name in found if name is not None]

    def states(self, labels: Sequence[str]) -> NDArray[np.int8]:
        """Return the (N, L) states of the labels.

        Raises:
            RecordError: a cell that no rule covers; every label's are told together.
        """
        says = self.file.says
        if says.findings is not None:
            return self._of_lists(labels)
        states = np.full((len(self.table), len(labels)), BLANK, dtype=np.int8)
        problems = []
        for place, label in enumerate(labels):
            rules = says.rules_of(label)
            column = str(says.labels[label].column)
            codes = {same_cell(w): STATES[name] for name, words in rules.items() for w in words}
            found = [codes.get(same_cell(cell)) for cell in self.table[column]]
            bad = [i for i, code in enumerate(found) if code is None]
            if bad:
                problems.append(self._wrong(bad, column, ("labels", label), _listed(rules)))
            else:
                states[:, place] = [code for code in found if code is not None]
        if problems:
            raise RecordError("\n".join(problems))
        return states

    def ages(self, rule: AgeColumn) -> list[int | None]:
        """Return ages in whole years, None where the cell is blank."""
        cells = self.table[rule.column]
        if rule.date is None:
            read = {cell: age_of(cell.strip().upper()) for cell in set(cells)}
            found = [read[cell] for cell in cells]
            expected = "an age such as 58, 58.0, 058Y, 018M or '85 or more', or blank"
        else:
            pairs = zip(cells, self.table[rule.date], strict=True)
            found = [years_between(birth.strip(), day.strip()) for birth, day in pairs]
            expected = f"a year of birth before the day in {rule.date!r}, or blank"
        self.refuse(
            [i for i, age in enumerate(found) if age == -1], rule.column, ("age",), expected
        )
        return found

    def identifiers(self, column: str, key: tuple[str, ...]) -> list[str]:
        """Return the patients of a column as `normal_id` spells them, empty for nobody.

        Raises:
            RecordError: two spellings that are one identifier but for case, blanks or zeros.
        """
        cells = self.cells(column)
        known = normal_ids(cells)
        first: dict[str, int] = {}
        for row, cell in enumerate(cells):
            other = first.setdefault(known[cell], row)
            if known[cell] and cells[other] != cell:
                raise RecordError(
                    f"{self.file.at(*key)}: in {self.tables.name} rows "
                    f"{self.tables.row(other)} and {self.tables.row(row)} have the same "
                    f"{column!r} but for letter case, blanks or leading "
                    f"zeros, and whether that is one patient cannot be told. Spell one patient in "
                    f"one way, and two in ways that differ in more."
                )
        return [known[cell] for cell in cells]

    def _of_lists(self, labels: Sequence[str]) -> NDArray[np.int8]:
        """Return the states of labels that one column lists."""
        findings = self.file.says.findings
        assert findings is not None
        rows = listed_states(self.table[findings.column], self.file.says, labels)
        bad = [i for i, row in enumerate(rows) if row is None]
        expected = (
            f"words of the labels separated by {findings.separator!r}, or those of findings.none "
            "and findings.ignored"
        )
        self.refuse(bad, findings.column, ("findings",), expected)
        return np.array(rows, dtype=np.int8).reshape(len(rows), len(labels))

    def _wrong(self, bad: Sequence[int], column: str, key: tuple[str, ...], expected: str) -> str:
        value = self.table.columns[column][bad[0]]
        joined = self.tables.joined.get(column)
        of = f" of {joined}" if joined else ""
        return (
            f"{self.file.at(*key)}: {self.tables.name} has {len(bad)} "
            f"row{'s' * (len(bad) > 1)} ({self.tables.rows(bad)}) whose {column!r}{of} "
            f"no rule covers: the first is {value[:60]!r}, expected {expected}. "
            f"Add the value there, or mend the rows."
        )


def _listed(rules: Mapping[str, Iterable[str]]) -> str:
    """Return the words of each meaning that has any.

    >>> _listed({"present": ("1",), "absent": (), "blank": ("", "NA")})
    "present ('1'), blank ('', 'NA')"
    """
    said = {name: ", ".join(map(repr, words)) for name, words in rules.items()}
    return ", ".join(f"{name or 'blank'} ({words})" for name, words in said.items() if words)


def age_of(cell: str) -> int | None:
    """Return whole years, None for a blank, -1 for anything that is no age.

    >>> age_of("058Y"), age_of("018M"), age_of("85 OR MORE"), age_of("old")
    (58, 1, 85, -1)
    """
    if not cell:
        return None
    match = _AGE.fullmatch(cell)
    if match is None:
        return -1
    years = int(int(match[1] or match[3]) * _DAYS[match[2] or ""] / _DAYS["Y"])
    return years if years <= MAX_AGE_YEARS else -1


def years_between(birth: str, day: str) -> int | None:
    """Return a day's year less that of the birth, None where either is blank, -1 for no years.

    >>> years_between("1932.0", "20140915"), years_between("", "20140915")
    (82, None)
    """
    if not birth or not day:
        return None
    years = [_YEAR.fullmatch(cell) for cell in (birth, day)]
    if years[0] is None or years[1] is None:
        return -1
    age = int(years[1][1]) - int(years[0][1])
    return age if 0 <= age <= MAX_AGE_YEARS else -1
