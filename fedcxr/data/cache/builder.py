"""Builds a cache folder so that it may be interrupted at any point and started again.

Every image has its row from the start, and workers write rows in place. What is done stands in a
journal (`fedcxr/data/cache/journal.py`) in the folder `.building-<name>` beside the target, which
is renamed when it is whole. Whoever comes next, after Ctrl-C or a kill, checks the journalled rows
and goes on with the others: the files are the same to the byte, whatever happened between.
"""

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from fedcxr.data.cache.journal import JOURNAL, Journal, Ledger
from fedcxr.data.cache.lock import BuildLock, build_lock
from fedcxr.data.cache.pool import DecodeJob, decode_all
from fedcxr.data.cache.writer import (
    FORMAT,
    IMAGES,
    Bad,
    Flusher,
    differing_rows,
    make_room,
    move_into_place,
    write_tables,
)
from fedcxr.data.images.decode import DECODER, decode_square, read_file
from fedcxr.data.images.png_depth import FULL_BITS, HEADER_BYTES, is_16_bit_grey
from fedcxr.data.paths import Fence
from fedcxr.errors import ArtefactError, DataError, ImageError, some

Watch = Callable[[str, int, int], None]
"""Told a phase, and how many of how many images are done in it."""

WAITING, CHECKING, DECODING, VERIFYING = "waiting", "checking", "decoding", "verifying"
"""The phases: another process builds it; what an interrupted one left is looked at; the images are
decoded; what was written is read back."""

_MOST_SAMPLED, _ONE_IN = 16, 256
"""Files looked at beforehand for the depth of 16-bit PNG files, and how rare they are."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a cache is made from."""

    items: Sequence[tuple[str, str]]
    """(image_id, path) by row."""
    root: Path | Mapping[str, Path]
    size_px: int
    digest: str

    @property
    def row_bytes(self) -> int:
        """Return the bytes of one image."""
        return self.size_px * self.size_px


def recipe_of(
    items: Sequence[tuple[str, str]], root: Path | Mapping[str, Path], size_px: int
) -> tuple[Recipe, list[Bad]]:
    """Return the recipe, and the files that are not there.

    Raises:
        DataError: there are no images, two have one identifier, or a path leads out of the root.
    """
    items = sorted(items)
    if not items:
        raise DataError("there are no images to decode.")
    if any(one[0] == other[0] for one, other in pairwise(items)):
        raise DataError("two images have the same identifier; each row must name its own image.")
    fence, missing = Fence(root), []
    sha = hashlib.sha256(f"{FORMAT}\0{DECODER}\0{size_px}\n".encode())
    for image_id, path in items:
        stat = fence.stat(path)
        if stat is None:
            missing.append((image_id, path, "missing"))
        size, mtime_ns = (-1, -1) if stat is None else (stat.st_size, stat.st_mtime_ns)
        sha.update(f"{image_id}\0{path}\0{size}\0{mtime_ns}\n".encode())
    return Recipe(items, root, size_px, sha.hexdigest()[:32]), missing


def build(
    target: Path,
    recipe: Recipe,
    *,
    workers: int,
    is_whole: Callable[[Path], bool],
    watch: Watch,
) -> None:
    """Make the cache of the recipe at `target`, or wait for another builder that makes it.

    Args:
        target: where the cache goes.
        recipe: what it is made from.
        workers: threads or processes.
        is_whole: whether a folder holds the whole cache of the recipe's digest.
        watch: told how far it is.

    Raises:
        ArtefactError: the folder cannot be written, what is read back is not what was written, or
            another builder stands still.
        RunError: a decoding process died; start again.
    """
    building = target.parent / f".building-{target.name}"

    def waiting(phase: str, done: int, total: int) -> None:
        watch(WAITING, done if phase == DECODING else total, total)

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with build_lock(
            building.with_name(f"{building.name}.lock"),
            is_built=lambda: is_whole(target),
            waiting=waiting,
        ) as lock:
            if lock is None:
                return
            if not is_whole(building):
                _build(building, recipe, workers, _both(watch, lock))
            (building / JOURNAL).unlink(missing_ok=True)
            move_into_place(building, target)
    except OSError as err:
        raise ArtefactError(
            f"{target}: the cache cannot be written ({err.strerror}); it needs "
            f"{len(recipe.items) * recipe.row_bytes / 1e9:.2f} GB. Make room on this disk (in your "
            f"quota, if that is full) or set FEDCXR_HOME to another, and start again."
        ) from err


def _both(watch: Watch, lock: BuildLock) -> Watch:
    def both(phase: str, done: int, total: int) -> None:
        lock.publish(phase, done, total)
        watch(phase, done, total)

    return both


def _build(building: Path, recipe: Recipe, workers: int, watch: Watch) -> None:
    """Fill `building`; if nothing at all gets done, leave nothing."""
    building.mkdir(mode=0o700, exist_ok=True)
    ledger = Ledger(len(recipe.items))
    try:
        with Journal(building, ledger, digest=recipe.digest) as journal:
            if not ledger.done.any():  # a killed builder's processes may still write to the file
                (building / IMAGES).unlink(missing_ok=True)
            make_room(building / IMAGES, len(recipe.items) * recipe.row_bytes)
            _check_done(building / IMAGES, recipe, ledger, workers, watch)
            with Flusher(building / IMAGES) as flusher:
                _decode(building / IMAGES, recipe, ledger, journal, workers, watch)
                _verify(building / IMAGES, recipe, ledger, workers, watch)
                flusher.finish()
        write_tables(building, recipe.items, ledger, size_px=recipe.size_px, digest=recipe.digest)
    except BaseException:
        if not ledger.done.any():
            shutil.rmtree(building, ignore_errors=True)
        raise


def _check_done(images: Path, recipe: Recipe, ledger: Ledger, workers: int, watch: Watch) -> None:
    """Have those rows decoded again that do not hold what the journal says."""
    done = np.flatnonzero(ledger.done)
    if not len(done):
        return
    last = int(done[-1]) + 1
    watch(CHECKING, 0, last)
    differing = differing_rows(
        images,
        recipe.row_bytes,
        ledger.crc32[:last],
        workers=workers,
        progress=lambda done, total: watch(CHECKING, done, total),
    )
    ledger.done[differing] = False


def _decode(
    images: Path, recipe: Recipe, ledger: Ledger, journal: Journal, workers: int, watch: Watch
) -> None:
    """Decode what is not done; then again the 16-bit PNG files whose depth was taken wrongly.

    Which depth they have is known when all of them have been looked at. It hangs on the files
    alone, so the pixels do too, whatever was taken on the way.
    """
    fence = Fence(recipe.root)

    def paths(rows: range) -> list[str]:
        return [str(fence.file(path)) for _, path in recipe.items[rows.start : rows.stop]]

    png_bits = max(ledger.png_bits(), _sampled_bits(recipe, fence)) or FULL_BITS
    while True:
        total, done = len(ledger.done), int(np.count_nonzero(ledger.done))
        watch(DECODING, done, total)
        job = DecodeJob(images, recipe.size_px, png_bits, paths)
        with closing(decode_all(job, ledger.todo(), workers)) as decoded:
            for chunk in decoded:
                journal.append(chunk)
                done += len(chunk.crc32)
                watch(DECODING, done, total)
        ledger.undo_other_depths()
        if ledger.done.all():
            return
        png_bits = ledger.png_bits()


def _sampled_bits(recipe: Recipe, fence: Fence) -> int:
    """Return the depth of the 16-bit PNG files among a few, evenly spread; 0 if there are none."""
    total, found = len(recipe.items), 0
    number = min(_MOST_SAMPLED, 1 + total // _ONE_IN)
    for row in np.linspace(0, total - 1, number).astype(int).tolist():
        path = fence.file(recipe.items[row][1])
        try:
            with path.open("rb") as file:
                if not is_16_bit_grey(file.read(HEADER_BYTES)):
                    continue
            square = decode_square(read_file(path), 1, png_bits=FULL_BITS)
        except (OSError, ImageError):
            continue  # it is named when its row is decoded
        found = max(found, square.used_bits)
    return found


def _verify(images: Path, recipe: Recipe, ledger: Ledger, workers: int, watch: Watch) -> None:
    """Raise ArtefactError if a row does not hold what was decoded into it."""
    total = len(ledger.done)
    watch(VERIFYING, 0, total)
    differing = differing_rows(
        images,
        recipe.row_bytes,
        ledger.crc32,
        workers=workers,
        progress=lambda done, total: watch(VERIFYING, done, total),
    )
    if differing:
        raise ArtefactError(
            f"{images}: {len(differing)} of {total} images read back are not what was written: "
            f"rows {some([str(row) for row in differing])}. The disk or the memory fails: start "
            f"again, and they are decoded anew; if it comes back, set FEDCXR_HOME to another disk."
        )
