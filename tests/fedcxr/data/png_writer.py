"""PNG files in forms that Pillow does not write, from the bytes of their lines."""

import struct
import zlib

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
"""Colour types of the PNG specification."""


def chunk(name, body=b""):
    """Return a chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_bytes(lines, *, width, depth, colour, chunks=(), height=None, interlace=0):
    """Return a file whose lines are those bytes, each without a filter."""
    size = (width, len(lines) if height is None else height)
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, interlace)
    data = zlib.compress(b"".join(b"\0" + line for line in lines))
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", data), chunk(b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def words(*values):
    """Return 16-bit values as a PNG holds them."""
    return struct.pack(f">{len(values)}H", *values)
