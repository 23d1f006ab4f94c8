"""The cells of a table of one's own, in the words that its `dataset.yaml` has for them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.dataset_file import DatasetFile
from fedcxr.data.identity import normal_ids
from fedcxr.data.labels import BLANK, NEGATIVE, POSITIVE, UNCERTAIN
from fedcxr.data.readers.tables import CsvTable, nearest
from fedcxr.errors import RecordError, some

MAX_AGE_YEARS = 150

_STATES = {"present": POSITIVE, "absent": NEGATIVE, "uncertain": UNCERTAIN, "blank": BLANK}
_WHOLE_AS_FLOAT = re.compile(r"([+-]?[0-9]+)\.0+")
_AGE = re.compile(r"0*([0-9]{1,4})(?:\.[0-9]+)?\s*([DWMY]?)")
_DAYS = {"D": 1.0, "W": 7.0, "M": 365.25 / 12, "Y": 365.25, "": 365.25}


def same_cell(cell: str) -> str:
    """Return a cell as it is compared: without blanks around it, case, or the `.0` of a number.

    >>> same_cell(" Yes"), same_cell("1.0"), same_cell("-1")
    ('yes', '1', '-1')
    """
    text = cell.strip().casefold()
    whole = _WHOLE_AS_FLOAT.fullmatch(text)
    return whole[1] if whole else text


@dataclass(frozen=True, slots=True)
class OwnTable:
    """A table with the file that says what it holds."""

    table: CsvTable
    file: DatasetFile

    def require(self, columns: Sequence[tuple[str, tuple[str, ...]]]) -> None:
        """Raise RecordError for every column that the table lacks, with the line that names it.

        Args:
            columns: each with the key of `dataset.yaml` that names it.
        """
        known = self.table.columns
        missing = [
            f"{self.file.at(*key)}: {self.table.csv_path.name} has no column {name!r}"
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
        """Return what each cell of a column means, by the words of each meaning."""
        meanings = {same_cell(word): name for name, words in rules.items() for word in words}
        found = [meanings.get(same_cell(cell)) for cell in self.table[column]]
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
            return self._listed_states(labels)
        states = np.full((len(self.table), len(labels)), BLANK, dtype=np.int8)
        problems = []
        for place, label in enumerate(labels):
            rules = says.rules_of(label)
            column = str(says.labels[label].column)
            codes = {same_cell(w): _STATES[name] for name, words in rules.items() for w in words}
            found = [codes.get(same_cell(cell)) for cell in self.table[column]]
            bad = [i for i, code in enumerate(found) if code is None]
            if bad:
                problems.append(self._wrong(bad, column, ("labels", label), _listed(rules)))
            else:
                states[:, place] = [code for code in found if code is not None]
        if problems:
            raise RecordError("\n".join(problems))
        return states

    def ages(self, column: str) -> list[int | None]:
        """Return ages in whole years, None where the cell is blank."""
        read = {cell: age_of(cell.strip().upper()) for cell in set(self.table[column])}
        bad = [i for i, cell in enumerate(self.table[column]) if read[cell] == -1]
        self.refuse(bad, column, ("age",), "an age such as 58, 58.0, 058Y or 018M, or blank")
        return [read[cell] for cell in self.table[column]]

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
                    f"{self.file.at(*key)}: in {self.table.csv_path.name} rows {other + 2} and "
                    f"{row + 2} have the same {column!r} but for letter case, blanks or leading "
                    f"zeros, and whether that is one patient cannot be told. Spell one patient in "
                    f"one way, and two in ways that differ in more."
                )
        return [known[cell] for cell in cells]

    def _listed_states(self, labels: Sequence[str]) -> NDArray[np.int8]:
        """Return the states of labels that one column lists."""
        says = self.file.says
        findings = says.findings
        assert findings is not None
        words: dict[str, list[tuple[str, int]]] = {}
        for label in says.labels:
            for name, own in says.rules_of(label).items():
                for word in own:
                    words.setdefault(same_cell(word), []).append((label, _STATES[name]))
        silent = {same_cell(word) for word in (*findings.none, *findings.ignored)}
        blank = {same_cell(word) for word in says.values.blank} - silent
        by_cell: dict[str, list[int] | None] = {}
        for cell in set(self.table[findings.column]):
            if same_cell(cell) in blank:
                by_cell[cell] = [BLANK] * len(labels)
                continue
            parts = [same_cell(part) for part in cell.split(findings.separator)]
            # present after uncertain, so that it counts where a cell has both
            found = dict(sorted(one for part in parts for one in words.get(part, ())))
            is_known = all(part in words or part in silent for part in parts)
            by_cell[cell] = [found.get(label, NEGATIVE) for label in labels] if is_known else None
        rows = [by_cell[cell] for cell in self.table[findings.column]]
        bad = [i for i, row in enumerate(rows) if row is None]
        expected = (
            f"words of the labels separated by {findings.separator!r}, or those of findings.none "
            "and findings.ignored"
        )
        self.refuse(bad, findings.column, ("findings",), expected)
        return np.array(rows, dtype=np.int8).reshape(len(rows), len(labels))

    def _wrong(self, bad: Sequence[int], column: str, key: tuple[str, ...], expected: str) -> str:
        value = self.table.columns[column][bad[0]]
        rows = some([str(position + 2) for position in bad])
        return (
            f"{self.file.at(*key)}: {self.table.csv_path.name} has {len(bad)} "
            f"row{'s' * (len(bad) > 1)} (row {rows}) whose {column!r} no rule covers: the first is "
            f"{value[:60]!r}, expected {expected}. Add the value there, or mend the rows."
        )


def _listed(rules: Mapping[str, Iterable[str]]) -> str:
    """Return the words of each meaning that has any.

    >>> _listed({"present": ("1",), "absent": (), "blank": ("", "NA")})
    "present ('1'), blank ('', 'NA')"
    """
    said = {name: ", ".join(map(repr, words)) for name, words in rules.items()}
    return ", ".join(f"{name or 'blank'} ({words})" for name, words in said.items() if words)


def age_of(cell: str) -> int | None:
    """Return whole years, None for a blank, -1 for anything that is no age."""
    if not cell:
        return None
    match = _AGE.fullmatch(cell)
    if match is None:
        return -1
    years = int(int(match[1]) * _DAYS[match[2]] / _DAYS["Y"])
    return years if years <= MAX_AGE_YEARS else -1
