"""How a camera or a scanner says that its picture is to be turned before it is shown.

Read by hand: Pillow's reader and `ImageOps.exif_transpose` raise errors of many kinds on a block
that is malformed, over values that nobody asked for. Only the first directory is looked at, as
viewers do; whatever is not as the standard has it means upright.
Source: Exif 2.32 (CIPA DC-008), 4.6.4 A, tag Orientation; TIFF 6.0, section 2.
"""

import struct

from PIL import Image

_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION, _SHORT = 0x0112, 3
_ENTRY_BYTES = 12

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright(picture: Image.Image, exif: object) -> Image.Image:
    """Return the picture as viewers show it.

    Args:
        picture: as it is stored.
        exif: what Pillow calls so: the block, None, or another text of a PNG.
    """
    turn = _TURNS.get(orientation(exif)) if isinstance(exif, bytes) else None
    return picture if turn is None else picture.transpose(turn)


def orientation(exif: bytes) -> int:
    """Return the orientation that an EXIF block names, 1 to 8; 1 where none can be read.

    >>> orientation(b"no block")
    1
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    order = _ORDERS.get(tiff[:4])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, directory)
        for entry in range(entries):
            place = directory + 2 + entry * _ENTRY_BYTES
            tag, kind, count, value = struct.unpack_from(f"{order}HHIH", tiff, place)
            if tag == _ORIENTATION:
                return value if (kind, count) == (_SHORT, 1) and 1 <= value <= 8 else 1
    except struct.error:  # the block ends before what it announces
        pass
    return 1
