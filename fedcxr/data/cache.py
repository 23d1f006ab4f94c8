"""Every image decoded once, into one file of 8-bit squares that processes map and share.

A cache is named by the digest of what it was made from: the image tokens, the paths, sizes and
times of the files, the size in pixels and the decoder. It is built in a folder of its own and
renamed when whole, so a cache that is there is whole, and two builders cannot hurt each other.

    images.u8        (N, H, W) uint8, C order, nothing else
    index.csv        row,image_id
    quarantine.csv   image_id,path,reason: files that could not be decoded; they have no row
    cache.json       sizes and digests, written last
"""

import csv
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.cache_writer import FORMAT, Bad, decode_all, sha256_of, write_cache
from fedcxr.data.images import DECODER
from fedcxr.data.paths import Fence
from fedcxr.errors import ArtefactError, DataError, some
from fedcxr.home import home_folder

FILES = ("images.u8", "index.csv", "quarantine.csv", "cache.json")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cache:
    """Decoded images by token; pickled as its folder alone, so workers open it themselves."""

    folder: Path
    digest: str
    images: NDArray[np.uint8] = field(repr=False)
    """(N, H, W), read-only and mapped from the file."""
    row_by_id: dict[str, int] = field(repr=False)
    bad: tuple[Bad, ...] = field(repr=False)

    def has(self, image_id: str) -> bool:
        """Return whether the image was decoded."""
        return image_id in self.row_by_id

    def rows(self, image_ids: Sequence[str]) -> NDArray[np.int64]:
        """Return the row of each image.

        Raises:
            ArtefactError: an image that the cache does not have.
        """
        missing = [image_id for image_id in image_ids if image_id not in self.row_by_id]
        if missing:
            raise ArtefactError(
                f"{self.folder}: {len(missing)} images are not in this cache: {some(missing)}. "
                f"It was made for other data or with another patient key; delete the folder."
            )
        return np.array([self.row_by_id[image_id] for image_id in image_ids], dtype=np.int64)

    def __reduce__(self) -> tuple[Callable[[Path], "Cache"], tuple[Path]]:
        return open_cache, (self.folder,)


def build_cache(
    items: Sequence[tuple[str, str]],
    root: Path,
    *,
    size_px: int,
    max_bad_fraction: float,
    workers: int,
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Cache:
    """Return the cache of the images, decoding them if no whole cache of their digest is there.

    Args:
        items: (image_id, path relative to root) of each image.
        root: the data set's folder.
        size_px: side of the square.
        max_bad_fraction: more bad files than this share of the items is an error.
        workers: threads that decode; Pillow leaves the interpreter free while it does.
        folder: where the cache goes; none = under the home folder, by digest.
        progress: called with the number of files done and the total.

    Raises:
        DataError: too many bad files, or a path that leads out of the root.
        ArtefactError: `folder` holds another cache, or cannot be written.
    """
    items = sorted(items)
    _check_items(items)
    signatures = _signatures(items, root)
    digest = _digest(items, signatures, size_px)
    target = folder or home_folder() / "cache" / digest
    missing = [
        (*item, "missing") for item, found in zip(items, signatures, strict=True) if found is None
    ]
    check_bad(missing, len(items), max_bad_fraction)
    cache = _open_whole(target, digest, is_ours=folder is None)
    if cache is None:
        write_cache(
            target,
            decode_all(items, root, size_px, workers),
            total=len(items),
            size_px=size_px,
            digest=digest,
            is_whole=lambda there: _is_whole(there, digest),
            progress=progress,
        )
        cache = open_cache(target)
    check_bad(cache.bad, len(items), max_bad_fraction)
    return cache


def check_bad(bad: Sequence[Bad], total: int, max_bad_fraction: float) -> None:
    """Raise DataError naming the first bad files if they are more than the fraction of `total`."""
    if len(bad) <= max_bad_fraction * total:
        return
    named = some([f"{path} ({reason})" for _, path, reason in bad])
    raise DataError(
        f"{len(bad)} of {total} image files cannot be read, and data.max_bad_fraction="
        f"{max_bad_fraction:g} allows {int(max_bad_fraction * total)}: {named}. Fetch them again, "
        f"take their rows out of the table, or allow more."
    )


def open_cache(folder: Path) -> Cache:
    """Return the cache in `folder`, its images mapped and not read.

    Opening the same files again in the same process costs four `stat`s: a process that plays a
    thousand sites reads the index once.

    Raises:
        ArtefactError: a file is missing, has another size or another content than cache.json says.
    """
    try:
        stats = [(folder / name).stat() for name in FILES]
    except OSError as err:
        raise _damaged(folder, str(err)) from err
    return _open(folder, tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats))


@lru_cache(maxsize=4)
def _open(folder: Path, stats: tuple[tuple[int, int, int], ...]) -> Cache:
    try:
        head = json.loads((folder / "cache.json").read_text(encoding="utf-8"))
        size_px, num_images = int(head["size_px"]), int(head["images"])
        for name, sha256 in head["sha256"].items():
            _expect(folder, sha256_of(folder / name) == sha256, f"{name} has been changed")
        shape = (num_images, size_px, size_px)
        found = stats[0][1]
        whole = num_images * size_px * size_px
        _expect(folder, found == whole, f"images.u8 has {found} bytes, not {whole}")
        index, quarantine = _read_rows(folder / "index.csv"), _read_rows(folder / "quarantine.csv")
        row_by_id = {image_id: int(row) for row, image_id in index}
        bad = tuple((image_id, path, reason) for image_id, path, reason in quarantine)
        digest = str(head["digest"])
    except (OSError, KeyError, TypeError, AttributeError, ValueError) as err:
        raise _damaged(folder, str(err)) from err
    images: NDArray[np.uint8] = (
        np.memmap(folder / "images.u8", dtype=np.uint8, mode="r", shape=shape)
        if num_images
        else np.zeros(shape, dtype=np.uint8)  # an empty file cannot be mapped
    )
    return Cache(folder, digest, images, row_by_id, bad)


def _check_items(items: Sequence[tuple[str, str]]) -> None:
    if not items:
        raise DataError("there are no images to decode.")
    ids = [image_id for image_id, _ in items]
    if len(set(ids)) < len(ids):
        raise DataError("two images have the same identifier; each row must name its own image.")


def _signatures(items: Sequence[tuple[str, str]], root: Path) -> list[tuple[int, int] | None]:
    """Return (size, mtime in ns) of each file, None where there is no file."""
    fence = Fence(root)
    found = [fence.stat(path) for _, path in items]
    return [None if stat is None else (stat.st_size, stat.st_mtime_ns) for stat in found]


def _digest(
    items: Sequence[tuple[str, str]], signatures: Sequence[tuple[int, int] | None], size_px: int
) -> str:
    sha = hashlib.sha256(f"{FORMAT}\0{DECODER}\0{size_px}\n".encode())
    for (image_id, path), signature in zip(items, signatures, strict=True):
        size, mtime_ns = signature or (-1, -1)
        sha.update(f"{image_id}\0{path}\0{size}\0{mtime_ns}\n".encode())
    return sha.hexdigest()[:32]


def _open_whole(target: Path, digest: str, *, is_ours: bool) -> Cache | None:
    """Return the cache at `target`, or None if it has to be built."""
    if not target.exists() or not any(target.iterdir()):
        return None
    try:
        cache = open_cache(target)
    except ArtefactError:
        if not is_ours:
            raise
        _log.warning("%s: damaged; built again.", target)
        return None
    if cache.digest != digest:
        raise ArtefactError(
            f"{target}: holds the cache of other images or of another size. Delete it, or name "
            f"another folder."
        )
    return cache


def _is_whole(folder: Path, digest: str) -> bool:
    try:
        return open_cache(folder).digest == digest
    except ArtefactError:
        return False


def _read_rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


def _expect(folder: Path, holds: bool, reason: str) -> None:
    if not holds:
        raise _damaged(folder, reason)


def _damaged(folder: Path, reason: str) -> ArtefactError:
    return ArtefactError(
        f"{folder}: the cache is damaged: {reason}. Delete the folder; it is made anew."
    )
