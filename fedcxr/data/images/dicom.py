"""One DICOM file to 8 bits of grey.

pydicom reads the elements and unpacks the pixels; `greyscale.py` turns them into grey. Only the
elements that this takes are parsed, no patient's name among them, and no error quotes a text of the
file. Colour becomes luma; everything whose grey values are not certain is an ImageError.

Not read: files without preamble, several frames, enhanced objects (which keep their windows per
frame), palettes, deflated files, more than 16 bits, floating point. Presentation LUT Shape is
ignored: where it says INVERSE, MONOCHROME1 must say so too (PS3.3 C.8.11.3.1).
Source: DICOM PS3.3 C.7.6.3, PS3.5 section 8 and annex A.
"""

import struct
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, Jpeg2KImagePlugin

from fedcxr.data.images.dicom_header import ELEMENTS, GREY, Layout, read_display, read_layout
from fedcxr.data.images.greyscale import to_grey
from fedcxr.data.images.jpeg import WholeJpeg
from fedcxr.errors import ImageError

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.pixels.decoders.base import Decoder

DEFLATED = b"1.2.840.10008.1.2.1.99"
"""pydicom inflates such a file whole and without a limit as soon as it opens it."""

_DEFER_BYTES = 1 << 20
"""Larger values are left in the file until they are asked for: after the checks."""

BROKEN = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, SyntaxError),
    *(TypeError, ValueError, struct.error),
)
"""What pydicom and Pillow raise on damaged files: an element's value is converted when it is asked
for, by a function of its stated type, which meets whatever bytes are there."""


def is_dicom(data: bytes) -> bool:
    """Return whether the bytes are those of a DICOM file: a preamble, then "DICM"."""
    return data[128:132] == b"DICM"


def decode_dicom(data: bytes, max_pixels: int) -> NDArray[np.uint8]:
    """Return the whole image as (H, W) of 8-bit grey, 255 = white.

    - Modality table, or rescale slope and intercept; then the first VOI table, or else the first
      window (LINEAR, LINEAR_EXACT or SIGMOID), whose range becomes 0 to 255.
    - Without either, the range of the image's own values, but for their ends (see
      `greyscale.to_grey`).
    - MONOCHROME1 is inverted after that. Padding (Pixel Padding Value) is black and in no range.
    - RGB and YBR become luma (ITU-R 601), as in a JPEG or PNG file; windows are for grey only.

    Wants `quiet_libraries` around it.

    Args:
        data: the file.
        max_pixels: more are refused, before any pixel is unpacked.

    Raises:
        ImageError: no whole DICOM file of one image, or in a form whose grey values are not
            certain, or compressed in a way for which there is no decoder.
    """
    # pydicom takes 0.1 s to import, and most data sets have no DICOM file
    from pydicom import dcmread
    from pydicom.errors import BytesLengthException, InvalidDicomError

    if DEFLATED in data:
        raise ImageError("deflated DICOM file: store it uncompressed")
    broken = (*BROKEN, BytesLengthException, InvalidDicomError)
    try:
        elements = list(ELEMENTS)
        header = dcmread(BytesIO(data), specific_tags=elements, defer_size=_DEFER_BYTES)
        layout = read_layout(header, max_pixels)
        display = read_display(header, layout) if layout.photometric in GREY else None
    except broken:
        # not "from err": pydicom's words quote values of the file, which may be a patient's
        raise ImageError("damaged DICOM: its header cannot be read") from None
    try:
        stored = _unpack(header, layout)
    except broken:
        raise ImageError("damaged DICOM: its pixels cannot be unpacked") from None
    if display is None:
        return np.asarray(Image.fromarray(stored.astype(np.uint8)).convert("L"))
    return to_grey(stored, display)


def _unpack(header: "Dataset", layout: Layout) -> NDArray[np.integer]:
    """Return the stored values, (H, W) or, of colour, (H, W, 3) in RGB."""
    if "PixelData" not in header:
        raise ImageError("DICOM file without pixel data")
    decoder, plugin = _decoder(header, layout)
    if not decoder.UID.is_encapsulated:
        _check_length(len(header.PixelData), layout)
    elif plugin == "pillow":
        _check_frame(header.PixelData, layout)
    elif len(header.PixelData) > 2 * layout.num_bytes + 1024:
        # run lengths grow 64 times at most; that much of them for so few pixels is a bomb
        raise ImageError("damaged DICOM: its compressed pixels are larger than unpacked ones")
    is_grey = layout.photometric in GREY
    stored, properties = decoder.as_array(header, index=0, raw=is_grey, decoding_plugin=plugin)
    shape = (layout.rows, layout.columns) if is_grey else (layout.rows, layout.columns, 3)
    if stored.shape != shape or (not is_grey and properties["photometric_interpretation"] != "RGB"):
        raise ImageError("damaged DICOM: its pixels are not what its header says")
    return stored


def _decoder(header: "Dataset", layout: Layout) -> tuple["Decoder", str]:
    """Return the decoder and which of its plugins to use: our own dependencies before others.

    Else a package that happens to be installed would change the pixels of a lossy file.
    """
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import JPEGExtended12Bit

    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        raise ImageError("damaged DICOM: no transfer syntax")
    # only a name from pydicom's own list: anything could be written there
    name = "an unknown way" if syntax.name == syntax else syntax.name
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise ImageError(f"DICOM stored in {name}: store it uncompressed") from None
    if not decoder.UID.is_encapsulated:
        return decoder, ""
    plugins = set(decoder.available_plugins)
    if syntax == JPEGExtended12Bit and layout.bits_stored > 8:
        plugins.discard("pillow")
    if not plugins:
        raise ImageError(
            f"DICOM compressed as {name}, for which there is no decoder: install pylibjpeg with "
            f"pylibjpeg-libjpeg and pylibjpeg-openjpeg, or store it uncompressed"
        )
    return decoder, next((name for name in ("pillow", "pydicom") if name in plugins), "")


def _check_length(num_bytes: int, layout: Layout) -> None:
    """Raise unless the uncompressed pixels fill the image; writers may pad a little at the end."""
    # one row or column more is an image that the header describes wrongly: it would be sheared
    line = min(layout.rows, layout.columns) * layout.samples * layout.bits_allocated // 8
    if not 0 <= num_bytes - layout.num_bytes < max(2, line):
        raise ImageError(
            f"damaged DICOM: {num_bytes} bytes of pixels, but {layout.columns} × {layout.rows} "
            f"pixels fill {layout.num_bytes}: truncated, or Rows or Columns is wrong"
        )


def _check_frame(encapsulated: bytes, layout: Layout) -> None:
    """Raise if the JPEG inside is cut, or has another size than the header says (a bomb)."""
    from pydicom.encaps import get_frame

    frame = get_frame(encapsulated, 0, number_of_frames=1)
    is_jpeg = frame.startswith(b"\xff\xd8")
    plugin = WholeJpeg if is_jpeg else Jpeg2KImagePlugin.Jpeg2KImageFile
    with plugin(BytesIO(frame)) as image:
        if image.size != (layout.columns, layout.rows):
            raise ImageError("damaged DICOM: the image inside has another size than its header")
        if is_jpeg:
            # pydicom unpacks it, with Pillow's own class; an eighth of the size is enough here
            image.draft(None, (1, 1))
            image.load()
