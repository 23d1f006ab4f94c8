"""Who a patient is: one rule for every place where identifiers meet.

One person is `patient00013`, `Patient13`, 13, 13.0, "00000013 " or b"13", as tables, spreadsheets
and HDF5 files write it. Records, sites files, `has_leak` and `fedcxr check-data` all compare the
form that `normal_id` gives.
"""

import hashlib
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from numbers import Integral, Real

import numpy as np

from fedcxr.errors import RecordError

NOBODY = frozenset({"", "nan", "<na>", "nat", "none"})
"""What pandas and `str` make of an empty cell, in small letters."""

_SEVERAL = (Mapping, list, tuple, set, frozenset)
_EXACT_BITS = 53
"""Of a float64: from 2**53 on it does not tell two neighbouring whole numbers apart."""
# \s has the non-breaking blanks too; the others are as wide as nothing
_BLANKS = re.compile(r"[\s\0\u200b-\u200d\u2060\ufeff]+")
_LOOSE_BLANK = re.compile(r"(?<![0-9]) | (?![0-9])")
_WHOLE_AS_FLOAT = re.compile(r"([+-]?[0-9]+)\.0+")
# of the last number, unless it is the fraction of another: 10.05 is not 10.5
_PADDING = re.compile(r"(?<![0-9])(?<![0-9]\.)0+(?=[0-9]+\Z)")
_PATIENT_IN_NAME = re.compile(r"(?:^|/)(?:([0-9]{8})_[0-9]+\.\w+$|(patient[0-9]+)(?=[/_]))")


def normal_id(cell: object) -> str:
    """Return an identifier as the text to compare, empty for nobody.

    Bytes are decoded, blanks go (but for one between two digits), letters become small, a whole
    number loses its `.0`, and the number at the end its leading zeros. An empty cell, None and NaN
    are nobody.

    Identifiers that differ in nothing else become one: `a7` and `A7`, `A-007` and `A-7`, `p 7` and
    `p7`. Should a source tell two people apart by that alone, they count as one person, which is
    the safe side: they stay in one split, or a leak is reported that is none. The other way a
    person would be trained on and tested on, and nobody would know.

    Raises:
        RecordError: a float too large to be exact, or a cell that holds several values.

    >>> [normal_id(cell) for cell in (13, 13.0, "13.0", b"00000013", "Patient 00013", None)]
    ['13', '13', '13', '13', 'patient13', '']
    """
    text = _text_of(cell)
    if text.isascii() and text.isalnum():
        text = text.lower()
    else:
        text = _caseless(_LOOSE_BLANK.sub("", _BLANKS.sub(" ", text)))
        if whole := _WHOLE_AS_FLOAT.fullmatch(text):
            text = whole[1]
    return "" if text in NOBODY else _PADDING.sub("", text)


def normal_ids(cells: Iterable[str]) -> dict[str, str]:
    """Return the normal form of each distinct cell: tables name a patient many times."""
    return {cell: normal_id(cell) for cell in set(cells)}


def by_number(patient_id: str) -> tuple[str, int, str]:
    """Return what normal forms are sorted by where draws depend on the order of the patients.

    >>> sorted(["patient10", "patient2"], key=by_number)
    ['patient2', 'patient10']
    """
    name = patient_id.rstrip("0123456789")
    return name, len(patient_id), patient_id


def patient_in_name(path: str) -> str:
    """Return whom the name of an image's file says it is of, as `normal_id` does; empty if nobody.

    >>> patient_in_name("images/00000013_005.png"), patient_in_name("train/patient00013/study1/x")
    ('13', 'patient13')
    """
    match = _PATIENT_IN_NAME.search(path)
    return normal_id(match[1] or match[2]) if match else ""


def shown_patient(patient_id: str) -> str:
    """Return a patient as messages show one: a hash, since CheXpert's paths are patient numbers."""
    return "#" + hashlib.sha256(patient_id.encode()).hexdigest()[:8]


def _caseless(text: str) -> str:
    """Return text without case, letters and their marks apart (Unicode 15, definition D145)."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())


def _text_of(cell: object) -> str:
    if isinstance(cell, str):
        return cell
    if cell is None or cell is np.ma.masked:
        return ""
    if isinstance(cell, bytes | bytearray | memoryview):
        return _decoded(bytes(cell))
    if isinstance(cell, Real) and not isinstance(cell, Integral):
        return _whole(cell)
    if isinstance(cell, _SEVERAL) or getattr(cell, "ndim", None):
        raise RecordError(
            f"a cell of the patients' column is a {type(cell).__name__} and not one identifier. "
            f"Give a column with one dimension, a patient in each cell."
        )
    return str(cell)


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")  # every byte has a letter there


def _whole(number: Real) -> str:
    """Return a float as text: pandas makes floats of whole numbers where a cell is empty."""
    value = float(number)
    if not value.is_integer():
        return "" if math.isnan(value) else str(value)
    bits = _EXACT_BITS
    if isinstance(number, np.floating):
        bits = min(bits, np.finfo(type(number)).nmant + 1)
    if abs(value) >= 2**bits:
        raise RecordError(
            f"a patient's number is a float of 2**{bits} or more, where neighbouring numbers are "
            f"the same float, so that two patients may have become one. Read the column as text "
            f"(pandas: dtype=str)."
        )
    return str(int(value))
