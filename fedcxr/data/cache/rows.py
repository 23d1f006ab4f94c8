"""Image files into rows of `images.u8`, each written in its place and checksummed on the way.

What one call did is a `Decoded`: a line of JSON between processes and in the builder's journal.
Whatever imports this must stay light (no torch, no pandas): every decoding process does.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.images.decode import decode_bytes, read_file
from fedcxr.errors import ImageError, RunError

CONTENT_DIGITS = 32
"""Of a digest in hex: 128 bits of BLAKE2b, at 1 GB/s faster than files are decoded by far."""


class Stopped(Exception):
    """The decoding was told to stop."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What is now in the rows from `start` on."""

    start: int
    crc32: tuple[int, ...]
    """Of each row's pixels; a file that could not be decoded has a row of zeros."""
    contents: tuple[str, ...]
    """Digest of each file's bytes, empty where it could not be decoded."""
    bad: tuple[tuple[int, str], ...]
    """Row and reason of each file that could not be decoded."""

    def to_line(self) -> str:
        """Return one line of JSON, without its end."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_line(cls, line: str | bytes) -> "Decoded":
        """Return what `to_line` wrote.

        Raises:
            ValueError: the line is torn or something else.
        """
        return cls.from_json(json.loads(line))

    @classmethod
    def from_json(cls, read: Any) -> "Decoded":  # noqa: ANN401 (any JSON)
        """Return what the JSON of a line holds.

        Raises:
            ValueError: it is something else.
        """
        try:
            start, crc32 = int(read["start"]), tuple(int(crc) for crc in read["crc32"])
            contents = tuple(str(content) for content in read["contents"])
            bad = tuple((int(row), str(reason)) for row, reason in read["bad"])
        except (KeyError, TypeError) as err:
            raise ValueError(f"no line of decoded rows: {err}") from err
        fits = len(contents) == len(crc32) and all(
            len(one) in (0, CONTENT_DIGITS) for one in contents
        )
        if not fits or start < 0 or not all(0 <= crc < 1 << 32 for crc in crc32):
            raise ValueError("a line of decoded rows does not fit together")
        return cls(start, crc32, contents, bad)


def decode_rows(
    images: int,
    size_px: int,
    start: int,
    paths: Sequence[str],
    stopped: Callable[[], bool] = lambda: False,
) -> Decoded:
    """Decode the files into the rows from `start` on.

    Args:
        images: descriptor of `images.u8`, open for writing.
        size_px: side of the square.
        start: row of the first file.
        paths: the files.
        stopped: asked before each file.

    Raises:
        OSError: the disk is full or broken.
        RunError: the decoder itself failed on a file.
        Stopped: `stopped` said yes.
    """
    crc32, contents, bad = [], [], []
    for row, path in enumerate(paths, start):
        if stopped():
            raise Stopped
        pixels, content, reason = _decode(Path(path), size_px)
        if reason is not None:
            bad.append((row, reason))
        _write(images, pixels, row * size_px * size_px)
        crc32.append(zlib.crc32(pixels.data))
        contents.append(content)
    return Decoded(start, tuple(crc32), tuple(contents), tuple(bad))


def _decode(path: Path, size_px: int) -> tuple[NDArray[np.uint8], str, str | None]:
    """Return pixels, the digest of the file's bytes, and why the file is bad if it is."""
    try:
        data = read_file(path)
        pixels = np.ascontiguousarray(decode_bytes(data, size_px))
    except ImageError as err:
        reason = str(err) if path.exists() else "missing"
        # Written, not skipped: another attempt may have left pixels in this row.
        return np.zeros((size_px, size_px), dtype=np.uint8), "", reason
    except Exception as err:  # a decoder's fault, not the file's: among 200,000 it must be found
        raise RunError(
            f"{path}: decoding broke off with {type(err).__name__}: {err}. Report it; without the "
            f"file in the table it goes on."
        ) from err
    assert pixels.shape == (size_px, size_px), pixels.shape  # else it would fill others' rows
    assert pixels.dtype == np.uint8, pixels.dtype
    return pixels, hashlib.blake2b(data, digest_size=CONTENT_DIGITS // 2).hexdigest(), None


def _write(images: int, pixels: NDArray[np.uint8], offset: int) -> None:
    left = pixels.data.cast("B")
    while left:
        written = os.pwrite(images, left, offset)
        left, offset = left[written:], offset + written
