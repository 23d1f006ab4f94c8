"""Numbers, counts and lists as a reader wants to see them."""

import math
from collections.abc import Sequence

MISSING = "–"

Number = float | None
Interval = tuple[float, float] | None

_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB")


def fixed(value: Number, digits: int = 3) -> str:
    """Return a number with a fixed number of decimals, a dash for none.

    >>> fixed(0.83456), fixed(None), fixed(float("nan"), 2)
    ('0.835', '–', '–')
    """
    return MISSING if value is None or math.isnan(value) else f"{value:.{digits}f}"


def interval(bounds: Interval, digits: int = 3) -> str:
    """Return "low–high", a dash for none.

    >>> interval((0.5, 0.75), 2), interval(None)
    ('0.50–0.75', '–')
    """
    if bounds is None:
        return MISSING
    low, high = (fixed(bound, digits) for bound in bounds)
    return f"{low}–{high}"


def signed(value: Number, digits: int = 3) -> str:
    """Return a number with its sign, a dash for none; what rounds to zero has no sign.

    >>> signed(0.0123), signed(-0.5, 1), signed(-0.0001), signed(None)
    ('+0.012', '−0.5', '0.000', '–')
    """
    if value is None:
        return MISSING
    text = f"{abs(value):.{digits}f}"
    if not text.strip("0."):
        return text
    return f"{'−' if value < 0 else '+'}{text}"


def signed_interval(bounds: Interval, digits: int = 3) -> str:
    """Return "low to high" with signs, a dash for none.

    >>> signed_interval((-0.02, 0.004))
    '−0.020 to +0.004'
    """
    if bounds is None:
        return MISSING
    low, high = (signed(bound, digits) for bound in bounds)
    return f"{low} to {high}"


def p_value(value: Number) -> str:
    """Return a p value to three decimals, a dash for none.

    >>> p_value(0.04321), p_value(1e-9), p_value(None)
    ('0.043', '<0.001', '–')
    """
    if value is None:
        return MISSING
    return "<0.001" if value < 0.0005 else f"{value:.3f}"


def count(value: Number) -> str:
    """Return a whole number in groups of three, a dash for none.

    >>> count(1234567), count(None)
    ('1,234,567', '–')
    """
    return MISSING if value is None else f"{round(value):,}"


def counted(value: Number, one: str, many: str) -> str:
    """Return a count with its noun.

    >>> counted(1, "site", "sites"), counted(1200, "site", "sites")
    ('1 site', '1,200 sites')
    """
    return f"{count(value)} {one if value == 1 else many}"


def png_depth(png_bits: int) -> str:
    """Return what is white in the 16-bit PNG files of a data set.

    >>> png_depth(12)
    '16-bit PNG files hold 12-bit values: 4095 is white'
    """
    return f"16-bit PNG files hold {png_bits}-bit values: {2**png_bits - 1} is white"


def percent(share: Number, digits: int = 0) -> str:
    """Return a share as a percentage, a dash for none.

    >>> percent(0.256), percent(0.256, 1)
    ('26 %', '25.6 %')
    """
    return MISSING if share is None else f"{100 * share:.{digits}f} %"


def level_words(level: float) -> str:
    """Return a level in percent.

    >>> level_words(0.95), level_words(0.995)
    ('95 %', '99.5 %')
    """
    return f"{round(100 * level, 6):g} %"


def duration(seconds: Number) -> str:
    """Return a time to two figures that matter, a dash for none.

    >>> [duration(s) for s in (0.042, 7.31, 75, 3725, 200000)]
    ['42 ms', '7.3 s', '1 min 15 s', '1 h 2 min', '2 d 7 h']
    """
    if seconds is None:
        return MISSING
    if seconds < 0.9995:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, name, part_size, part_name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            return f"{whole // size} {name} {whole % size // part_size} {part_name}"
    return f"{whole} s"


def size(num_bytes: Number) -> str:
    """Return a number of bytes in decimal units, a dash for none.

    >>> size(812), size(28_400_000)
    ('812 B', '28.4 MB')
    """
    if num_bytes is None:
        return MISSING
    number, unit = float(num_bytes), 0
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


def joined(parts: Sequence[str]) -> str:
    """Return the parts as a list in a sentence.

    >>> joined(["a"]), joined(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def as_sentence(text: str) -> str:
    """Return a text with a capital first and a full stop last.

    >>> as_sentence("too few patients")
    'Too few patients.'
    """
    return f"{text[0].upper()}{text[1:].rstrip('.')}."
