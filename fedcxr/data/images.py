"""One image file to one square of 8-bit grey.

The whole image is resized to the square, without crop and without keeping its aspect ratio, as the
CheXpert baselines do: -small's 390 × 320 becomes 320 × 320. A box given in fractions of width and
height therefore stays right at every size.

Whatever cannot be decoded faithfully is an ImageError, never a black or half-grey square.
"""

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, PngImagePlugin

from fedcxr.errors import ImageError

MAX_PIXELS = 64_000_000
"""CheXpert's largest radiograph has about 9 million pixels; more than this is no radiograph."""

MAX_FILE_BYTES = 256_000_000

DECODER = f"square-bilinear-1+pillow-{PIL.__version__}"
"""Names the arithmetic below; another decoder makes another cache."""

_JPEG_MAGIC = b"\xff\xd8\xff"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error)
"""What Pillow raises on damaged files."""

_FULL_RANGE = 257
"""16 to 8 bits: 65535 = 255 · 257 (PNG specification, sample depth rescaling)."""


def decode(path: Path, size_px: int) -> NDArray[np.uint8]:
    """Return the image as (size_px, size_px) of 8-bit grey, 255 = white.

    Colour becomes luma (ITU-R 601), transparency black, and 16 bits are scaled from the full range.

    Raises:
        ImageError: not a whole JPEG or PNG file of at most 64 megapixels, or in a mode whose grey
            values are not certain (CMYK, 12-bit values in a 16-bit file).
    """
    data = _read(path)
    try:
        image = _open(data)
        _check_size(image)
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            # libjpeg averages 8 × 8 blocks for next to nothing; twice the size is left to resize.
            image.draft("L" if image.mode in ("L", "RGB") else None, (2 * size_px, 2 * size_px))
        image.load()
        grey = _to_grey(image)
        square = grey.resize((size_px, size_px), Image.Resampling.BILINEAR)
        return np.asarray(square, dtype=np.uint8)
    except _BROKEN as err:
        reason = str(err).partition("\n")[0] or type(err).__name__
        raise ImageError(f"damaged: {reason}") from err


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ImageError(f"larger than {MAX_FILE_BYTES // 1_000_000} MB")
        data = path.read_bytes()
    except OSError as err:
        raise ImageError(f"cannot be read: {err.strerror}") from err
    if not data:
        raise ImageError("empty file (0 bytes)")
    return data


def _open(data: bytes) -> Image.Image:
    """Return the image with only its header read.

    `Image.open` would warn of a decompression bomb by itself, from a global setting and only past
    89 megapixels; the two classes behind it do not.
    """
    if data.startswith(_JPEG_MAGIC):
        return JpegImagePlugin.JpegImageFile(BytesIO(data))
    if data.startswith(_PNG_MAGIC):
        return PngImagePlugin.PngImageFile(BytesIO(data))
    start = data[:64].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ImageError("a web page, not an image: the download failed")
    raise ImageError(f"neither JPEG nor PNG: it starts with {data[:8]!r}")


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"{width} × {height} pixels, more than {MAX_PIXELS // 1_000_000} million")


def _to_grey(image: Image.Image) -> Image.Image:
    """Return the image in mode L."""
    if image.mode == "L":
        return image
    if image.mode.startswith("I"):
        return _from_16_bits(image)
    if image.mode in ("RGBA", "LA", "PA") or (image.mode == "P" and "transparency" in image.info):
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image.convert("RGBA")).convert("L")
    if image.mode == "P":
        return image.convert("RGB").convert("L")
    if image.mode in ("RGB", "1"):
        return image.convert("L")
    raise ImageError(f"colour mode {image.mode}, whose grey values are not certain")


def _from_16_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.max(initial=0) < 4096:
        # Detectors write 10 or 12 bits; without a stated window the picture would be black.
        raise ImageError("16-bit file without a value above 4095: 12-bit data that was not scaled")
    scaled = (values + _FULL_RANGE // 2) // _FULL_RANGE
    return Image.fromarray(scaled.clip(0, 255).astype(np.uint8))
