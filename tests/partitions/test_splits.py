import numpy as np
import pytest

from fedcxr.config.partition import PartitionConfig
from fedcxr.errors import ConfigError, DataError
from partitions.patients import group_by_patient
from partitions.splits import (
    LEFT_OUT,
    TEST,
    TRAIN,
    VAL,
    draw_folds,
    site_validation,
    split_globally,
)


def split(patient_ids, official, seed=0, strata=None, sources=None, **config):
    grouped = group_by_patient(patient_ids)
    count = len(grouped.patient_ids)
    return split_globally(
        grouped,
        official,
        np.zeros((count, 1), dtype=bool) if strata is None else strata,
        PartitionConfig(**config),
        source_of=np.zeros(count, dtype=int) if sources is None else sources,
        seed=seed,
    )


def names(count):
    return [f"p{i:04d}" for i in range(count)]


def test_without_official_lists_the_fractions_are_of_patients():
    role = split(names(100), [""] * 100)
    assert [(role == r).sum() for r in (TEST, VAL, TRAIN)] == [20, 10, 70]


def test_the_official_test_set_is_taken_as_it_is_and_val_is_from_train():
    official = ["test"] * 30 + ["train"] * 70
    role = split(names(100), official)
    assert (role[:30] == TEST).all()
    assert (role[30:] != TEST).all()
    assert (role == VAL).sum() == 7


def test_more_sites_than_the_patients_can_fill_is_a_configuration_error():
    with pytest.raises(ConfigError, match=r"14 patients are left.*--clients 7 or fewer"):
        split(names(20), [""] * 20, clients=8)  # 20 - 4 test - 2 val = 14 = 2 · 7
    assert (split(names(20), [""] * 20, clients=7) == TRAIN).sum() == 14


def test_a_data_set_of_three_patients_is_too_small():
    with pytest.raises(DataError, match="1 patients are left to train on"):
        split(names(3), [""] * 3)


def test_a_data_set_of_test_patients_alone_is_for_scoring():
    with pytest.raises(DataError, match=r"nothing to train on.*fedcxr evaluate RUN"):
        split(names(3), ["test"] * 3, clients=1)


def test_a_site_keeps_a_patient_if_it_has_four():
    site_of = np.array([0] * 3 + [1] * 4 + [2] * 20 + [-1] * 5)
    is_val = site_validation(site_of, 3, 0.1, seed=0)
    assert [is_val[site_of == site].sum() for site in (0, 1, 2, -1)] == [0, 1, 2, 0]
    assert not site_validation(site_of, 3, 0.0, seed=0).any()


def test_the_seed_decides():
    one, again, other = (split(names(50), [""] * 50, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_every_set_has_its_share_of_every_label():
    rng = np.random.default_rng(3)
    strata = rng.random((1000, 5)) < [0.004, 0.02, 0.1, 0.3, 0.6]
    role = split(names(1000), [""] * 1000, strata=strata)
    for chosen, share in ((TEST, 0.2), (VAL, 0.1), (TRAIN, 0.7)):
        wanted = share * strata.sum(axis=0)
        # a share of whole patients cannot be nearer than half a patient; two draws follow another
        assert np.abs(strata[role == chosen].sum(axis=0) - wanted).max() <= 1.5


def test_only_a_source_without_an_official_test_set_has_one_drawn():
    # 40 patients of source 0 with 10 official ones, 60 of source 1 without: 12 are drawn of those.
    official = ["test"] * 10 + ["train"] * 30 + [""] * 60
    sources = np.repeat([0, 1], [40, 60])
    strata = np.stack([sources == 0, sources == 1], axis=1)
    role = split(names(100), official, sources=sources, strata=strata)
    assert (role[:10] == TEST).all()
    assert [(role[part] == TEST).sum() for part in (slice(10, 40), slice(40, None))] == [0, 12]
    # val: 10 % of the 90 outside the official set, from 30 and 48 that are left
    assert [(role[part] == VAL).sum() for part in (slice(10, 40), slice(40, None))] == [3, 6]


def test_the_test_set_does_not_depend_on_the_size_of_the_validation_set():
    one, other = (split(names(90), [""] * 90, val_fraction=f) for f in (0.05, 0.3))
    np.testing.assert_array_equal(one == TEST, other == TEST)


def test_folds_cover_the_patients_outside_the_official_test_set():
    official = ["test"] * 8 + ["train"] * 32
    roles = [split(names(40), official, folds=3, fold=fold, clients=2) for fold in range(3)]
    assert all((role[:8] == LEFT_OUT).all() for role in roles)
    tested = np.stack([role == TEST for role in roles])
    assert (tested[:, 8:].sum(axis=0) == 1).all()
    assert tested.sum(axis=1).tolist() == [11, 11, 10]
    assert [(role == VAL).sum() for role in roles] == [3, 3, 3]


def test_more_folds_than_patients_is_a_configuration_error():
    with pytest.raises(ConfigError, match=r"folds=5: there are 4 patients outside"):
        draw_folds(np.zeros((4, 1), dtype=bool), 5, seed=0)


def test_a_fold_has_its_share_of_every_label():
    strata = np.random.default_rng(5).random((503, 4)) < [0.02, 0.1, 0.3, 0.6]
    fold_of = draw_folds(strata, 5, seed=0)
    assert np.bincount(fold_of).tolist() == [101, 101, 101, 100, 100]
    for fold in range(5):
        assert np.abs(strata[fold_of == fold].sum(axis=0) - strata.sum(axis=0) / 5).max() <= 1.5
