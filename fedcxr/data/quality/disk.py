"""How fast the disk gives the images, and how large the cache will be."""

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedcxr.data.images.decode import decode_square, read_file
from fedcxr.data.images.png_depth import FULL_BITS
from fedcxr.data.paths import Fence
from fedcxr.errors import DataError, ImageError
from fedcxr.home import home_folder

CACHE_SIZES_PX = (64, 224, 320)
ESTIMATE_PX = 320
"""CheXpert's usual size, for which the time to prepare is estimated."""
BUDGET_S = 1.0
"""For reading and again for decoding."""
MAX_FILES = 400
_KEPT_BYTES = 64_000_000
"""Held in memory to be decoded."""


@dataclass(frozen=True, slots=True)
class Disk:
    """Speeds and sizes. A second reading may come from the machine's memory, not from the disk."""

    files: int
    """Image files that are there."""
    total_bytes: int
    """Of all of them; of a sample, scaled up."""
    read_files: int
    """Read to measure the speed."""
    megabytes_per_s: float
    files_per_s: float
    decoded_per_s: float
    """Images a second, one core, to 320 pixels."""
    cores: int
    prepare_s: float
    """Estimated time to make the 320-pixel cache on all cores; nan if nothing was decoded."""
    cache_bytes: dict[str, int]
    """By size in pixels."""
    free_bytes: int
    """On the disk of the cache folder."""
    cache_folder: str

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON holds them; what is not known is null."""
        return {name: None if value != value else value for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Speed:
    """What reading and decoding some of the files took."""

    read_files: int
    megabytes_per_s: float
    files_per_s: float
    decoded_per_s: float
    """One core, to 320 pixels."""


def measure_speed(
    paths: Sequence[str], root: Path | Mapping[str, Path], budget_s: float = BUDGET_S
) -> Speed:
    """Return how fast files spread over `paths` are read and decoded.

    Args:
        paths: image files relative to the root; those that are not there are passed over.
        root: as `Fence` takes it.
        budget_s: time to spend on reading, and as much again on decoding.
    """
    fence = Fence(root)
    step = max(1, len(paths) // MAX_FILES)
    start, kept = time.perf_counter(), list[bytes]()
    num_read, read_bytes = 0, 0
    for path in paths[::step][:MAX_FILES]:
        data = _read(fence, path)
        if data:
            num_read, read_bytes = num_read + 1, read_bytes + len(data)
        if data and read_bytes <= _KEPT_BYTES:
            kept.append(data)
        if time.perf_counter() - start > budget_s:
            break
    read_s = max(time.perf_counter() - start, 1e-6)
    return Speed(
        read_files=num_read,
        megabytes_per_s=round(read_bytes / read_s / 1e6, 1),
        files_per_s=round(num_read / read_s, 1),
        decoded_per_s=round(_decoding_speed(kept, budget_s), 1),
    )


def disk_of(speed: Speed, *, num_images: int, mean_bytes: float, cores: int) -> Disk:
    """Return the sizes and times to expect.

    Args:
        speed: as measured.
        num_images: how many images the cache will have.
        mean_bytes: of an image file.
        cores: that will decode.
    """
    folder = home_folder()
    return Disk(
        files=num_images,
        total_bytes=round(mean_bytes * num_images),
        **asdict(speed),
        cores=cores,
        prepare_s=_prepare_s(num_images, speed.files_per_s, speed.decoded_per_s * cores),
        cache_bytes={str(size): num_images * size * size for size in CACHE_SIZES_PX},
        free_bytes=_free_bytes(folder),
        cache_folder=str(folder / "cache"),
    )


def _read(fence: Fence, path: str) -> bytes:
    """Return a file's bytes, none if it cannot be read: the check of the images names those."""
    try:
        return read_file(fence.file(path)) if fence.stat(path) is not None else b""
    except (DataError, OSError):
        return b""


def _decoding_speed(data: Sequence[bytes], budget_s: float) -> float:
    """Return images a second on one core, 0 if none can be decoded."""
    start, done = time.perf_counter(), 0
    for one in data:
        try:
            decode_square(one, ESTIMATE_PX, png_bits=FULL_BITS)
            done += 1
        except ImageError:
            continue
        if time.perf_counter() - start > budget_s:
            break
    return done / max(time.perf_counter() - start, 1e-6)


def _prepare_s(num_images: int, read_per_s: float, decoded_per_s: float) -> float:
    """Return the time of the slower of reading and decoding, which overlap."""
    slower = min(read_per_s, decoded_per_s)
    return round(num_images / slower, 3) if slower > 0 else float("nan")


def _free_bytes(folder: Path) -> int:
    """Return the free space where `folder` is or will be made."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    return shutil.disk_usage(os.fspath(there)).free
