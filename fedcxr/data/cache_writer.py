"""Writes a cache folder: decodes the images, a chunk at a time, and renames the folder when whole.

Threads, not processes: Pillow decodes outside the interpreter lock, a pool of processes takes half
a second to start, and its results would have to be copied between them.
"""

import csv
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.images import DECODER, decode
from fedcxr.errors import ArtefactError, ImageError

FORMAT = 1
_CHUNK = 256

Bad = tuple[str, str, str]
"""image_id, path, reason."""

Square = tuple[str, str, NDArray[np.uint8] | str]
"""image_id, path, and the (H, W) pixels or the reason why there are none."""


def decode_all(
    items: Sequence[tuple[str, str]], root: Path, size_px: int, workers: int
) -> Iterator[Square]:
    """Yield each image in the order of the items, a chunk of them in memory at a time."""

    def one(item: tuple[str, str]) -> Square:
        image_id, path = item
        try:
            return image_id, path, decode(root / path, size_px)
        except ImageError as err:
            reason = str(err) if (root / path).exists() else "missing"
            return image_id, path, reason

    with ThreadPoolExecutor(max_workers=workers) as pool:
        for start in range(0, len(items), _CHUNK):
            yield from pool.map(one, items[start : start + _CHUNK])


def write_cache(
    target: Path,
    squares: Iterable[Square],
    *,
    total: int,
    size_px: int,
    digest: str,
    is_whole: Callable[[Path], bool],
    progress: Callable[[int, int], None] | None,
) -> None:
    """Write the cache in a folder of its own and rename it to `target`.

    A whole cache that another builder put there meanwhile stays.

    Args:
        target: where the cache goes.
        squares: what `decode_all` yields.
        total: how many that will be.
        size_px: side of each square.
        digest: of what the cache is made from.
        is_whole: whether the folder holds the whole cache of that digest.
        progress: called with the number of files done and the total.

    Raises:
        ArtefactError: the folder cannot be written, or holds another cache.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".building-{target.name}-", dir=target.parent))
    except OSError as err:
        raise ArtefactError(f"{target}: cannot be written ({err.strerror}).") from err
    try:
        ids, bad = _write_images(building / "images.u8", squares, total, progress)
        _write_rows(building / "index.csv", ("row", "image_id"), enumerate(ids))
        _write_rows(building / "quarantine.csv", ("image_id", "path", "reason"), bad)
        head = {
            "format": FORMAT,
            "digest": digest,
            "decoder": DECODER,
            "size_px": size_px,
            "images": len(ids),
            "bad": len(bad),
            "sha256": {n: sha256_of(building / n) for n in ("index.csv", "quarantine.csv")},
        }
        (building / "cache.json").write_text(json.dumps(head, indent=2), encoding="utf-8")
        _move(building, target, is_whole)
    except OSError as err:
        raise ArtefactError(
            f"{target}: the cache cannot be written ({err.strerror}); it needs "
            f"{total * size_px * size_px / 1e9:.2f} GB. Make room or set FEDCXR_HOME."
        ) from err
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _write_images(
    path: Path,
    squares: Iterable[Square],
    total: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[str], list[Bad]]:
    ids: list[str] = []
    bad: list[Bad] = []
    with path.open("wb") as file:
        for done, (image_id, name, pixels) in enumerate(squares, start=1):
            if isinstance(pixels, str):
                bad.append((image_id, name, pixels))
            else:
                file.write(pixels.tobytes())
                ids.append(image_id)
            if progress is not None and (done % 64 == 0 or done == total):
                progress(done, total)
        file.flush()
        os.fsync(file.fileno())
    return ids, bad


def _move(building: Path, target: Path, is_whole: Callable[[Path], bool]) -> None:
    """Rename `building` to `target`, in place of what is damaged there."""
    for _ in range(3):
        try:
            building.rename(target)
            return
        except OSError:
            if not target.is_dir():
                raise
        if is_whole(target):
            return
        aside = Path(tempfile.mkdtemp(prefix=".damaged-", dir=target.parent))
        target.rename(aside / target.name)
        shutil.rmtree(aside, ignore_errors=True)
    raise ArtefactError(f"{target}: others keep writing to this folder; try again.")


def _write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def sha256_of(path: Path) -> str:
    """Return the hex sha256 of a file that fits in memory."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
