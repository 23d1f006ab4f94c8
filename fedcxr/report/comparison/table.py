"""A table that is shown on the page and written as CSV: the same rows, each in its own dress.

On the page a number is rounded and stands over its interval, and why one is missing stands below
the table, once for all cells that it holds for; in CSV a number has every digit, and the interval's
bounds and the reason have columns of their own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from fedcxr.report import wording
from fedcxr.report.comparison.read_comparison import Estimate
from fedcxr.report.comparison.wording import p_value, signed, signed_interval

Cell = str | int | float | Estimate | None

Kind = Literal[
    "head",  # names the row
    "text",
    "verdict",
    "value",  # three decimals
    "count",
    "share",  # percent
    "p",
    "size",
    "duration",
    "estimate",  # a number with its interval
    "signed",  # a difference with its interval
    "reason",  # of the whole row, below the table where no cell of the row gives its own
    "remark",  # on the whole row, always below the table
    "hidden",  # in CSV only
]

_WORDS: Mapping[str, Callable[[object], str]] = {
    "value": lambda value: wording.fixed(value).replace("-", "−"),
    "count": wording.count,
    "share": lambda value: wording.percent(value, 1),
    "p": p_value,
    "size": wording.size,
    "duration": wording.duration,
}
_TEXTS = ("head", "text", "verdict", "hidden", "reason", "remark")
_NOT_ON_PAGE = ("hidden", "reason", "remark")


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    key: str
    """Its name in CSV."""
    heading: str
    """Its name on the page."""
    kind: Kind = "text"

    @property
    def is_number(self) -> bool:
        """Whether its cells are set to the right."""
        return self.kind not in _TEXTS


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
class Table:
    """Rows of cells under columns."""

    name: str
    """The stem of its CSV file."""
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def only(self, key: str, value: Cell) -> "Table":
        """Return the rows with this value, without its column."""
        place = [column.key for column in self.columns].index(key)
        rows = [row for row in self.rows if row[place] == value]
        return replace(
            self,
            columns=self.columns[:place] + self.columns[place + 1 :],
            rows=tuple(row[:place] + row[place + 1 :] for row in rows),
        )

    def values(self, key: str) -> list[Cell]:
        """Return what stands in a column, each value once, in the order of the rows."""
        place = [column.key for column in self.columns].index(key)
        return list(dict.fromkeys(row[place] for row in self.rows))

    @property
    def page_columns(self) -> list[Column]:
        """The columns that the page shows: those that have anything to tell."""
        return [self.columns[place] for place in self._places()]

    def shown(self) -> list[list[Shown]]:
        """Return the cells as the page shows them."""
        places = self._places()
        marks = {reason: mark for mark, reason in self.reasons()}
        return [
            [
                _show(row[place], self.columns[place], marks.get(self._reason(row, place), ""))
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
        if self.columns[place].kind != "head":
            return _own_reason(row[place])
        kinds = ("remark",) if any(map(_own_reason, row)) else ("remark", "reason")
        pairs = zip(row, self.columns, strict=True)
        return next((str(why) for why, column in pairs if column.kind in kinds and why), "")

    def _places(self) -> list[int]:
        return [
            place
            for place, column in enumerate(self.columns)
            if column.kind not in _NOT_ON_PAGE
            and (column.kind == "head" or any(_tells(row[place]) for row in self.rows))
        ]


def _own_reason(cell: Cell) -> str:
    return cell.reason or "" if isinstance(cell, Estimate) and not cell.ci else ""


def _tells(cell: Cell) -> bool:
    if isinstance(cell, Estimate):
        return cell.value is not None or cell.reason is not None
    return cell is not None and cell != ""


def _show(cell: Cell, column: Column, mark: str) -> Shown:
    bounds = ""
    if isinstance(cell, Estimate):
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


def _mark(number: int) -> str:
    """Return the mark of a reason: a letter, or two.

    >>> _mark(0), _mark(25), _mark(26)
    ('a', 'z', 'aa')
    """
    letter = chr(ord("a") + number % 26)
    return letter * (1 + number // 26)
