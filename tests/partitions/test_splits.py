import numpy as np
import pytest

from fedcxr.config.partition import PartitionConfig
from fedcxr.data.tokens import Tokens
from fedcxr.errors import ConfigError, DataError, LeakError
from partitions.patients import group_by_patient
from partitions.splits import TEST, TRAIN, VAL, site_validation, split_globally


def split(patient_ids, official, key, seed=0, **config):
    grouped = group_by_patient(patient_ids)
    return split_globally(grouped, official, PartitionConfig(**config), seed, Tokens(key))


def names(count):
    return [f"p{i:04d}" for i in range(count)]


def test_without_official_lists_the_fractions_are_of_patients(key):
    role = split(names(100), [""] * 100, key)
    # test: 20 % of 100; val: 10 % of the 80 left.
    assert [(role == r).sum() for r in (TEST, VAL, TRAIN)] == [20, 8, 72]


def test_the_official_test_set_is_taken_as_it_is_and_val_is_from_train(key):
    official = ["test"] * 30 + ["train"] * 70
    role = split(names(100), official, key)
    assert (role[:30] == TEST).all()
    assert (role[30:] != TEST).all()
    assert (role == VAL).sum() == 7


def test_a_patient_in_both_official_sets_is_refused_by_hash(key):
    with pytest.raises(LeakError) as caught:
        split(["p0001", "p0001", *names(20)], ["test", "train"] + ["train"] * 20, key)
    assert Tokens(key).patient("p0001") in str(caught.value)
    assert "p0001" not in str(caught.value).replace(Tokens(key).patient("p0001"), "")
    assert "1 patients are in the official train set and in the official test set" in str(
        caught.value
    )


def test_more_sites_than_the_patients_can_fill_is_a_configuration_error(key):
    with pytest.raises(ConfigError, match=r"14 patients are left.*--clients 7 or fewer"):
        split(names(20), [""] * 20, key, clients=8)  # 20 - 4 test - 2 val = 14 = 2 · 7
    assert (split(names(20), [""] * 20, key, clients=7) == TRAIN).sum() == 14


def test_a_data_set_of_three_patients_is_too_small(key):
    with pytest.raises(DataError, match="1 patients are left to train on"):
        split(names(3), [""] * 3, key)


def test_a_site_keeps_a_patient_if_it_has_four(key):
    site_of = np.array([0] * 3 + [1] * 4 + [2] * 20 + [-1] * 5)
    is_val = site_validation(site_of, 3, 0.1, seed=0)
    assert [is_val[site_of == site].sum() for site in (0, 1, 2, -1)] == [0, 1, 2, 0]
    assert not site_validation(site_of, 3, 0.0, seed=0).any()


def test_the_seed_decides(key):
    one, again, other = (split(names(50), [""] * 50, key, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
