"""What Pillow lets pass in a PNG file although its grey values are not certain.

Pillow paints a pixel black whose palette has no such colour, and all pixels after a data stream
that ends too early. Both would train as a radiograph with a black part. Nor does it look at the
checksums of the pixels' chunks, or for the file's end once it has the pixels.
Source: PNG specification (third edition), chapters 5 and 9 to 11.
"""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from fedcxr.errors import ImageError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Values a pixel, by the header's colour type."""

_MOST_INFLATED = 1032
"""Bytes that deflate can make of one: a file too short for its pixels is known as such at once."""

_PIECE = 1 << 20


def check_file(data: bytes, image: Image.Image) -> None:
    """Raise ImageError if the file is damaged, cannot hold its pixels, or holds several images.

    Pillow has taken no memory for the pixels yet.

    Args:
        data: the file.
        image: what Pillow opened, not loaded yet.
    """
    if "bbox" in image.info:  # of a frame, which need not fill the image
        raise ImageError("animated PNG: export its one image")
    expected = _expected(data, image)
    if expected > _MOST_INFLATED * len(data):
        raise ImageError(f"damaged: {len(data)} bytes cannot hold {expected} bytes of pixels")
    _check_sums(data)


def check_pixels(data: bytes, image: Image.Image) -> None:
    """Raise ImageError if Pillow painted pixels that the file does not hold.

    Args:
        data: the file.
        image: what Pillow loaded from it.
    """
    pixels = np.asarray(image)
    if image.mode == "P":
        colours = len(image.getpalette() or ()) // 3
        highest = int(pixels.max())
        if highest >= colours:
            raise ImageError(f"damaged: colour {highest} of a palette of {colours}")
    is_interlaced = data[28] == 1
    # counting the stream takes half as long as decoding it: only where it may have ended early
    if is_interlaced or not pixels[-1].any():
        expected = _expected(data, image)
        found = _count(data, expected)
        if found < expected:
            raise ImageError(f"damaged: {found} of {expected} bytes of pixels")


def _expected(data: bytes, image: Image.Image) -> int:
    """Return how many bytes the unpacked pixels have, at least."""
    name, width, height, depth, colour, interlace = struct.unpack(">4sIIBBxxB", data[12:29])
    if name != b"IHDR" or (width, height) != image.size or colour not in _CHANNELS:
        raise ImageError("damaged: it does not start with its one header")
    line = (width * depth * _CHANNELS[colour] + 7) // 8
    return int(height * (line if interlace else line + 1))  # a filter byte before each line


def _check_sums(data: bytes) -> None:
    """Raise ImageError if a chunk is not what its checksum says, or the last one is missing.

    It takes 0.2 ms a megabyte, a hundredth of what decoding takes.
    """
    for name, body, checksum in _chunks(data):
        if zlib.crc32(body, zlib.crc32(name)) != checksum:
            raise ImageError("damaged: a part of it is not what its checksum says")
        if name == b"IEND":
            return
    raise ImageError("damaged: truncated, its end is missing")


def _count(data: bytes, most: int) -> int:
    """Return how many bytes the data stream holds, counted no further than `most`."""
    unpacker, found = zlib.decompressobj(), 0
    for name, body, _ in _chunks(data):
        waiting = bytes(body) if name == b"IDAT" else b""
        while waiting and found < most and not unpacker.eof:
            found += len(unpacker.decompress(waiting, min(_PIECE, most - found)))
            waiting = unpacker.unconsumed_tail
    return found


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, int]]:
    """Yield the name, body and checksum of each chunk that is there to its end."""
    view, place = memoryview(data), len(_SIGNATURE)
    while place + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        body = view[place + 8 : place + 8 + length]
        place += 12 + length
        if place <= len(data):
            yield name, body, int.from_bytes(data[place - 4 : place])
