"""Stored values of a DICOM image to 8 bits of grey: DICOM's greyscale pipeline.

Stored value → modality transform (rescale or table) → VOI transform (table or window) → 0 to 255 →
inverted for MONOCHROME1. pydicom's functions for this are not used: `apply_voi` wraps the index of
an 8-bit table with more than 256 entries, and `apply_windowing` turns the picture into its negative
where the rescale slope is negative (both in 3.0.2). The tests compare with them where they are
right. Everything is worked out once for each of the 256 or 65,536 values that can be stored, and
looked up for each pixel, so an image of 64 million pixels needs no array of floats.

Not for colour, and not for images that a display has already prepared (JPEG, PNG).
Source: DICOM PS3.3, C.7.6.3 (Image Pixel), C.11.1 (Modality LUT), C.11.2 (VOI LUT).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedcxr.errors import ImageError

_BLOCK = 1 << 20
"""Pixels looked up at a time: NumPy makes 8 bytes of each index."""

_DARK = 16
"""A VOI table said to be of 16 bits with 12-bit entries would give a black picture."""

_LEFT_OUT = 200
"""One in so many pixels at either end of the values, where the file states no range."""

WindowFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]


@dataclass(frozen=True, slots=True)
class Rescale:
    """Modality transform: value · slope + intercept."""

    slope: float = 1.0
    intercept: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class LookupTable:
    """Lookup table of the modality or the VOI transform."""

    first: int
    """Input value of the first entry; lower values get that entry, higher ones than the last the
    last."""

    entries: NDArray[np.uint16]
    bits: int
    """Of an entry: 2 ** bits - 1 is white."""


@dataclass(frozen=True, slots=True)
class Window:
    """VOI transform by centre and width, in modality units."""

    centre: float
    width: float
    function: WindowFunction = "LINEAR"


@dataclass(frozen=True, slots=True)
class Display:
    """How the values of one file become grey."""

    modality: Rescale | LookupTable = Rescale()
    voi: LookupTable | Window | None = None
    inverted: bool = False
    """MONOCHROME1: the lowest value is white."""

    padding: tuple[int, int] | None = None
    """First and last stored value that mean "no image here"."""


def to_grey(stored: NDArray[np.integer], display: Display) -> NDArray[np.uint8]:
    """Return the picture, 255 = white.

    Padding is black, whatever the window: it lies outside of the image, like the transparent part
    of a PNG. Without window or VOI table the image's own values give the range, padding left out:
    detectors fill a small part of what their 12 to 16 bits could hold, and the file names no better
    one. Black is the value that 0.5 % of the pixels lie below, white that which 0.5 % lie above.
    From the lowest to the highest, one hot pixel or a marker that is burnt in would make all the
    rest dim. Measured on 16 radiographs as 12-bit detector data: either leaves 0.56 to 0.60 of the
    contrast of the chest; with half a per cent left out it is 1.06 to 1.10 (markers of up to 0.4 %
    of the picture), and 1 % of the chest is black or white. A bright border around the exposed
    field is larger than any such share: 0.6 either way.

    Args:
        stored: (H, W) of 8- or 16-bit integers, signed or not.
        display: what the file says of them.

    Raises:
        ImageError: a slope, width or table that has no meaning, a window beside the values of the
            image, or the same value everywhere and no window.

    Source: the shares are our choice, by the measurement; DCMTK's dcm2img has the same way of
    windowing (option --histogram-window). Johnson et al. 2019 (MIMIC-CXR-JPG) scale from lowest to
    highest.
    """
    bits = 8 * stored.dtype.itemsize
    patterns = stored.astype(stored.dtype.newbyteorder("="), copy=False).view(f"u{bits // 8}")
    every = np.arange(1 << bits, dtype=patterns.dtype).view(f"{stored.dtype.kind}{bits // 8}")
    values = every.astype(np.int64)  # (2 ** bits), in the order of the patterns
    modal = _modality(values.astype(np.float64), display.modality)
    padded = np.zeros(values.shape, dtype=bool)
    if display.padding is not None:
        padded = (values >= display.padding[0]) & (values <= display.padding[1])
    if display.voi is None:
        counts = _counts(patterns, values.size)
        counts[padded] = 0
        bright = _common_range(modal, counts)
    elif isinstance(display.voi, Window):
        bright = _windowed(modal, display.voi)
    else:
        bright = _displayed(modal, display.voi)
    grey = np.floor(bright * 255 + 0.5).astype(np.uint8)
    grey = 255 - grey if display.inverted else grey
    grey[padded] = 0
    picture = look_up(grey, patterns)
    is_flat = picture.min() == picture.max() and picture.max() in (0, 255)
    if is_flat and patterns.min() != patterns.max():
        raise ImageError("DICOM window that leaves the whole image black or white: it is wrong")
    return picture


def look_up(table: NDArray[np.uint8], values: NDArray[np.unsignedinteger]) -> NDArray[np.uint8]:
    """Return the table's entry for each value, (H, W), with little memory besides."""
    flat = values.reshape(-1)
    found = np.empty(flat.shape, dtype=np.uint8)
    for start in range(0, flat.size, _BLOCK):
        found[start : start + _BLOCK] = table[flat[start : start + _BLOCK]]
    return found.reshape(values.shape)


def _modality(values: NDArray[np.float64], modality: Rescale | LookupTable) -> NDArray[np.float64]:
    if isinstance(modality, LookupTable):
        return _looked_up(values, modality)
    if modality.slope == 0:
        raise ImageError("damaged DICOM: its rescale slope is 0")
    return values * modality.slope + modality.intercept


def _looked_up(values: NDArray[np.float64], table: LookupTable) -> NDArray[np.float64]:
    if not 8 <= table.bits <= 16:
        raise ImageError(f"damaged DICOM: a lookup table of {table.bits} bits, not 8 to 16")
    if int(table.entries.max()) >> table.bits:
        raise ImageError(f"damaged DICOM: a lookup table of {table.bits} bits with larger entries")
    # a negative first entry written as unsigned: only where the values say so can it be meant
    first = table.first - 65536 if table.first > 32767 and values.min() < 0 else table.first
    places = np.rint(values - first).clip(0, len(table.entries) - 1).astype(np.int64)
    return table.entries[places].astype(np.float64)


def _displayed(values: NDArray[np.float64], table: LookupTable) -> NDArray[np.float64]:
    """Return the brightness from 0 to 1 that a VOI table gives."""
    shown = _looked_up(values, table)
    white = (1 << table.bits) - 1
    if int(table.entries.max()) < white // _DARK:
        raise ImageError(f"DICOM lookup table without an entry above 1/{_DARK} of white: too dark")
    return shown / white


def _windowed(values: NDArray[np.float64], window: Window) -> NDArray[np.float64]:
    """Return the brightness from 0 to 1. Source: PS3.3 C.11.2.1.2 and C.11.2.1.3."""
    centre, width = window.centre, window.width
    if width < 1 if window.function == "LINEAR" else width <= 0:
        raise ImageError(f"damaged DICOM: a window {width:g} wide")
    if window.function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    if width == 0:
        return (values > centre).astype(np.float64)
    with np.errstate(over="ignore"):  # a very narrow window: ± infinity is black or white
        steps = (values - centre) / width
    if window.function == "SIGMOID":
        # e ** 60 is black or white already, and e ** 710 would overflow
        return np.asarray(1 / (1 + np.exp(-4 * steps.clip(-15, 15))))
    return (steps + 0.5).clip(0, 1)


def _common_range(values: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the brightness from 0 to 1, from the range of the image's own values.

    Args:
        values: (V,) that a pixel can have, in any order.
        counts: (V,) how many pixels have it.
    """
    total = int(counts.sum())
    if total == 0:
        raise ImageError("DICOM image of nothing but padding")
    order = np.argsort(values, kind="stable")
    up_to = counts[order].cumsum()  # pixels of this value and of all lower ones
    # Half a per cent left out at either end; nothing, if all between them is one value.
    for left_out in ((total - 1) // _LEFT_OUT, 0):
        ends = np.searchsorted(up_to, [left_out, total - 1 - left_out], side="right")
        low, high = values[order[ends]]
        if low < high:
            bright: NDArray[np.float64] = ((values - low) / (high - low)).clip(0, 1)
            return bright
    raise ImageError("DICOM image with the same value everywhere and no window")


def _counts(patterns: NDArray[np.unsignedinteger], number: int) -> NDArray[np.int64]:
    """Return how many pixels have each of the values."""
    counts = np.zeros(number, dtype=np.int64)
    flat = patterns.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        counts += np.bincount(flat[start : start + _BLOCK], minlength=number)
    return counts
