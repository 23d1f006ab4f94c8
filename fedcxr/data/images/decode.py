"""One image file to one square of 8-bit grey.

The whole image is resized to the square, without crop and without keeping its aspect ratio, as the
CheXpert baselines do: -small's 390 × 320 becomes 320 × 320. A box given in fractions of width and
height therefore stays right at every size.

Whatever cannot be decoded faithfully is an ImageError, never a black or half-grey square.
"""

import os
import struct
import zlib
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageFile, PngImagePlugin

from fedcxr.data.images.dicom import decode_dicom, is_dicom
from fedcxr.data.images.exif import upright
from fedcxr.data.images.greyscale import look_up
from fedcxr.data.images.jpeg import WholeJpeg
from fedcxr.data.images.png import check_file, check_pixels
from fedcxr.data.images.png_depth import (
    FULL_BITS,
    LEAST_BITS,
    depth_fault,
    grey_levels,
    used_bits,
)
from fedcxr.data.images.quiet import quiet_libraries
from fedcxr.errors import ConfigError, ImageError

MAX_PIXELS = 64_000_000
"""CheXpert's largest radiograph has about 9 million pixels; more than this is no radiograph."""

MAX_FILE_BYTES = 256_000_000

DECODER = f"square-bilinear-2+dicom-2+pillow-{PIL.__version__}"
"""Names the arithmetic of this module, of `greyscale.py` and of Pillow; another decoder makes
another cache. pydicom has no number in it: it only unpacks what is stored."""

_JPEG_MAGIC = b"\xff\xd8\xff"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_OTHERS = {
    **{b"GIF8": "GIF", b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"RIFF": "WebP"},
    **{b"PK\x03\x04": "a zip archive", b"\x1f\x8b": "gzip", b"%PDF": "PDF"},
}
_BARE_DICOM = (b"\x02\x00\x00\x00UL", b"\x08\x00")
"""First element of DICOM data that was not written as a file: group 2, or a data set's group 8."""

_BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error, zlib.error),
)
"""What Pillow and zlib raise on damaged files."""

_DARK_COLOUR = 16
"""Of 255, for 16-bit files with alpha or in colour, of which Pillow keeps the upper 8 bits."""


@dataclass(frozen=True, slots=True, eq=False)
class Square:
    """An image file, decoded."""

    pixels: NDArray[np.uint8] = field(repr=False)
    """(size_px, size_px), 255 = white."""
    used_bits: int
    """By the largest value of a 16-bit grey PNG file (`png_depth.py`); 0 of every other file."""


def decode(path: Path, size_px: int, *, png_bits: int = FULL_BITS) -> NDArray[np.uint8]:
    """Return the image as (size_px, size_px) of 8-bit grey, 255 = white.

    The bytes say what a file is, not its name. Colour becomes luma (ITU-R 601), transparency black,
    16 bits of a PNG are scaled by `png_bits`, and those of a DICOM file by its window (see
    `dicom.decode_dicom`). A JPEG or PNG is turned as its EXIF block says.

    Args:
        path: the file.
        size_px: side of the square.
        png_bits: 9 to 16; 2 ** png_bits - 1 is white in a 16-bit grey PNG. `Cache.png_bits` has
            that of a data set; a file by itself cannot tell.

    Raises:
        ImageError: not a whole JPEG, PNG or DICOM file of at most 64 megapixels, or in a form whose
            grey values are not certain (CMYK, a 16-bit PNG far darker or brighter than `png_bits`).
        ConfigError: another `png_bits`.
    """
    return decode_bytes(read_file(path), size_px, png_bits=png_bits)


def decode_bytes(data: bytes, size_px: int, *, png_bits: int = FULL_BITS) -> NDArray[np.uint8]:
    """Return the image in a file's bytes as `decode` does, with the same errors."""
    if not LEAST_BITS <= png_bits <= FULL_BITS:
        raise ConfigError(f"png_bits={png_bits}: give {LEAST_BITS} to {FULL_BITS}.")
    square = decode_square(data, size_px, png_bits=png_bits)
    fault = depth_fault(square.used_bits, png_bits)
    if fault is not None:
        raise ImageError(fault)
    return square.pixels


def decode_square(data: bytes, size_px: int, *, png_bits: int) -> Square:
    """Return the image in a file's bytes, with what tells whether its depth fits `png_bits`.

    For those who learn the depth on the way; a file that does not fit (`depth_fault`) is not
    refused here.

    Raises:
        ImageError: as `decode`.
    """
    with quiet_libraries:
        if is_dicom(data):
            grey, used = Image.fromarray(decode_dicom(data, MAX_PIXELS)), 0
        else:
            grey, used = _decode_picture(data, size_px, png_bits)
        pixels = np.asarray(_resize(grey, size_px), dtype=np.uint8)
    return Square(pixels, used)


def resized(pixels: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    """Return pixels (H, W) of 8-bit grey as (size_px, size_px), by the arithmetic of `decode`."""
    return np.asarray(_resize(Image.fromarray(pixels), size_px), dtype=np.uint8)


def _resize(grey: Image.Image, size_px: int) -> Image.Image:
    if grey.size == (size_px, size_px):  # `resize` would copy it
        return grey
    return grey.resize((size_px, size_px), Image.Resampling.BILINEAR)


def _decode_picture(data: bytes, size_px: int, png_bits: int) -> tuple[Image.Image, int]:
    """Return a JPEG or PNG in mode L, upright, and the bits that a 16-bit grey PNG uses.

    A JPEG may be smaller than it is stored.
    """
    try:
        image = _open(data)
        _check_size(image)
        is_png = isinstance(image, PngImagePlugin.PngImageFile)
        if is_png:
            check_file(data, image)
        else:
            # libjpeg averages 8 × 8 blocks for next to nothing; twice the size is left to resize.
            image.draft("L" if image.mode in ("L", "RGB") else None, (2 * size_px, 2 * size_px))
        stored = str(image.tile[0].args) if image.tile else ""
        image.load()
        if is_png:
            check_pixels(data, image)
        grey, used = _to_grey(image, stored, png_bits)
        return upright(grey, image.info.get("exif")), used
    except _BROKEN as err:
        reason = str(err).partition("\n")[0] or type(err).__name__
        raise ImageError(f"damaged: {reason}") from err


def read_file(path: str | Path) -> bytes:
    """Return a file's bytes.

    Raises:
        ImageError: missing, empty, unreadable or too large.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
                raise ImageError(f"larger than {MAX_FILE_BYTES // 1_000_000} MB")
            data = file.readall()
    except OSError as err:
        raise ImageError(f"cannot be read: {err.strerror}") from err
    if not data:
        raise ImageError("empty file (0 bytes)")
    return data


def _open(data: bytes) -> ImageFile.ImageFile:
    """Return the image with only its header read.

    `Image.open` would warn of a decompression bomb by itself, from a global setting and only past
    89 megapixels; the two classes behind it do not.
    """
    if data.startswith(_JPEG_MAGIC):
        return WholeJpeg(BytesIO(data))
    if data.startswith(_PNG_MAGIC):
        return PngImagePlugin.PngImageFile(BytesIO(data))
    start = data[:64].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ImageError("a web page, not an image: the download failed")
    if data.startswith(_BARE_DICOM):
        raise ImageError("DICOM data without the preamble of a file: convert it to a DICOM file")
    # its first bytes are not quoted: they may be those of a patient's name
    kind = next((name for magic, name in _OTHERS.items() if data.startswith(magic)), "unknown")
    raise ImageError(f"neither JPEG, PNG nor DICOM, but {kind}: convert it to PNG")


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"{width} × {height} pixels, more than {MAX_PIXELS // 1_000_000} million")


def _to_grey(image: Image.Image, stored: str, png_bits: int) -> tuple[Image.Image, int]:
    """Return the image in mode L, and the bits that 16-bit grey values use.

    Args:
        image: loaded.
        stored: Pillow's name of how a PNG holds its values, such as "RGB;16B".
        png_bits: of the white of 16-bit grey values.
    """
    is_keyed = "transparency" in image.info  # a PNG that names one value or palette entry so
    if is_keyed and stored not in ("L", "RGB") and image.mode != "P":
        raise ImageError("a transparent value that is not of 8 bits: its grey is not certain")
    if image.mode == "I;16":
        values = np.asarray(image).astype(np.uint16, copy=False)
        return Image.fromarray(look_up(grey_levels(png_bits), values)), used_bits(values)
    if is_keyed or image.mode in ("RGBA", "LA", "PA"):
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        grey = Image.alpha_composite(black, image.convert("RGBA")).convert("L")
    elif image.mode == "P":
        grey = image.convert("RGB").convert("L")
    elif image.mode == "L":
        grey = image  # `convert` would copy it
    elif image.mode in ("RGB", "1"):
        grey = image.convert("L")
    else:
        raise ImageError(f"colour mode {image.mode}, whose grey values are not certain")
    if stored.endswith(";16B") and np.asarray(grey).max() < _DARK_COLOUR:
        raise ImageError("16-bit file without a value above 4095: 12-bit data that was not scaled")
    return grey, 0
