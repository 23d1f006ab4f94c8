"""The rows of a CSV file, read strictly: text in UTF-8, whole, of one width, and only values.

A byte-order mark, CRLF line ends and empty trailing columns are what spreadsheets leave and are
accepted. A cell that a spreadsheet would run as a formula is not: it is either damage or an
attack on whoever opens the table next. Row numbers are those a spreadsheet shows, header = row 1.

Source: OWASP, "CSV Injection", https://owasp.org/www-community/attacks/CSV_Injection
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from fedcxr.errors import RecordError, some

MAX_TABLE_BYTES = 1 << 30
"""CheXpert's train.csv, the largest we know, has 21 MB."""
MAX_FIELD_CHARS = 100_000
"""No cell of a table of radiographs is longer; csv's own limit, 131,072, is left as it is."""

_HEADER_BYTES = 1 << 16
_NUMBER = r"\d*\.?\d+(?:[eE][+-]?\d+)?"
# Over the whole text first, for two seconds are lost in looking at each of 4 million cells. It may
# also hit inside a quoted cell; `_formulas` then tells.
_END = r"(?:[,\r\n]|\Z)"
_SUSPECT = re.compile(
    rf'(?:\A|[,\r\n])(?:[=+@\t]|-(?!{_NUMBER}{_END})|"(?:[=+@\t\r]|-(?!{_NUMBER}"{_END})))'
)
_FORMULA = re.compile(rf"[=+@\t\r]|-(?!(?:{_NUMBER})?\Z)")


def read_rows(csv_path: Path, is_wanted: Callable[[str], bool] | None = None) -> list[list[str]]:
    """Return the rows of a CSV file, the header first, without empty last rows and columns.

    Args:
        csv_path: the file; one that ends in .gz is unpacked.
        is_wanted: by name, the columns to read; none = all. The cells of others are blank, and are
            checked for nothing: reports of a thousand words would be kept in memory otherwise.

    Raises:
        RecordError: the file is missing, too large, empty, not UTF-8 text or not a rectangular
            table, or a cell is too long or a formula.
    """
    text = read_text(csv_path)
    rows: list[list[str]] = []
    try:
        rows.extend(_only(csv.reader(io.StringIO(text, newline=""), strict=True), is_wanted))
    except csv.Error as err:
        if "field limit" in str(err):  # the rows before the failing one are in the list
            raise _too_long(csv_path, len(rows)) from err
        raise RecordError(
            f"{csv_path}: row {len(rows) + 1}: not a readable CSV file: {err}. Fetch it again."
        ) from err
    while rows and not any(rows[-1]):
        rows.pop()
    if not rows:
        raise RecordError(f"{csv_path}: the file is empty; it needs a header row. Fetch it again.")
    if max(map(len, chain.from_iterable(rows))) > MAX_FIELD_CHARS:
        long = [i for i, row in enumerate(rows) if max(map(len, row), default=0) > MAX_FIELD_CHARS]
        raise _too_long(csv_path, long[0])
    if _SUSPECT.search(text):
        _refuse_formulas(csv_path, rows)
    while rows[0] and not rows[0][-1].strip():
        rows[0].pop()
    _refuse_ragged(csv_path, rows)
    return rows


def read_header(csv_path: Path) -> tuple[str, ...]:
    """Return the first row of a CSV file, to recognise it by; empty if it is none."""
    try:
        with csv_path.open("rb") as file:
            text = file.read(_HEADER_BYTES).decode("utf-8-sig", errors="replace")
        return tuple(name.strip() for name in next(csv.reader(io.StringIO(text, newline="")), []))
    except (OSError, csv.Error):
        return ()  # whoever reads the table says what is wrong with it


def read_text(csv_path: Path) -> str:
    """Return the text of a table file in UTF-8, unpacked where it ends in .gz.

    Raises:
        RecordError: it is missing, damaged, too large or no such text.
    """
    try:
        if csv_path.stat().st_size > MAX_TABLE_BYTES:
            raise _too_large(csv_path)
        data = _unpacked(csv_path) if csv_path.suffix == ".gz" else csv_path.read_bytes()
    except (OSError, EOFError, zlib.error) as err:
        reason = err.strerror if isinstance(err, OSError) and err.strerror else err
        raise RecordError(
            f"{csv_path}: cannot be read ({reason}). Fetch it again, or mend its rights."
        ) from err
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data:
        raise RecordError(
            f"{csv_path}: row 1: UTF-16 or binary, not UTF-8 text. Save it again as CSV in UTF-8."
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        row = data.count(b"\n", 0, err.start) + 1
        raise RecordError(
            f"{csv_path}: row {row}: byte {err.start} is not UTF-8. Save it again as CSV in UTF-8."
        ) from err


def _unpacked(csv_path: Path) -> bytes:
    with gzip.open(csv_path) as file:
        data = file.read(MAX_TABLE_BYTES + 1)
    if len(data) > MAX_TABLE_BYTES:
        raise _too_large(csv_path)
    return data


def _only(
    rows: Iterator[list[str]], is_wanted: Callable[[str], bool] | None
) -> Iterator[list[str]]:
    """Yield the rows with blanks in the columns that are not wanted."""
    if is_wanted is None:
        yield from rows
        return
    header = next(rows, None)
    if header is None:
        return
    idle = [i for i, name in enumerate(header) if not is_wanted(name.strip())]
    yield header
    for row in rows:
        for i in idle:
            if i < len(row):
                row[i] = ""
        yield row


def _too_large(csv_path: Path) -> RecordError:
    return RecordError(
        f"{csv_path}: larger than 1 GiB; this is not a table of radiographs. Give the "
        f"data set's own table."
    )


def _too_long(csv_path: Path, position: int) -> RecordError:
    return RecordError(
        f"{csv_path}: row {position + 1}: a field of more than {MAX_FIELD_CHARS:,} characters. "
        f"Look there for a quote that is never closed, or fetch the file again."
    )


def _refuse_formulas(csv_path: Path, rows: list[list[str]]) -> None:
    bad = [
        (i, column, cell)
        for i, row in enumerate(rows)
        for column, cell in enumerate(row)
        if _FORMULA.match(cell)
    ]
    if bad:
        row, column, cell = bad[0]
        name = rows[0][column] if column < len(rows[0]) else f"number {column + 1}"
        numbers = some([str(i + 1) for i in sorted({i for i, _, _ in bad})])
        raise RecordError(
            f"{csv_path}: {len(bad)} cell{'s' * (len(bad) > 1)} that a spreadsheet would run as a "
            f"formula (row {numbers}): the first is {cell[:60]!r} in row {row + 1}, column "
            f"{name[:60]!r}. Put the value itself there, or fetch the file again."
        )


def _refuse_ragged(csv_path: Path, rows: list[list[str]]) -> None:
    width = len(rows[0])
    if not any(rows[0]):
        raise RecordError(f"{csv_path}: row 1 is empty; the header must stand there.")
    bad = [i for i, row in enumerate(rows) if len(row) != width and _is_ragged(row, width)]
    if bad:
        raise RecordError(
            f"{csv_path}: {len(bad)} row{'s' * (len(bad) > 1)} (row "
            f"{some([str(i + 1) for i in bad])}) without exactly {width} fields, as the header "
            f"has; the first has {len(rows[bad[0]])}. Mend these rows or fetch the file again."
        )


def _is_ragged(row: list[str], width: int) -> bool:
    return len(row) < width or any(row[width:])
