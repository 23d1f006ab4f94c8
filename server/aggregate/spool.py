"""All updates of a round on disk, read back a slice of numbers at a time.

For aggregators that need every site's value of a number at once: their memory does not grow with
the number of sites, and the disk is asked for the room before the first update comes.
"""

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.codecs import Floats
from fedcxr.errors import StorageError
from fedcxr.storage import refused

SLICE_BYTES = 32 * 2**20
"""Of the numbers that are in memory at once."""

log = logging.getLogger(__name__)


class Spool:
    """A file of S rows with P float32 numbers each."""

    def __init__(self, folder: Path, num_sites: int, size: int) -> None:
        """Make room for the rows.

        Raises:
            StorageError: the disk has not as much.
        """
        needed = 4 * num_sites * size
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise StorageError(
                f"{folder}: the updates of {num_sites} sites take {needed / 1e9:.2f} GB, and "
                f"{free / 1e9:.2f} GB are free. Make room, or take server.aggregator=mean."
            )
        log.info(
            "%d updates take %.2f GB on disk in %s, and %d MB of memory at once",
            num_sites,
            needed / 1e9,
            folder,
            SLICE_BYTES // 2**20,
        )
        self._file = folder / "updates.f4"
        try:
            # Mapped from a sparse file, a disk that fills up would end the process by a signal.
            with self._file.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, max(1, needed))
        except OSError as err:
            raise refused(self._file, err) from err
        self._rows = np.memmap(self._file, np.float32, "r+", shape=(num_sites, size))
        self._count = 0

    def add(self, update: Floats) -> None:
        """Write the next row."""
        self._rows[self._count] = update
        self._count += 1

    def slices(self) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Yield each slice of the numbers with all sites' values of it, (S, slice)."""
        width = max(1, SLICE_BYTES // (4 * max(1, self._count)))
        for start in range(0, self._rows.shape[1], width):
            part = slice(start, min(start + width, self._rows.shape[1]))
            yield part, np.array(self._rows[: self._count, part])

    def close(self) -> None:
        """Remove the file."""
        del self._rows
        self._file.unlink(missing_ok=True)
