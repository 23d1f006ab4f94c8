import pytest

from fedcxr.data.copies import without_copies
from fedcxr.errors import LeakError


def paths(dataset):
    return [record.path for record in dataset.records]


@pytest.fixture
def three(make_dataset, make_record):
    """Two images of patient 1 and one of patient 2, in the order of the table."""
    return make_dataset(records=[make_record(2, 1), make_record(1, 1), make_record(1, 2)])


def test_files_that_differ_are_all_kept(three):
    digests = {path: str(i) for i, path in enumerate(paths(three))}
    assert without_copies(three, digests) is three


def test_a_copy_of_the_same_patient_is_left_out_and_counted(three):
    # row 5 of the bad-input table
    second, first, copy = paths(three)
    kept = without_copies(three, {second: "b", first: "a", copy: "a"})
    assert paths(kept) == [second, first]
    assert kept.notes[-1] == "Copies of image files left out: 1; of another patient: 0."


def test_a_copy_of_another_patient_is_told_apart(three):
    second, first, other = paths(three)
    kept = without_copies(three, dict.fromkeys([second, first, other], "a"))
    assert paths(kept) == [first]
    assert kept.notes[-1] == "Copies of image files left out: 2; of another patient: 1."


def test_an_image_without_a_digest_has_no_copy(three):
    second, first, _ = paths(three)
    assert without_copies(three, {second: "a", first: "b"}) is three


def test_a_test_image_with_the_bytes_of_a_training_image_is_refused(make_dataset, make_record):
    # row 5 of the bad-input table
    records = [make_record(1, 1, split="train"), make_record(2, 1, split="test")]
    dataset = make_dataset(records=records)
    with pytest.raises(
        LeakError, match=r"same bytes as training images: 1: .* = train/patient00002"
    ):
        without_copies(dataset, dict.fromkeys(paths(dataset), "a"))
