import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcxr.data.identity import normal_id, patient_in_name, shown_patient
from fedcxr.errors import RecordError


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (13, "00000013"),
        (13, 13.0),
        (13, "13.0"),
        ("13.00", 13),
        (np.int64(13), " 13 "),
        (np.uint8(13), np.float32(13)),
        (b"00000013", 13),
        (np.bytes_(b"00000013"), b"13"),
        (bytearray(b"13\0\0"), "13"),
        (b"M\xfcller", "m\u00fcller"),  # latin-1, as older exports write it
        ("M\u00fcller".encode(), "m\u00fcller"),
        ("a1", "A1 "),
        ("patient00013", "Patient13"),
        ("patient 13", "patient13"),
        ("patient\u00a013", "PATIENT013"),
        ("\ufeffpatient13\u200b", "patient13"),
        ("13\0", "\t13\r\n"),
        ("chexpert/patient00013", "CheXpert/patient13"),
        ("A-007", "a-7"),
        ("0", "000"),
        (2**60 + 1, str(2**60 + 1)),
        (-0.0, 0),
        (unicodedata.normalize("NFD", "\u00e9-1"), "\u00c9-01"),
    ],
)
def test_one_patient_may_be_written_in_several_ways(one, other):
    assert normal_id(one) == normal_id(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (13, 130),
        ("1.5", "15"),
        ("10.05", "10.5"),
        ("1.2.840.0", "1.2.840"),
        ("1\u0663", "13"),
        ("1 23", "12 3"),
        ("1 23", "123"),
        ("a", "a0"),
        ("-13", "13"),
        ("patient13", "13"),
        ("nih14/13", "chexpert/13"),
        (2**60, 2**60 + 1),
        ("9" * 5000, "9" * 4999),
    ],
)
def test_two_patients_stay_two(one, other):
    assert normal_id(one) != normal_id(other)


@pytest.mark.parametrize(
    "cell",
    [
        *(None, "", "  ", "\u00a0", "\0", b"", "nan", "NaN", "<NA>", "NaT", "None", b"nan"),
        *(float("nan"), np.nan, np.float32("nan"), pd.NA, pd.NaT, np.ma.masked),
    ],
)
def test_an_empty_cell_is_nobody(cell):
    assert normal_id(cell) == ""


@pytest.mark.parametrize(
    ("cell", "bits"),
    [(2.0**53, 53), (float(2**53 + 1), 53), (1e300, 53), (np.float32(2**24 + 1), 24)],
)
def test_a_number_that_a_float_cannot_tell_from_its_neighbour_is_refused(cell, bits):
    with pytest.raises(RecordError, match=rf"a float of 2\*\*{bits} or more.*as text"):
        normal_id(cell)
    assert normal_id(type(cell)(2**bits - 1)) == str(2**bits - 1)


@pytest.mark.parametrize("cell", [[13], (13,), {13}, {"id": 13}, np.array([13]), pd.Series([13])])
def test_a_cell_of_several_values_is_refused(cell):
    with pytest.raises(RecordError, match="and not one identifier"):
        normal_id(cell)


@given(st.text())
def test_the_form_of_a_form_is_itself(text):
    assert normal_id(normal_id(text)) == normal_id(text)


@given(st.integers(0, 10**18), st.integers(0, 12), st.sampled_from(["", "patient", "A-", "x_"]))
def test_padding_and_case_never_make_a_patient_two(number, zeros, prefix):
    padded = f"{prefix}{'0' * zeros}{number}"
    assert normal_id(padded) == normal_id(f" {prefix.upper()}{number}\0")
    assert normal_id(padded) != normal_id(f"{prefix}{number + 1}")


@pytest.mark.parametrize(
    ("path", "patient"),
    [
        ("images/00000013_005.png", "13"),
        ("00000013_005.png", "13"),
        ("nih14/images_001/images/00000013_005.png", "13"),
        ("train/patient00013/study1/view1_frontal.jpg", "patient13"),
        ("patient00013_study1_view1_frontal", "patient13"),
        ("13_005.png", ""),
        ("inpatient13/x.png", ""),
        ("holiday.jpg", ""),
    ],
)
def test_names_of_files_name_patients(path, patient):
    assert patient_in_name(path) == patient


def test_a_patient_is_shown_as_a_hash():
    assert shown_patient("patient1") == "#d3d7b232"  # sha256sum of patient1
