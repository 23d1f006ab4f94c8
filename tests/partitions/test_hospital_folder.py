import shutil
from dataclasses import replace

import pytest

from fedcxr.data.records import OfficialSet
from fedcxr.data.tokens import Tokens
from fedcxr.errors import DataError, LeakError, RecordError
from partitions.hospital_folder import (
    hospital_reading,
    own_images,
    split_by_token,
    write_own_table,
)
from partitions.table import read_table, write_table


def patients_of(table, split):
    return {table.patient_id[i] for i in table.rows(split)}


def test_a_patients_split_follows_from_their_token_alone(key):
    tokens = [Tokens(key).patient(str(number)) for number in range(2000)]
    split = split_by_token(tokens, 0.1, kept={})
    val = [token for token in tokens if split[token] == "val"]
    assert {token for token in tokens if int(token, 16) < 0.1 * 2**64} == set(val)
    # binomial: 200 ± 13
    assert 150 < len(val) < 250
    # whoever joins moves nobody
    more = [*tokens, *(Tokens(key).patient(f"new{number}") for number in range(500))]
    assert {token: split_by_token(more, 0.1, kept={})[token] for token in tokens} == split


@pytest.mark.parametrize(("num", "val"), [(1, 0), (3, 0), (4, 1)])
def test_few_patients_keep_one_for_validation_from_four_on(num, val):
    high = [f"f{number}" for number in range(num)]  # none is below the fraction
    assert list(split_by_token(high, 0.1, kept={}).values()).count("val") == val
    low = [f"0{number}" for number in range(num)]  # all are; two are left to train on
    split = list(split_by_token(low, 0.4, kept={}).values())
    assert split.count("train") == (2 if num >= 4 else num)


def test_a_table_that_grows_keeps_everybody_where_they_were(make_dataset, key, tmp_path):
    file, tokens = tmp_path / "mine" / "site.csv", Tokens(key)
    first = write_own_table(make_dataset(4), tokens, 0.1, file)
    assert len(patients_of(first, "val")) == 1
    grown = write_own_table(make_dataset(60), tokens, 0.1, file)
    assert patients_of(first, "val") <= patients_of(grown, "val")
    assert patients_of(first, "train") <= patients_of(grown, "train")
    assert not patients_of(grown, "train") & patients_of(grown, "val")
    assert list(grown.image_id) == sorted(grown.image_id)
    assert {path.name for path in file.parent.iterdir()} == {"site.csv"}


def test_the_table_names_no_patient_but_in_the_images_paths(make_dataset, key, tmp_path):
    dataset = make_dataset(10)
    table = write_own_table(dataset, Tokens(key), 0.1, tmp_path / "site.csv")
    of_path = {record.path: record for record in dataset.records}
    for i, path in enumerate(table.path):
        assert table.image_id[i] == Tokens(key).image(path)
        assert table.patient_id[i] == Tokens(key).patient(of_path[path].patient_id)
        assert tuple(table.states[i]) == of_path[path].labels


def test_official_val_and_test_images_are_left_out(make_dataset, make_record, key):
    own = [make_record(number, 0, split="train") for number in range(1, 4)]
    held = [make_record(8, 0, split="val"), make_record(9, 0, split="test")]
    dataset = make_dataset(records=[*own, *held])
    official = (OfficialSet("val", "chexpert-valid"), OfficialSet("test", "chexpert-test-2022"))
    dataset = replace(dataset, official=official)
    assert own_images(dataset, Tokens(key)).records == tuple(own)
    with pytest.raises(DataError, match="all images are of an official val or test set"):
        own_images(replace(dataset, records=tuple(held)), Tokens(key))
    shared = replace(dataset, records=(*own, make_record(1, 5, split="test")))
    with pytest.raises(LeakError):
        own_images(shared, Tokens(key))


def test_a_hospitals_own_folder_is_read_as_a_data_set(site_records, tmp_path):
    table = site_records("site-00", 4, 2)
    with_paths = replace(table, path=tuple(f"images/{name}.png" for name in table.image_id))
    write_table(with_paths, tmp_path / "site.csv")
    reading = hospital_reading(tmp_path)
    assert reading.dataset.labels == table.labels
    assert [record.path for record in reading.dataset.records] == list(with_paths.path)
    assert [record.labels for record in reading.dataset.records] == list(
        map(tuple, table.states.tolist())
    )
    assert {split.name: len(split.images) for split in reading.splits} == {"train": 4, "val": 2}
    shutil.rmtree(tmp_path, ignore_errors=True)
    tmp_path.mkdir()
    write_table(table, tmp_path / "site.csv")
    with pytest.raises(RecordError, match=r"site\.csv: no column 'path'"):
        hospital_reading(tmp_path)
    assert read_table(tmp_path / "site.csv").path is None
