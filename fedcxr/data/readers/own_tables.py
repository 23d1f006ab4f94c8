"""The tables of a folder of one's own as one.

Those of several splits stand below one another, others are joined to them on keys. A message about
a cell names the file that it stands in, and its row there.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedcxr.config.dataset_file import DatasetFile
from fedcxr.config.dataset_sections import JoinedTable
from fedcxr.data.readers.table_files import find_table, read_any_table
from fedcxr.data.readers.tables import CsvTable, nearest
from fedcxr.errors import DataError, RecordError, some

SPLIT = "split"
"""Under it stands the split of each row, where each file is of one."""

Columns = Sequence[tuple[str, tuple[str, ...]]]
"""Names of columns, each with the key of `dataset.yaml` that names it."""


@dataclass(frozen=True, slots=True)
class ReadTables:
    """The rows of all tables, in the columns of all of them."""

    table: CsvTable
    starts: tuple[tuple[str, int], ...]
    """Files of which the rows are, each with the position of its first."""
    joined: Mapping[str, str]
    """By column, the file that it was joined from."""

    @property
    def name(self) -> str:
        """Return the files of which the rows are."""
        return " and ".join(name for name, _ in self.starts)

    def rows(self, positions: Sequence[int]) -> str:
        """Return how a person finds rows, of more than ten the first."""
        word = "row " if len(self.starts) == 1 else ""
        return word + some([self.row(position) for position in positions])

    def row(self, position: int) -> str:
        """Return how a person finds a row: its number, with its file where there are several."""
        name, start = next(one for one in reversed(self.starts) if one[1] <= position)
        number = str(position - start + 2)
        return number if len(self.starts) == 1 else f"{name} row {number}"


def read_tables(folder: Path, file: DatasetFile, wanted: Collection[str]) -> ReadTables:
    """Return the rows of a folder's tables.

    Args:
        folder: that the tables lie in.
        file: what names them.
        wanted: the columns to read; all others are blank.

    Raises:
        DataError: a table is missing.
        RecordError: a table is wrong, or rows do not join.
    """
    says = file.says
    keys = {column for one in says.join for column in one.on}
    only = {*wanted, *keys}
    parts: dict[str, CsvTable] = {
        split: read_any_table(table_at(folder, name, file, "table"), says.aliases, only)
        for split, name in says.table.items()
    }
    stacked, starts = stack(parts, file)
    columns = dict(stacked.columns)
    joined: dict[str, str] = {}
    for rule in says.join:
        other = read_any_table(table_at(folder, rule.table, file, "join"), says.aliases, only)
        whole = CsvTable(stacked.csv_path, columns, len(stacked))
        added = _partners(whole, other, rule, file)
        joined |= dict.fromkeys(added, other.csv_path.name)
        columns |= added
    return ReadTables(CsvTable(stacked.csv_path, columns, len(stacked)), starts, joined)


def table_at(folder: Path, name: str, file: DatasetFile, key: str) -> Path:
    """Return the file of a name in the folder; DataError, with the line, where there is none."""
    found = find_table(folder, name)
    if found is None:
        there = sorted(path.name for path in folder.iterdir() if path.is_file())
        raise DataError(
            f"{file.at(key)}: there is no {folder / name}{nearest(name, there)}. Correct the name, "
            "or fetch the file."
        )
    return found


def stack(
    parts: Mapping[str, CsvTable], file: DatasetFile
) -> tuple[CsvTable, tuple[tuple[str, int], ...]]:
    """Return tables below one another, with a column for their split, and where each begins."""
    first = next(iter(parts.values()))
    if len(parts) == 1 and "" in parts:
        return first, ((first.csv_path.name, 0),)
    taken = [part.csv_path.name for part in parts.values() if SPLIT in part.columns]
    if taken:
        raise RecordError(
            f"{file.at('table')}: {some(taken)} has a column {SPLIT!r}, which is to be the split "
            "of the file. Rename it under `aliases`."
        )
    shared = [name for name in first.columns if all(name in p.columns for p in parts.values())]
    columns = {
        name: tuple(cell for part in parts.values() for cell in part.columns[name])
        for name in shared
    }
    columns[SPLIT] = tuple(split for split, part in parts.items() for _ in range(len(part)))
    starts, position = [], 0
    for part in parts.values():
        starts.append((part.csv_path.name, position))
        position += len(part)
    return CsvTable(first.csv_path, columns, position), tuple(starts)


def key_cells(table: CsvTable, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """Return each row's cells of the columns that rows are joined on; `7.0` is `7`."""
    table.require(columns)
    cells = ([cell.strip().removesuffix(".0") for cell in table.columns[name]] for name in columns)
    return list(zip(*cells, strict=True))


def _partners(
    table: CsvTable, other: CsvTable, rule: JoinedTable, file: DatasetFile
) -> dict[str, tuple[str, ...]]:
    """Return the columns that the other table adds, in the order of the first one's rows."""
    where, name = file.at("join"), other.csv_path.name
    names = [column for column in other.columns if column not in table.columns]
    rows = list(zip(*(other.columns[column] for column in names), strict=True))
    by_key: dict[tuple[str, ...], int] = {}
    for position, key in enumerate(key_cells(other, rule.on)):
        first = by_key.setdefault(key, position)
        if rows and rows[first] != rows[position]:
            raise RecordError(
                f"{where}: rows {first + 2} and {position + 2} of {name} have the same "
                f"{' and '.join(rule.on)} and are otherwise. Keep the right one."
            )
    found = [by_key.get(key) for key in key_cells(table, rule.on)]
    lacking = [str(i + 2) for i, position in enumerate(found) if position is None]
    if lacking and rule.missing == "error":
        raise RecordError(
            f"{where}: {len(lacking)} rows of {table.csv_path.name} (row {some(lacking)}) have "
            f"none with the same {' and '.join(rule.on)} in {name}. Set `missing: blank` there, or "
            "mend the rows."
        )
    if lacking and len(lacking) == len(found):
        raise RecordError(
            f"{where}: no row of {table.csv_path.name} has one with the same "
            f"{' and '.join(rule.on)} in {name}. Name other columns under `on`."
        )
    return {
        column: tuple("" if at is None else other.columns[column][at] for at in found)
        for column in names
    }
