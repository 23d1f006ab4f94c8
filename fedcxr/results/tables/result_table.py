"""A table of a result: typed cells under named columns, as a DataFrame and as CSV.

A number with its interval is one cell; as a DataFrame it is four columns: the value, the bounds and
why one of them is missing. Every digit is kept; rounding is the page's.
"""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from fedcxr.results.score import Score

if TYPE_CHECKING:
    import pandas as pd

Cell = str | int | float | Score | None

Typed = tuple[Literal["object", "Int64", "float64"], list[Any]]
"""Of a column in files: its type in pandas, and its cells, None where there is nothing."""

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

    def frame(self) -> "pd.DataFrame":
        """Return it as a DataFrame; title, units and notes are in its `attrs`.

        >>> columns = (Column("label", "Label", "head"), Column("auroc", "AUROC", "estimate"))
        >>> rows = (("Edema", Score(value=0.8, ci=(0.7, 0.9))),)
        >>> Table("x", columns, rows).frame().to_dict("records")[0]
        {'label': 'Edema', 'auroc': 0.8, 'auroc_low': 0.7, 'auroc_high': 0.9, 'auroc_reason': None}
        """
        import pandas as pd  # a third of a second that no run needs

        frame = pd.DataFrame(
            {name: pd.Series(cells, dtype=kind) for name, (kind, cells) in self._typed().items()}
        )
        units = {column.key: column.unit for column in self.columns if column.unit}
        frame.attrs = {"title": self.title, "units": units, "notes": list(self.notes)}
        return frame

    def to_csv(self) -> str:
        r"""Return it as CSV: one header line, every digit, nothing where there is no number.

        >>> Table("x", (Column("n", "N", "count"),), ((3,), (None,))).to_csv()
        'n\n3\n""\n'
        """
        typed = self._typed()
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(typed)
        writer.writerows(zip(*(cells for _, cells in typed.values()), strict=True))
        return text.getvalue()

    def _typed(self) -> dict[str, Typed]:
        """Return the type and the cells of each of its columns in files, by name."""
        found: dict[str, Typed] = {}
        for place, column in enumerate(self.columns):
            found.update(_typed_columns(column, [row[place] for row in self.rows]))
        return found

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


def _typed_columns(column: Column, cells: list[Cell]) -> dict[str, Typed]:
    """Return the columns in files that a column becomes, by their names."""
    if column.kind in _WITH_BOUNDS:
        scores = [cell if isinstance(cell, Score) else Score(value=None) for cell in cells]
        bounds = [score.ci or (None, None) for score in scores]
        parts: dict[str, Typed] = {
            "low": _numbers([low for low, _ in bounds]),
            "high": _numbers([high for _, high in bounds]),
            "reason": ("object", [score.reason for score in scores]),
        }
        found = {column.key: _numbers([score.value for score in scores])}
        return found | {f"{column.key}_{part}": parts[part] for part in _PARTS}
    plain = [cell.value if isinstance(cell, Score) else cell for cell in cells]
    if any(isinstance(cell, str) for cell in plain):
        return {column.key: ("object", plain)}
    whole = [cell for cell in plain if cell is not None]
    if (
        whole
        and all(float(cell).is_integer() for cell in whole)
        and (column.kind in _WHOLE or all(isinstance(cell, int) for cell in whole))
    ):
        return {column.key: ("Int64", [None if cell is None else int(cell) for cell in plain])}
    return {column.key: _numbers(plain)}


def _numbers(cells: Sequence[Any]) -> Typed:
    """Return cells as floats, those that are none or NaN as None."""
    return "float64", [None if x is None or math.isnan(x) else float(x) for x in cells]
