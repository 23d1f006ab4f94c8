from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcxr.data.leaks import (
    Overlap,
    has_leak,
    refuse_shared_patients,
    shared_patients,
    split_overlaps,
)
from fedcxr.data.readers.tables import read_table_file
from fedcxr.data.tokens import Tokens
from fedcxr.errors import LeakError, RecordError


@pytest.mark.parametrize(
    ("train", "valid", "leaks"),
    [
        # the four cases of the course that hands out the one-hot tables
        ([0, 1, 2], [2, 3, 4], True),
        ([0, 1, 2], [3, 4, 5], False),
        ([1], [1], True),
        ([], [1], False),
    ],
)
def test_a_leak_is_a_patient_in_both_tables(train, valid, leaks):
    frames = [pd.DataFrame({"patient_id": ids}) for ids in (train, valid)]
    assert has_leak(*frames, "patient_id") is leaks
    assert has_leak(*reversed(frames), "patient_id") is leaks


def test_any_table_with_columns_will_do(tmp_path):
    csv_path = tmp_path / "valid.csv"
    csv_path.write_text("PatientId,Edema\n00000002,1\n7,0\n")
    tables = [
        {"PatientId": ["2", "3"]},
        pd.DataFrame({"PatientId": [2, 3]}),
        pd.DataFrame({"PatientId": [2.0, np.nan]}),
        np.array([(2,), (3,)], dtype=[("PatientId", np.int64)]),
        csv_path,
        str(csv_path),
        read_table_file(csv_path),
    ]
    for one in tables:
        for other in tables:
            assert "2" in shared_patients(one, other, "PatientId")


@pytest.mark.parametrize(
    "ids",
    [
        pd.Series([2, None], dtype="Int64"),
        pd.Series([2, 3], dtype="category"),
        pd.Series(["00000002", None], dtype="string"),
        pd.Series([b"2", 3.0, None, "x"], dtype=object),
        np.array([b"00000002"], dtype="S8"),
        np.array(["2"], dtype="U3"),
        np.ma.masked_array([2, 5], mask=[False, True]),
        np.array([2], dtype=np.float32),
        np.array([2], dtype=np.uint8),
        [np.int16(2)],
    ],
)
def test_a_patient_is_found_in_a_column_of_any_type(ids):
    assert shared_patients({"id": ids}, {"id": [2, "nan", ""]}, "id") == {"2"}


def test_chexperts_patients_are_found_whatever_their_padding():
    one, other = ({"Patient": [who]} for who in ("patient1", "patient00001"))
    assert has_leak(one, other, "Patient")
    assert not has_leak(one, {"Patient": ["patient00010"]}, "Patient")


def test_an_empty_cell_is_no_common_patient():
    for cell in (None, "", float("nan"), pd.NA, np.ma.masked, b""):
        assert not has_leak({"id": [cell]}, {"id": [cell]}, "id")


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame([[1, 2]], columns=["id", "id"]),  # frame["id"] is both columns
        {"id": np.array([[1], [2]])},
        {"id": "12"},
        {"id": b"12"},
    ],
)
def test_a_column_that_is_no_column_is_refused(table):
    with pytest.raises(RecordError, match=r"column 'id' is no single column of cells"):
        has_leak(table, {"id": [1]}, "id")


def test_a_missing_column_is_named_with_the_nearest(tmp_path):
    csv_path = tmp_path / "train.csv"
    csv_path.write_text("Image,Patient ID\na.png,1\n")
    words = r"train\.csv has no column 'PatientId' \(did you mean 'Patient ID'\?\); it has Image"
    with pytest.raises(RecordError, match=words):
        has_leak(csv_path, {"PatientId": []}, "PatientId")
    for table in (
        pd.DataFrame({"patient": []}),
        {"patient": []},
        np.zeros(1, dtype=[("patient", np.int64)]),
    ):
        with pytest.raises(RecordError, match=r"the table has no column 'PatientId'.*patient"):
            has_leak({"PatientId": []}, table, "PatientId")
    with pytest.raises(RecordError, match=r"the table has no column 'PatientId'\. Name"):
        has_leak([1, 2], {"PatientId": []}, "PatientId")


def test_a_table_that_is_no_csv_is_said_to_be_so(tmp_path):
    with pytest.raises(RecordError, match="cannot be read"):
        has_leak(tmp_path / "none.csv", {"PatientId": []}, "PatientId")


def test_every_pair_of_splits_is_compared():
    found = split_overlaps({"train": [1, 2, 3], "valid": ["2", "4"], "test": ["3", "04", ""]})
    assert found == (
        Overlap("train", "valid", frozenset({"2"})),
        Overlap("train", "test", frozenset({"3"})),
        Overlap("valid", "test", frozenset({"4"})),
    )


@given(st.lists(st.lists(st.integers(0, 20)), max_size=4))
def test_overlaps_are_intersections(splits):
    named = {str(i): members for i, members in enumerate(splits)}
    for overlap in split_overlaps(named):
        expected = set(named[overlap.first]) & set(named[overlap.second])
        assert overlap.shared == {str(member) for member in expected}
        assert has_leak({"id": named[overlap.first]}, {"id": named[overlap.second]}, "id") == bool(
            expected
        )


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ("train", "test", "the official train set and in the official test set"),
        ("test", "train", "the official train set and in the official test set"),
        ("val", "train", "the official train set and in the official valid set"),
        ("val", "test", "the official valid set and in the official test set"),
        ("test", "", "the official test set and in no official set"),
    ],
)
def test_a_patient_in_two_official_sets_is_refused_by_a_keyed_hash(
    make_dataset, make_record, key, one, other, words
):
    # row 4 of the bad-input table
    records = [make_record(patient, 0, split="train") for patient in (1, 2)]
    dataset = make_dataset(records=[*records, make_record(3, 0, split=one)])
    refuse_shared_patients(dataset, Tokens(key))
    # in another spelling, as another list may have it
    again = replace(make_record(3, 1, split=other), patient_id="Patient 3")
    with pytest.raises(LeakError) as caught:
        refuse_shared_patients(replace(dataset, records=(*dataset.records, again)), Tokens(key))
    assert f"1 patients are in {words}: {Tokens(key).patient('patient3')}" in str(caught.value)
    assert "patient3" not in str(caught.value)


@pytest.mark.real
def test_the_course_tables_leak_and_the_official_lists_do_not(sample_data: Path):
    folder = sample_data / "nih_onehot_csv"
    train, valid, test = (
        pd.read_csv(folder / name) for name in ("train-small.csv", "valid-small.csv", "test.csv")
    )
    assert has_leak(train, valid, "PatientId")
    assert not has_leak(train, test, "PatientId")
    assert not has_leak(valid, test, "PatientId")
    # 75 of the 77 patients of valid, by pandas alone
    assert valid["PatientId"].nunique() == 77
    assert int(valid["PatientId"].isin(set(train["PatientId"])).sum()) == 75
    assert len(shared_patients(train, folder / "valid-small.csv", "PatientId")) == 75
