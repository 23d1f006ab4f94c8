"""How many bits the values of 16-bit grey PNG files use, and so which value is white.

A detector gives 10 to 15 bits, and a PNG file has room for 8 or 16. Some programs scale the values
to all 16 bits, some write them as they are, and no file says which. One image cannot tell either,
since it need not have a white pixel; a data set can. So the depth is the number of bits that the
largest value of all its 16-bit grey files uses, and every file is scaled by it, none by its own.
Source: PNG specification (third edition), 13.12 (sample depth rescaling).
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FULL_BITS = 16
LEAST_BITS = 9
"""Fewer fit in an 8-bit file: what needs 16 bits for them was written wrongly."""

_DARK_BITS = 4
"""A file that lacks the upper four bits of the others would be all but black."""

_HEADER = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
HEADER_BYTES = 26
"""Of a file, from which `is_16_bit_grey` tells."""


def is_16_bit_grey(start: bytes) -> bool:
    """Return whether a file that begins so is a PNG of 16 bits of grey, without alpha."""
    return start.startswith(_HEADER) and start[24:HEADER_BYTES] == b"\x10\0"


def used_bits(values: NDArray[np.uint16]) -> int:
    """Return how many bits the largest value uses, at least 1.

    >>> used_bits(np.array([[0, 4095]], dtype=np.uint16))
    12
    """
    return max(1, int(values.max(initial=0)).bit_length())


@lru_cache(maxsize=FULL_BITS)
def grey_levels(png_bits: int) -> NDArray[np.uint8]:
    """Return the grey of each of the 65,536 values, where 2 ** png_bits - 1 and more are white.

    >>> grey_levels(12)[[0, 8, 9, 4095]].tolist()
    [0, 0, 1, 255]
    """
    white = (1 << png_bits) - 1
    values = np.arange(1 << FULL_BITS, dtype=np.int64).clip(max=white)
    levels = ((2 * 255 * values + white) // (2 * white)).astype(np.uint8)  # rounded half up
    levels.flags.writeable = False
    return levels


def depth_fault(used: int, png_bits: int) -> str | None:
    """Return why the grey of a file is not certain, None if it is.

    Args:
        used: bits of its largest value, 0 if it is no 16-bit grey PNG file.
        png_bits: of the data set.
    """
    white = (1 << png_bits) - 1
    if used == 0:
        return None
    if used > png_bits:
        return f"16-bit PNG file with a value above {white}, which should be white"
    if png_bits < LEAST_BITS:
        return "16-bit PNG file without a value above 255: 8-bit data that was not scaled"
    if used <= png_bits - _DARK_BITS:
        limit = (1 << (png_bits - _DARK_BITS)) - 1
        return (
            f"16-bit PNG file without a value above {limit}, where {white} is white: too dark to "
            f"be meant so, scale its values"
        )
    return None
