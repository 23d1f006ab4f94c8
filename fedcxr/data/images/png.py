"""What Pillow lets pass in a PNG file although its grey values are not certain.

Pillow paints a pixel black whose palette has no such colour, and all pixels after a data stream
that ends too early. Both would train as a radiograph with a black part.
Source: PNG specification (third edition), chapters 9 to 11.
"""

import struct
import zlib

import numpy as np
from PIL import Image

from fedcxr.errors import ImageError

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Values a pixel, by the header's colour type."""

_MOST_INFLATED = 1032
"""Bytes that deflate can make of one: a file too short for its pixels is known as such at once."""

_PIECE = 1 << 20


def check_header(data: bytes, image: Image.Image) -> None:
    """Raise ImageError if the file cannot hold its pixels, or holds several images.

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


def _count(data: bytes, most: int) -> int:
    """Return how many bytes the data stream holds, counted no further than `most`."""
    unpacker = zlib.decompressobj()
    place, found = 8, 0
    while place + 8 <= len(data) and found < most and not unpacker.eof:
        length, name = struct.unpack_from(">I4s", data, place)
        waiting = data[place + 8 : place + 8 + length] if name == b"IDAT" else b""
        while waiting and found < most and not unpacker.eof:
            found += len(unpacker.decompress(waiting, min(_PIECE, most - found)))
            waiting = unpacker.unconsumed_tail
        place += 12 + length
    return found
