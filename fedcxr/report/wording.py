"""Numbers and counts as a reader wants to see them."""

import math
from collections.abc import Sequence

MISSING = "–"

_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB")


def fixed(value: object, digits: int = 3) -> str:
    """Return a number with a fixed number of decimals, a dash for none.

    >>> fixed(0.83456), fixed(None), fixed(float("nan"), 2)
    ('0.835', '–', '–')
    """
    number = as_number(value)
    return MISSING if number is None else f"{number:.{digits}f}"


def interval(bounds: Sequence[object] | None, digits: int = 3) -> str:
    """Return "low–high", a dash for none.

    >>> interval([0.5, 0.75], 2), interval(None)
    ('0.50–0.75', '–')
    """
    if not bounds or len(bounds) != 2 or as_number(bounds[0]) is None:
        return MISSING
    return f"{fixed(bounds[0], digits)}–{fixed(bounds[1], digits)}"


def count(value: object) -> str:
    """Return a whole number in groups of three, a dash for none.

    >>> count(1234567), count(None)
    ('1,234,567', '–')
    """
    number = as_number(value)
    return MISSING if number is None else f"{round(number):,}"


def counted(value: object, one: str, many: str) -> str:
    """Return a count with its noun.

    >>> counted(1, "site", "sites"), counted(1200, "site", "sites")
    ('1 site', '1,200 sites')
    """
    return f"{count(value)} {one if as_number(value) == 1 else many}"


def png_depth(png_bits: int) -> str:
    """Return what is white in the 16-bit PNG files of a data set.

    >>> png_depth(12)
    '16-bit PNG files hold 12-bit values: 4095 is white'
    """
    return f"16-bit PNG files hold {png_bits}-bit values: {2**png_bits - 1} is white"


def percent(share: object, digits: int = 0) -> str:
    """Return a share as a percentage, a dash for none.

    >>> percent(0.256), percent(0.256, 1)
    ('26 %', '25.6 %')
    """
    number = as_number(share)
    return MISSING if number is None else f"{100 * number:.{digits}f} %"


def duration(seconds: object) -> str:
    """Return a time to two figures that matter, a dash for none.

    >>> [duration(s) for s in (0.042, 7.31, 75, 3725, 200000)]
    ['42 ms', '7.3 s', '1 min 15 s', '1 h 2 min', '2 d 7 h']
    """
    number = as_number(seconds)
    if number is None:
        return MISSING
    if number < 0.9995:
        return f"{1000 * number:.0f} ms"
    if number < 59.95:
        return f"{number:.1f} s"
    whole = round(number)
    for size, name, part_size, part_name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            return f"{whole // size} {name} {whole % size // part_size} {part_name}"
    return f"{whole} s"


def size(num_bytes: object) -> str:
    """Return a number of bytes in decimal units, a dash for none.

    >>> size(812), size(28_400_000)
    ('812 B', '28.4 MB')
    """
    number = as_number(num_bytes)
    if number is None:
        return MISSING
    unit = 0
    while number >= 999.95 and unit < len(_BYTE_UNITS) - 1:
        number /= 1000
        unit += 1
    return f"{number:.0f} B" if unit == 0 else f"{number:.1f} {_BYTE_UNITS[unit]}"


def shorten(text: str, limit: int) -> str:
    """Return the text, or its start and an ellipsis: figures have no room to wrap.

    >>> shorten("Pneumothorax", 12), shorten("Enlarged Cardiomediastinum", 12)
    ('Pneumothorax', 'Enlarged Ca…')
    """
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def as_number(value: object) -> float | None:
    """Return a finite number, None for anything else.

    >>> as_number(3), as_number(float("inf")), as_number("3"), as_number(True)
    (3.0, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None
