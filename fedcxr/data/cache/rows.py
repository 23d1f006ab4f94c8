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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.images.decode import decode_square, read_file
from fedcxr.data.images.png_depth import FULL_BITS, depth_fault
from fedcxr.data.images.quiet import quiet_libraries
from fedcxr.errors import ImageError, RunError

CONTENT_DIGITS = 32
"""Of a digest in hex: 128 bits of BLAKE2b, at 1 GB/s faster than files are decoded by far."""


class Stopped(Exception):
    """The decoding was told to stop."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What is now in the rows from `start` on."""

    start: int
    png_bits: int
    """By which 16-bit PNG files were scaled (`fedcxr/data/images/png_depth.py`)."""
    used_bits: tuple[int, ...]
    """By each 16-bit grey PNG file; 0 of others, and where a file could not be decoded at all."""
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
            start, png_bits = int(read["start"]), int(read["png_bits"])
            used_bits = tuple(int(bits) for bits in read["used_bits"])
            crc32 = tuple(int(crc) for crc in read["crc32"])
            contents = tuple(str(content) for content in read["contents"])
            bad = tuple((int(row), str(reason)) for row, reason in read["bad"])
        except (KeyError, TypeError) as err:
            raise ValueError(f"no line of decoded rows: {err}") from err
        fits = (
            len(contents) == len(used_bits) == len(crc32)
            and all(len(content) in (0, CONTENT_DIGITS) for content in contents)
            and all(0 <= bits <= FULL_BITS for bits in (png_bits, *used_bits))
            and all(0 <= crc < 1 << 32 for crc in crc32)
        )
        if not fits or start < 0:
            raise ValueError("a line of decoded rows does not fit together")
        return cls(start, png_bits, used_bits, crc32, contents, bad)


def decode_rows(
    images: int,
    start: int,
    paths: Sequence[str],
    *,
    size_px: int,
    png_bits: int,
    stopped: Callable[[], bool] = lambda: False,
) -> Decoded:
    """Decode the files into the rows from `start` on.

    Args:
        images: descriptor of `images.u8`, open for writing.
        start: row of the first file.
        paths: the files.
        size_px: side of the square.
        png_bits: by which 16-bit PNG files are scaled.
        stopped: asked before each file.

    Raises:
        OSError: the disk is full or broken.
        RunError: the decoder itself failed on a file.
        Stopped: `stopped` said yes.
    """
    used_bits, crc32, contents, bad = [], [], [], []
    with quiet_libraries:  # once for all; for each image by itself it takes 5 µs
        for row, path in enumerate(paths, start):
            if stopped():
                raise Stopped
            one = _decode(path, size_px, png_bits)
            if one.reason is not None:
                bad.append((row, one.reason))
            _write(images, one.pixels, row * size_px * size_px)
            used_bits.append(one.used_bits)
            crc32.append(zlib.crc32(one.pixels.data))
            contents.append(one.content)
    return Decoded(start, png_bits, tuple(used_bits), tuple(crc32), tuple(contents), tuple(bad))


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """One file, decoded as far as it can be."""

    pixels: NDArray[np.uint8]
    content: str = ""
    used_bits: int = 0
    reason: str | None = None
    """Why the file is bad, if it is."""


def _decode(path: str, size_px: int, png_bits: int) -> _Row:
    # Written where there is no picture, not skipped: another attempt may have left pixels there.
    nothing = np.zeros((size_px, size_px), dtype=np.uint8)
    try:
        data = read_file(path)
        content = hashlib.blake2b(data, digest_size=CONTENT_DIGITS // 2).hexdigest()
        square = decode_square(data, size_px, png_bits=png_bits)
    except ImageError as err:
        return _Row(nothing, reason=str(err) if os.path.exists(path) else "missing")
    except Exception as err:  # a decoder's fault, not the file's: among 200,000 it must be found
        raise RunError(
            f"{path}: decoding broke off with {type(err).__name__}: {err}. Report it; without the "
            f"file in the table it goes on."
        ) from err
    fault = depth_fault(square.used_bits, png_bits)
    if fault is not None:
        return _Row(nothing, used_bits=square.used_bits, reason=fault)
    pixels = np.ascontiguousarray(square.pixels)
    assert pixels.shape == (size_px, size_px), pixels.shape  # else it would fill others' rows
    assert pixels.dtype == np.uint8, pixels.dtype
    return _Row(pixels, content, square.used_bits)


def _write(images: int, pixels: NDArray[np.uint8], offset: int) -> None:
    left = pixels.data.cast("B")
    while left:
        written = os.pwrite(images, left, offset)
        left, offset = left[written:], offset + written
