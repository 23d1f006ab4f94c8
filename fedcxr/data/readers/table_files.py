"""Tables as data sets publish them: CSV, compressed or not, or a JSON object a line."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from fedcxr.data.readers.csv_file import read_text
from fedcxr.data.readers.tables import CsvTable, read_table_file
from fedcxr.errors import DataError, RecordError, some

_LINES = (".json", ".jsonl", ".ndjson")
_GZ = ".gz"


def find_table(folder: Path, name: str) -> Path | None:
    """Return the file that a name stands for: itself, or with or without `.gz`; None if none is.

    Args:
        folder: that the name is relative to.
        name: of a file; `*` in it stands for any characters.

    Raises:
        DataError: several files fit.
    """
    for one in (name, name.removesuffix(_GZ) if name.endswith(_GZ) else name + _GZ):
        found = sorted(folder.glob(one)) if "*" in one else [folder / one]
        found = [file for file in found if file.is_file()]
        if len(found) > 1:
            names = some([file.name for file in found])
            raise DataError(f"{folder}: {names} are there, and which is meant cannot be told.")
        if found:
            return found[0]
    return None


def read_any_table(
    file: Path,
    aliases: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
) -> CsvTable:
    """Return the columns of a table file.

    Args:
        file: CSV, `.csv.gz`, or JSON lines (`.json`, `.jsonl`).
        aliases: other spellings of a column's name, each with the name to use.
        only: the columns that are wanted; the cells of others come blank and unchecked.

    Raises:
        RecordError: the file is missing, too large, or no such table.
    """
    if file.suffix in _LINES:
        return _read_lines(file, aliases or {})
    return read_table_file(file, aliases, only)


def _read_lines(file: Path, aliases: Mapping[str, str]) -> CsvTable:
    """Return the columns of a file of JSON objects, a line each; null is a blank cell."""
    rows = []
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as err:
            raise RecordError(
                f"{file}: line {number}: no JSON object ({err}). Fetch the file again."
            ) from err
        if not isinstance(row, dict) or not all(map(_is_cell, row.values())):
            raise RecordError(
                f"{file}: line {number}: expected an object of texts and numbers. Fetch the file "
                "again."
            )
        rows.append({aliases.get(name, name): value for name, value in row.items()})
    names = list(rows[0]) if rows else []
    bad = [str(i + 1) for i, row in enumerate(rows) if row.keys() != rows[0].keys()]
    if bad or not names:
        raise RecordError(
            f"{file}: {'is empty' if not names else f'objects {some(bad)} have other keys'}. Fetch "
            "the file again."
        )
    columns = {name: tuple(_cell(row[name]) for row in rows) for name in names}
    return CsvTable(file, columns, len(rows))


def _is_cell(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _cell(value: object) -> str:
    return "" if value is None else str(value)
