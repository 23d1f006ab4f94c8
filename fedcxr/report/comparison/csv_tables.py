"""Tables as CSV files: UTF-8, one header line, every digit, nothing where there is no number."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from fedcxr.atomic import write_text_atomically
from fedcxr.report.comparison.read_comparison import Estimate
from fedcxr.report.comparison.table import Cell, Column, Table

_WITH_BOUNDS = ("estimate", "signed")


def write_tables(tables: list[Table], folder: Path) -> list[Path]:
    """Write each table to `<folder>/<name>.csv` and return the paths.

    Raises:
        OSError: the folder cannot be written.
    """
    paths = [folder / f"{table.name}.csv" for table in tables]
    for path, table in zip(paths, tables, strict=True):
        write_text_atomically(path, to_csv(table))
    return paths


def to_csv(table: Table) -> str:
    r"""Return a table as CSV.

    >>> columns = (Column("label", "Label", "head"), Column("auroc", "AUROC", "estimate"))
    >>> to_csv(Table("x", columns, (("Edema", Estimate(0.8, (0.7, 0.9))),)))
    'label,auroc,auroc_low,auroc_high,auroc_reason\nEdema,0.8,0.7,0.9,\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(key for column in table.columns for key in _keys(column))
    for row in table.rows:
        pairs = zip(row, table.columns, strict=True)
        writer.writerow(value for cell, column in pairs for value in _values(cell, column))
    return text.getvalue()


def _keys(column: Column) -> list[str]:
    if column.kind not in _WITH_BOUNDS:
        return [column.key]
    return [column.key, *(f"{column.key}_{part}" for part in ("low", "high", "reason"))]


def _values(cell: Cell, column: Column) -> Iterator[str | int | float | None]:
    if column.kind not in _WITH_BOUNDS:
        yield _plain(cell.value if isinstance(cell, Estimate) else cell, column)
        return
    found = cell if isinstance(cell, Estimate) else Estimate()
    yield found.value
    yield from found.ci or (None, None)
    yield found.reason


def _plain(value: str | int | float | None, column: Column) -> str | int | float | None:
    """Return a whole number without a decimal point where it is a count."""
    is_count = column.kind in ("count", "size", "hidden")
    return int(value) if is_count and isinstance(value, float) and value.is_integer() else value
