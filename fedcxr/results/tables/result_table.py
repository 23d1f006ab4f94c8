"""A table of a result: typed cells under named columns, as a DataFrame and as CSV.

A number with its interval is one cell; as a DataFrame it is four columns: the value, the bounds and
why one of them is missing. Every digit is kept; rounding is the page's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import pandas as pd

from fedcxr.results.score import Score

Cell = str | int | float | Score | None

Kind = Literal[
    "head",  # names the row
    "text",
    "verdict",
    "value",  # three decimals
    "count",
    "share",  # percent
    "p",
    "size",  # bytes
    "duration",  # seconds
    "estimate",  # a number with its interval
    "signed",  # a difference with its interval
    "reason",  # of the whole row, below the table where no cell of the row gives its own
    "remark",  # on the whole row, always below the table
    "hidden",  # in files only
]

_WITH_BOUNDS = ("estimate", "signed")
_PARTS = ("low", "high", "reason")
_UNITS = {"size": "bytes", "duration": "s"}
_WHOLE = ("count", "size")


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    key: str
    """Its name in files."""
    heading: str
    """Its name where it is shown."""
    kind: Kind = "text"
    of: str = ""
    """Where its cells are in what the rows are of, such as `verdict.word`; empty = under `key`."""

    @property
    def unit(self) -> str:
        """Of its numbers in files, empty for none."""
        return _UNITS.get(self.kind, "")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under columns."""

    name: str
    """The stem of its files."""
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""
    notes: tuple[str, ...] = ()
    """What a reader must know of its numbers, a sentence each."""

    @classmethod
    def of(
        cls,
        name: str,
        title: str,
        columns: Sequence[Column],
        things: Iterable[tuple[tuple[Cell, ...], object]],
        *,
        leading: Sequence[Column] = (),
    ) -> Self:
        """Return a row a thing: the cells given with it under `leading`, then its own.

        >>> found = Table.of("x", "", [Column("value", "")], [(("a",), Score(value=0.5))])
        >>> found.rows
        (('a', 0.5),)
        """
        rows = tuple(
            (*cells, *(cell_of(thing, each) for each in columns)) for cells, thing in things
        )
        return cls(name, (*leading, *columns), rows, title)

    def only(self, key: str, value: Cell) -> "Table":
        """Return the rows with this value, without its column."""
        place = self._place(key)
        rows = [row for row in self.rows if row[place] == value]
        return replace(
            self,
            columns=self.columns[:place] + self.columns[place + 1 :],
            rows=tuple(row[:place] + row[place + 1 :] for row in rows),
        )

    def values(self, key: str) -> list[Cell]:
        """Return what stands in a column, each value once, in the order of the rows."""
        place = self._place(key)
        return list(dict.fromkeys(row[place] for row in self.rows))

    def frame(self) -> pd.DataFrame:
        """Return it as a DataFrame; title, units and notes are in its `attrs`.

        >>> columns = (Column("label", "Label", "head"), Column("auroc", "AUROC", "estimate"))
        >>> rows = (("Edema", Score(value=0.8, ci=(0.7, 0.9))),)
        >>> Table("x", columns, rows).frame().to_dict("records")[0]
        {'label': 'Edema', 'auroc': 0.8, 'auroc_low': 0.7, 'auroc_high': 0.9, 'auroc_reason': None}
        """
        found = {}
        for place, column in enumerate(self.columns):
            found.update(_series(column, [row[place] for row in self.rows]))
        frame = pd.DataFrame(found)
        units = {column.key: column.unit for column in self.columns if column.unit}
        frame.attrs = {"title": self.title, "units": units, "notes": list(self.notes)}
        return frame

    def to_csv(self) -> str:
        r"""Return it as CSV: one header line, every digit, nothing where there is no number.

        >>> Table("x", (Column("n", "N", "count"),), ((3,), (None,))).to_csv()
        'n\n3\n""\n'
        """
        return self.frame().to_csv(index=False, lineterminator="\n")

    def _place(self, key: str) -> int:
        return [column.key for column in self.columns].index(key)


def cell_of(thing: Any, column: Column) -> Cell:  # noqa: ANN401  # of whatever rows are of
    """Return a thing's cell of a column; None where a part on the way to it is None.

    >>> cell_of(Score(value=0.5, ci=(0.4, 0.7)), Column("low", "Low", of="ci.0"))
    0.4
    """
    for part in (column.of or column.key).split("."):
        if thing is None:
            return None
        thing = thing[int(part)] if part.isdigit() else getattr(thing, part)
    found: Cell = ", ".join(map(str, thing)) if isinstance(thing, tuple) else thing
    return found


def _series(column: Column, cells: list[Cell]) -> dict[str, "pd.Series[Any]"]:
    """Return the columns of a DataFrame that a column becomes, by their names."""
    if column.kind in _WITH_BOUNDS:
        scores = [cell if isinstance(cell, Score) else Score(value=None) for cell in cells]
        bounds = [score.ci or (None, None) for score in scores]
        parts = {
            "low": _numbers([low for low, _ in bounds]),
            "high": _numbers([high for _, high in bounds]),
            "reason": pd.Series([score.reason for score in scores], dtype=object),
        }
        found = {column.key: _numbers([score.value for score in scores])}
        return found | {f"{column.key}_{part}": parts[part] for part in _PARTS}
    plain = [cell.value if isinstance(cell, Score) else cell for cell in cells]
    if any(isinstance(cell, str) for cell in plain):
        return {column.key: pd.Series(plain, dtype=object)}
    whole = [cell for cell in plain if cell is not None]
    if (
        whole
        and all(float(cell).is_integer() for cell in whole)
        and (column.kind in _WHOLE or all(isinstance(cell, int) for cell in whole))
    ):
        return {column.key: pd.Series(plain, dtype="Int64")}
    return {column.key: _numbers(plain)}


def _numbers(cells: list[Any]) -> "pd.Series[Any]":
    return pd.Series(cells, dtype="float64")
