"""A table as the page shows it: rounded, its intervals below its numbers, its reasons below all.

Why a number or an interval is missing stands below the table, once for all cells it holds for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fedcxr.report import wording
from fedcxr.report.wording import p_value, signed, signed_interval
from fedcxr.results.comparison import Comparison
from fedcxr.results.score import Score
from fedcxr.results.tables import all_tables
from fedcxr.results.tables.result_table import Cell, Column, Kind, Table

_WORDS: Mapping[str, Callable[[Any], str]] = {
    "value": lambda value: wording.fixed(value).replace("-", "−"),
    "count": wording.count,
    "share": lambda value: wording.percent(value, 1),
    "p": p_value,
    "size": wording.size,
    "duration": wording.duration,
}
_TEXTS = ("head", "text", "verdict", "hidden", "reason", "remark")
_NOT_SHOWN = ("hidden", "reason", "remark")


@dataclass(frozen=True, slots=True)
class Shown:
    """A cell as the page shows it."""

    text: str
    interval: str
    mark: str
    """Of the reason below the table; empty if there is nothing to explain."""
    kind: Kind
    heading: str

    @property
    def is_number(self) -> bool:
        """Whether it is set to the right."""
        return self.kind not in _TEXTS


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table with the columns that have anything to tell."""

    table: Table

    @property
    def name(self) -> str:
        """The stem of its files."""
        return self.table.name

    @property
    def rows(self) -> tuple[tuple[Cell, ...], ...]:
        """Its rows as they are."""
        return self.table.rows

    def only(self, key: str, value: Cell) -> "PageTable":
        """Return the rows with this value, without its column."""
        return PageTable(self.table.only(key, value))

    def values(self, key: str) -> list[Cell]:
        """Return what stands in a column, each value once, in the order of the rows."""
        return self.table.values(key)

    @property
    def page_columns(self) -> list["PageColumn"]:
        """The columns that the page shows."""
        columns = (self.table.columns[place] for place in self._places())
        return [PageColumn(column.heading, column.kind not in _TEXTS) for column in columns]

    def shown(self) -> list[list[Shown]]:
        """Return the cells as the page shows them."""
        places = self._places()
        marks = {reason: mark for mark, reason in self.reasons()}
        columns = self.table.columns
        return [
            [
                show(row[place], columns[place], marks.get(self._reason(row, place), ""))
                for place in places
            ]
            for row in self.rows
        ]

    def reasons(self) -> list[tuple[str, str]]:
        """Return each reason with its mark, in the order in which the page meets them."""
        places = self._places()
        found = (self._reason(row, place) for row in self.rows for place in places)
        return [(_mark(n), why) for n, why in enumerate(dict.fromkeys(filter(None, found)))]

    def _reason(self, row: tuple[Cell, ...], place: int) -> str:
        """Return why a cell lacks its value or interval, or the row's reason at its head."""
        if self.table.columns[place].kind != "head":
            return _own_reason(row[place])
        kinds = ("remark",) if any(map(_own_reason, row)) else ("remark", "reason")
        pairs = zip(row, self.table.columns, strict=True)
        return next((str(why) for why, column in pairs if column.kind in kinds and why), "")

    def _places(self) -> list[int]:
        return [
            place
            for place, column in enumerate(self.table.columns)
            if column.kind not in _NOT_SHOWN
            and (column.kind == "head" or any(_tells(row[place]) for row in self.rows))
        ]


@dataclass(frozen=True, slots=True)
class PageColumn:
    """The head of a column."""

    heading: str
    is_number: bool


def page_tables(comparison: Comparison) -> dict[str, PageTable]:
    """Return every table by its name, as the page shows it."""
    return {name: PageTable(table) for name, table in all_tables(comparison).items()}


def show(cell: Cell, column: Column, mark: str = "") -> Shown:
    """Return a cell as it is shown."""
    bounds = ""
    if isinstance(cell, Score):
        is_signed = column.kind == "signed"
        text = signed(cell.value) if is_signed else wording.fixed(cell.value).replace("-", "−")
        if cell.ci:
            # "−0.1–0.2" would be misread
            has_signs = is_signed or cell.ci[0] < 0
            bounds = (signed_interval if has_signs else wording.interval)(cell.ci)
    else:
        words = _WORDS.get(column.kind)
        text = words(cell) if words else str("" if cell is None else cell)
    return Shown(text, bounds, mark, column.kind, column.heading)


def _own_reason(cell: Cell) -> str:
    return cell.reason or "" if isinstance(cell, Score) and not cell.ci else ""


def _tells(cell: Cell) -> bool:
    if isinstance(cell, Score):
        return cell.value is not None or cell.reason is not None
    return cell is not None and cell != ""


def _mark(number: int) -> str:
    """Return the mark of a reason: a letter, or two.

    >>> _mark(0), _mark(25), _mark(26)
    ('a', 'z', 'aa')
    """
    letter = chr(ord("a") + number % 26)
    return letter * (1 + number // 26)
