"""What is already decoded of a cache: in memory by row, and on disk as a line for each chunk.

The journal is what lets an interrupted build go on. It is not synced, and need not be: whoever
goes on checks the rows that it names against their checksums. A line that is torn, and whatever
stands after it, is cut off.
"""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from fedcxr.data.cache.rows import CONTENT_DIGITS, Decoded

JOURNAL = "journal.jsonl"


class Ledger:
    """By row: whether it is done, and what it must hold. Arrays, for 223,648 rows take 9 MB."""

    def __init__(self, num_rows: int) -> None:
        self.done = np.zeros(num_rows, dtype=np.bool_)
        self.used_bits = np.zeros(num_rows, dtype=np.uint8)
        self.scaled_by = np.zeros(num_rows, dtype=np.uint8)
        """The `png_bits` of its decoding."""
        self.crc32 = np.zeros(num_rows, dtype=np.uint32)
        self.contents = np.zeros(num_rows, dtype=f"S{CONTENT_DIGITS}")
        """Digest of the file's bytes, in hex."""
        self.bad: dict[int, str] = {}
        """Row and reason."""

    def enter(self, decoded: Decoded) -> None:
        """Take over what was decoded.

        Raises:
            ValueError: it names rows that there are not.
        """
        rows = range(decoded.start, decoded.start + len(decoded.crc32))
        if rows.stop > len(self.done) or any(row not in rows for row, _ in decoded.bad):
            raise ValueError(f"rows {rows.start} to {rows.stop - 1} of {len(self.done)}")
        part = slice(rows.start, rows.stop)
        self.done[part], self.crc32[part] = True, decoded.crc32
        self.used_bits[part], self.scaled_by[part] = decoded.used_bits, decoded.png_bits
        self.contents[part] = decoded.contents
        for row in rows:
            self.bad.pop(row, None)
        self.bad.update(decoded.bad)

    def png_bits(self) -> int:
        """Return the depth of the 16-bit PNG files so far, 0 if there are none."""
        return int(self.used_bits.max(initial=0))

    def undo_other_depths(self) -> None:
        """Take those 16-bit PNG files for not done that were scaled by another depth."""
        self.done[(self.used_bits > 0) & (self.scaled_by != self.png_bits())] = False

    def todo(self) -> list[range]:
        """Return the rows that are not done, as runs."""
        edges = np.flatnonzero(np.diff(np.concatenate(([True], self.done, [True])).astype(np.int8)))
        return [range(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


class Journal:
    """The file that a ledger is read from and written to, a chunk at a time."""

    def __init__(self, folder: Path, ledger: Ledger, *, digest: str) -> None:
        """Read what is there of the cache of that digest; another one's journal is emptied.

        Raises:
            OSError: the file cannot be read or written.
        """
        self.path = folder / JOURNAL
        self._ledger = ledger
        head = json.dumps({"digest": digest}).encode() + b"\n"
        self.path.touch(mode=0o600)
        self._file: BinaryIO = self.path.open("r+b", buffering=0)
        end = self._read(head)
        self._file.truncate(end)
        self._file.seek(end)
        if not end:
            self._write(head)

    def _read(self, head: bytes) -> int:
        """Enter the lines and return where the last good one ends."""
        end = 0
        for line in self._lines():
            if not end and line != head:
                return 0
            if end:
                try:
                    self._ledger.enter(Decoded.from_line(line))
                except ValueError:
                    return end
            end += len(line)
        return end

    def _lines(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))

    def append(self, decoded: Decoded) -> None:
        """Enter what was decoded, in the file and in the ledger."""
        self._write(decoded.to_line().encode() + b"\n")
        self._ledger.enter(decoded)

    def _write(self, line: bytes) -> None:
        if self._file.write(line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
