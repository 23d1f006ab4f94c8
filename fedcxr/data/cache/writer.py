"""The files of a cache folder: made room for, read back, described, and moved into place."""

import csv
import errno
import hashlib
import json
import os
import shutil
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.cache.journal import Ledger
from fedcxr.data.images.decode import DECODER
from fedcxr.data.images.png_depth import LEAST_BITS

FORMAT = 3

IMAGES, INDEX, QUARANTINE, HEAD = "images.u8", "index.csv", "quarantine.csv", "cache.json"

Bad = tuple[str, str, str]
"""image_id, path, reason."""

_BLOCK_BYTES = 1 << 20
"""Read back at once: stays in a core's own cache between reading and checking."""
_FLUSH_EVERY_S = 0.5


def sha256_of(path: Path) -> str:
    """Return the hex sha256 of a file that fits in memory."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make_room(images: Path, size: int) -> None:
    """Make `images` a file of `size` bytes, with its blocks taken where the disk can do that.

    A disk that is too small is so noticed before anything is decoded.

    Raises:
        OSError: there is no room.
    """
    handle = os.open(images, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.fstat(handle).st_size == size:
            return
        os.ftruncate(handle, 0)
        if not _take_blocks(handle, size):
            os.ftruncate(handle, size)
    finally:
        os.close(handle)


def _take_blocks(handle: int, size: int) -> bool:
    """Return whether the system (not macOS) and the disk could do it."""
    try:
        os.posix_fallocate(handle, 0, size)
    except AttributeError:
        return False
    except OSError as err:
        if err.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        return False
    return True


class Flusher:
    """Has the disk write `images` while the cores decode, so that the last sync is short."""

    def __init__(self, images: Path) -> None:
        self._images = images
        self._stop = threading.Event()
        self._errors: list[OSError] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Flusher":
        self._thread.start()
        return self

    def finish(self) -> None:
        """Return when everything is on the disk.

        Raises:
            OSError: the disk could not write.
        """
        self._stop.set()
        self._thread.join()
        if self._errors:
            raise self._errors[0]

    def __exit__(self, *exc: object) -> None:
        self._stop.set()

    def _run(self) -> None:
        try:
            handle = os.open(self._images, os.O_RDWR)
            try:
                while not self._stop.wait(_FLUSH_EVERY_S):
                    os.fsync(handle)
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as err:
            self._errors.append(err)


def differing_rows(
    images: Path,
    row_bytes: int,
    expected: NDArray[np.uint32],
    *,
    workers: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[int]:
    """Return the rows of `images` whose CRC-32 is not the expected one, by reading them all.

    Args:
        images: the file; what is missing at its end differs.
        row_bytes: of one row.
        expected: (N,).
        workers: threads; reading and checking leave the interpreter free.
        progress: called with the number of rows read and N.

    Raises:
        OSError: the disk cannot read.
    """
    total, step = len(expected), max(1, _BLOCK_BYTES // row_bytes)
    handle = os.open(images, os.O_RDONLY)

    def check(start: int) -> list[int]:
        rows = range(start, min(start + step, total))
        data = memoryview(_read(handle, len(rows) * row_bytes, start * row_bytes))
        found = (zlib.crc32(data[i * row_bytes : (i + 1) * row_bytes]) for i in range(len(rows)))
        return [row for row, crc in zip(rows, found, strict=True) if crc != expected[row]]

    differing: list[int] = []
    try:
        with ThreadPoolExecutor(max_workers=workers) as pool:
            starts: Iterator[int] = iter(range(0, total, step))
            # Not all at once: the pool would hold a future for each block of the whole file.
            while some := list(islice(starts, 32 * workers)):
                for found in pool.map(check, some):
                    differing += found
                if progress is not None:
                    progress(min(some[-1] + step, total), total)
    finally:
        os.close(handle)
    return differing


def _read(handle: int, size: int, offset: int) -> bytes:
    data = os.pread(handle, size, offset)
    while len(data) < size and (more := os.pread(handle, size - len(data), offset + len(data))):
        data += more
    return data


def write_tables(
    folder: Path, items: Sequence[tuple[str, str]], ledger: Ledger, *, size_px: int, digest: str
) -> None:
    """Write the index, the quarantine and, last, the head of a cache whose rows are all done."""
    bad = [(*items[row], ledger.bad[row]) for row in sorted(ledger.bad)]
    good = (
        (row, image_id, f"{crc:08x}", content.decode())
        for row, ((image_id, _), crc, content) in enumerate(
            zip(items, ledger.crc32.tolist(), ledger.contents.tolist(), strict=True)
        )
        if row not in ledger.bad
    )
    _write_rows(folder / INDEX, ("row", "image_id", "crc32", "content"), good)
    _write_rows(folder / QUARANTINE, ("image_id", "path", "reason"), bad)
    head = {
        "format": FORMAT,
        "digest": digest,
        "decoder": DECODER,
        "size_px": size_px,
        "png_bits": bits if (bits := ledger.png_bits()) >= LEAST_BITS else None,
        "rows": len(items),
        "images": len(items) - len(bad),
        "bad": len(bad),
        "sha256": {name: sha256_of(folder / name) for name in (INDEX, QUARANTINE)},
    }
    with (folder / HEAD).open("w", encoding="utf-8") as file:
        file.write(json.dumps(head, indent=2))
        file.flush()
        os.fsync(file.fileno())


def _write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        file.flush()
        os.fsync(file.fileno())


def move_into_place(building: Path, target: Path) -> None:
    """Rename `building` to `target`, in place of what is damaged there."""
    if target.is_dir() and any(target.iterdir()):
        aside = Path(tempfile.mkdtemp(prefix=".damaged-", dir=target.parent))
        target.rename(aside / target.name)
        building.rename(target)
        shutil.rmtree(aside, ignore_errors=True)
    else:
        building.rename(target)
