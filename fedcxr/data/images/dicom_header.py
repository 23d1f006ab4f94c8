"""What a DICOM file's header says of its pixels: how they are stored and how they are shown.

Only the elements named here are asked for. A header holds the patient's name, and an element may
hold bytes of another, so no error quotes a text of it.
Source: DICOM PS3.3 C.7.6.3, C.11.1, C.11.2.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np

from fedcxr.data.images.greyscale import Display, LookupTable, Rescale, Window, WindowFunction
from fedcxr.errors import ImageError

if TYPE_CHECKING:
    from pydicom import Dataset

ELEMENTS = (
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("PlanarConfiguration", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleSlope", "RescaleIntercept"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "ModalityLUTSequence", "VOILUTSequence"),
    *("SharedFunctionalGroupsSequence", "PixelData"),
)
GREY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


@dataclass(frozen=True, slots=True)
class Layout:
    """How the pixels are stored."""

    rows: int
    columns: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    is_signed: bool

    @property
    def num_bytes(self) -> int:
        """Of the pixels, uncompressed."""
        number = self.rows * self.columns * self.samples * self.bits_allocated // 8
        return number // 3 * 2 if self.photometric == "YBR_FULL_422" else number


def read_layout(header: "Dataset", max_pixels: int) -> Layout:
    """Return how the pixels are stored; none of them has been read yet.

    Raises:
        ImageError: too many pixels or none, several frames, or a form that is not read.
    """
    rows, columns = _whole(header, "Rows"), _whole(header, "Columns")
    if rows * columns > max_pixels:
        raise ImageError(f"{columns} × {rows} pixels, more than {max_pixels // 1_000_000} million")
    if rows < 1 or columns < 1:
        raise ImageError(f"damaged DICOM: {columns} × {rows} pixels")
    if _whole(header, "NumberOfFrames", 1) != 1 or "SharedFunctionalGroupsSequence" in header:
        raise ImageError("DICOM of several frames, or an enhanced one: export its frames singly")
    layout = Layout(
        rows,
        columns,
        samples=_whole(header, "SamplesPerPixel"),
        photometric=str(header.get("PhotometricInterpretation")),
        bits_allocated=_whole(header, "BitsAllocated"),
        bits_stored=_whole(header, "BitsStored"),
        is_signed=_whole(header, "PixelRepresentation") == 1,
    )
    _check_values(layout, high_bit=_whole(header, "HighBit", layout.bits_stored - 1))
    return layout


def _check_values(layout: Layout, high_bit: int) -> None:
    known = {**dict.fromkeys(GREY, 1), **dict.fromkeys(COLOUR, 3)}
    if layout.photometric not in known:
        raise ImageError(
            "DICOM whose photometric interpretation is none of "
            f"{', '.join(known)}: its grey values are not certain"
        )
    if layout.samples != known[layout.photometric]:
        raise ImageError(f"damaged DICOM: {layout.samples} samples of {layout.photometric}")
    if layout.photometric in COLOUR:
        if (layout.bits_allocated, layout.bits_stored, layout.is_signed) != (8, 8, False):
            raise ImageError(
                "DICOM of colour in other than 8 bits: its grey values are not certain"
            )
    elif layout.bits_allocated not in (8, 16):
        raise ImageError(f"DICOM of {layout.bits_allocated} bits a pixel: 8 and 16 are read")
    if not 1 <= layout.bits_stored <= layout.bits_allocated or high_bit != layout.bits_stored - 1:
        raise ImageError(
            f"DICOM of {layout.bits_stored} bits up to bit {high_bit} of {layout.bits_allocated}: "
            f"only the lowest bits are read"
        )


def read_display(header: "Dataset", layout: Layout) -> Display:
    """Return how the stored values become grey: the first VOI table, or else the first window.

    Raises:
        ImageError: a table without all its entries, an unknown window function, a value that is no
            number.
    """
    modality: LookupTable | Rescale | None = _table(header, "ModalityLUTSequence")
    if modality is None:
        slope, intercept = _numbers(header, "RescaleSlope"), _numbers(header, "RescaleIntercept")
        modality = Rescale(*(slope or [1.0])[:1], *(intercept or [0.0])[:1])
    voi: LookupTable | Window | None = _table(header, "VOILUTSequence")
    centre, width = _numbers(header, "WindowCenter"), _numbers(header, "WindowWidth")
    if voi is None and centre and width:
        voi = Window(centre[0], width[0], _function(header))
    return Display(modality, voi, layout.photometric == "MONOCHROME1", _padding(header, layout))


def _function(header: "Dataset") -> WindowFunction:
    named = str(header.get("VOILUTFunction") or "LINEAR").upper()
    for function in get_args(WindowFunction):
        if named == function:
            return function  # type: ignore[no-any-return]
    raise ImageError(f"DICOM window whose function is none of {get_args(WindowFunction)}")


def _padding(header: "Dataset", layout: Layout) -> tuple[int, int] | None:
    """Return the first and last value of padding.

    Writers confuse US and SS, so -2000 may be spelled 63536: only the bits count.
    """
    if not _numbers(header, "PixelPaddingValue"):
        return None
    value = _whole(header, "PixelPaddingValue")
    ends = []
    for number in (value, _whole(header, "PixelPaddingRangeLimit", value)):
        low_bits = number % (1 << layout.bits_stored)
        is_negative = layout.is_signed and low_bits >> (layout.bits_stored - 1)
        ends.append(low_bits - (1 << layout.bits_stored) if is_negative else low_bits)
    return min(ends), max(ends)


def _table(header: "Dataset", keyword: str) -> LookupTable | None:
    """Return the first table of a sequence.

    8-bit entries are found packed or each in 16 bits (PS3.3 C.11.1.1.1): the length tells.
    """
    items = header.get(keyword)
    if not items:
        return None
    number, first, bits = (int(value) for value in items[0].LUTDescriptor)
    number = number % 65536 or 65536  # 0 stands for 65536
    data = items[0].LUTData
    if isinstance(data, bytes):
        order = "<" if header.file_meta.TransferSyntaxUID.is_little_endian else ">"
        kind = "u1" if bits == 8 and len(data) - number in (0, number % 2) else f"{order}u2"
        entries = np.frombuffer(data, dtype=kind, count=number)
    else:
        entries = np.atleast_1d(np.asarray(data))[:number]
    if len(entries) != number or entries.min() < 0 or entries.max() > 65535:
        raise ImageError("damaged DICOM: a lookup table without all its entries")
    return LookupTable(first, entries.astype(np.uint16), bits)


def _whole(header: "Dataset", keyword: str, default: int | None = None) -> int:
    numbers = _numbers(header, keyword)
    if not numbers and default is not None:
        return default
    if len(numbers) != 1 or not numbers[0].is_integer():
        raise ImageError(f"DICOM without {keyword}: no image, damaged or truncated")
    return int(numbers[0])


def _numbers(header: "Dataset", keyword: str) -> list[float]:
    """Return an element's numbers; none if it is absent or empty."""
    value = header.get(keyword)
    if value is None or (isinstance(value, str) and not value):
        return []
    numbers = [float(number) for number in np.atleast_1d(np.asarray(value, dtype=np.float64))]
    if not all(abs(number) < 1e12 for number in numbers):
        raise ImageError(f"damaged DICOM: {keyword} is no number that could be meant")
    return numbers
