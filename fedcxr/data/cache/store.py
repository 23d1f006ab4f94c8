"""Every image decoded once, into one file of 8-bit squares that processes map and share.

A cache is named by the digest of what it was made from: the image tokens, the paths, sizes and
times of the files, the size in pixels and the decoder. It is built in a folder of its own and
renamed when whole (`fedcxr/data/cache/builder.py`), so a cache that is there is whole.

    images.u8        (N, H, W) uint8, C order, nothing else; zeros for the files in quarantine
    index.csv        row,image_id,crc32,content: checksum of the pixels, digest of the file
    quarantine.csv   image_id,path,reason: files that could not be decoded; no row is theirs
    cache.json       sizes and digests, written last
"""

import csv
import json
import logging
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.cache.builder import DECODING, WAITING, Watch, build, recipe_of
from fedcxr.data.cache.writer import (
    FORMAT,
    HEAD,
    IMAGES,
    INDEX,
    QUARANTINE,
    Bad,
    differing_rows,
    sha256_of,
)
from fedcxr.data.image_files import ending_hint
from fedcxr.data.paths import Fence
from fedcxr.errors import ArtefactError, DataError, some
from fedcxr.home import home_folder

FILES = (IMAGES, INDEX, QUARANTINE, HEAD)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cache:
    """Decoded images by token; pickled as its folder alone, so workers open it themselves."""

    folder: Path
    digest: str
    images: NDArray[np.uint8] = field(repr=False)
    """(N, H, W), read-only and mapped from the file."""
    row_by_id: dict[str, int] = field(repr=False)
    """Of the images that could be decoded."""
    bad: tuple[Bad, ...] = field(repr=False)
    png_bits: int | None
    """By which 16-bit grey PNG files were scaled, as the largest of their values uses so many; None
    if there are none."""

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

    def contents(self) -> Mapping[str, str]:
        """Return the digest of each decoded image's file, by token, as the file was read.

        BLAKE2b of 128 bits, in hex: the same for two images exactly if their files are. It has no
        key: beside a token it tells whoever has the files which is meant, so it stays in the cache.
        """
        return {image_id: content for _, image_id, _, content in _rows_of(self.folder / INDEX)}

    def __reduce__(self) -> tuple[Callable[[Path], "Cache"], tuple[Path]]:
        return open_cache, (self.folder,)


def build_cache(
    items: Sequence[tuple[str, str]],
    root: Path | Mapping[str, Path],
    *,
    size_px: int,
    max_bad_fraction: float,
    workers: int,
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    watch: Watch | None = None,
) -> Cache:
    """Return the cache of the images, decoding them if no whole cache of their digest is there.

    It may be interrupted and called again: it goes on where it stopped. If another process builds
    the same cache, this one waits for it.

    Args:
        items: (image_id, path relative to root) of each image.
        root: the data set's folder, or those of joined ones by the first component of the paths.
        size_px: side of the square.
        max_bad_fraction: more bad files than this share of the items is an error.
        workers: threads, or processes where there is much to decode.
        folder: where the cache goes; none = under the home folder, by digest.
        progress: called with the number of files done and the total.
        watch: called with the phase too, and also while what was written is read back.

    Raises:
        DataError: too many bad files, or a path that leads out of the root.
        ArtefactError: `folder` holds another cache or cannot be written, the disk does not keep
            what it is given, or another builder of the same cache stands still.
        RunError: a decoding process died.
    """
    recipe, missing = recipe_of(items, root, size_px)
    check_bad(missing, len(items), max_bad_fraction, root)
    digest = recipe.digest
    target = folder or home_folder() / "cache" / digest
    cache = _open_whole(target, digest, is_ours=folder is None)
    if cache is None:

        def on_step(phase: str, done: int, total: int) -> None:
            if progress is not None and phase in (WAITING, DECODING):
                progress(done, total)
            if watch is not None:
                watch(phase, done, total)

        build(
            target,
            recipe,
            workers=workers,
            is_whole=lambda there: _is_whole(there, digest),
            watch=on_step,
        )
        cache = open_cache(target)
    check_bad(cache.bad, len(items), max_bad_fraction, root)
    return cache


def check_bad(
    bad: Sequence[Bad], total: int, max_bad_fraction: float, root: Path | Mapping[str, Path]
) -> None:
    """Raise DataError naming the first bad files if they are more than the fraction of `total`."""
    if len(bad) <= max_bad_fraction * total:
        return
    named = some([f"{path} ({reason})" for _, path, reason in bad])
    hint = ending_hint([path for _, path, _ in bad], Fence(root))
    raise DataError(
        f"{len(bad)} of {total} image files cannot be read, and data.max_bad_fraction="
        f"{max_bad_fraction:g} allows {int(max_bad_fraction * total)}: {named}. Fetch them again, "
        f"take their rows out of the table, or allow more.{hint}"
    )


def verify_cache(
    cache: Cache, *, workers: int = 1, progress: Callable[[int, int], None] | None = None
) -> None:
    """Read every image of the cache and compare it with its checksum.

    Args:
        cache: an open one.
        workers: threads that read.
        progress: called with the number of images read and the total.

    Raises:
        ArtefactError: images are not what was written.
    """
    total, size_px, _ = cache.images.shape
    row_bytes = size_px * size_px
    expected = np.full(total, zlib.crc32(bytes(row_bytes)), dtype=np.uint32)
    for row, _, crc32, _ in _rows_of(cache.folder / INDEX):
        expected[int(row)] = int(crc32, 16)
    try:
        differing = differing_rows(
            cache.folder / IMAGES, row_bytes, expected, workers=workers, progress=progress
        )
    except OSError as err:
        raise _damaged(cache.folder, str(err)) from err
    if differing:
        rows = some([str(row) for row in differing])
        raise _damaged(
            cache.folder,
            f"{len(differing)} of {total} images are not what was written: rows {rows}",
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
        head = json.loads((folder / HEAD).read_text(encoding="utf-8"))
        made = int(head["format"])
        _expect(folder, made == FORMAT, f"its format is {made}, this version's is {FORMAT}")
        size_px, num_rows, digest = int(head["size_px"]), int(head["rows"]), str(head["digest"])
        png_bits = None if head["png_bits"] is None else int(head["png_bits"])
        for name, sha256 in head["sha256"].items():
            _expect(folder, sha256_of(folder / name) == sha256, f"{name} has been changed")
        found, whole = stats[0][1], num_rows * size_px * size_px
        _expect(folder, found == whole, f"{IMAGES} has {found} bytes, not {whole}")
        row_by_id = {image_id: int(row) for row, image_id, _, _ in _rows_of(folder / INDEX)}
        bad = tuple((i, path, reason) for i, path, reason in _rows_of(folder / QUARANTINE))
        images: NDArray[np.uint8] = np.memmap(
            folder / IMAGES, dtype=np.uint8, mode="r", shape=(num_rows, size_px, size_px)
        )
    except (OSError, KeyError, TypeError, AttributeError, ValueError) as err:
        raise _damaged(folder, str(err)) from err
    return Cache(folder, digest, images, row_by_id, bad, png_bits)


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


def _rows_of(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        yield from rows


def _expect(folder: Path, holds: bool, reason: str) -> None:
    if not holds:
        raise _damaged(folder, reason)


def _damaged(folder: Path, reason: str) -> ArtefactError:
    return ArtefactError(
        f"{folder}: the cache is damaged: {reason}. Delete the folder; it is made anew."
    )
