import numpy as np
import pytest

from fedcxr.errors import ConfigError
from partitions.hospitals import (
    MIXES,
    assign_hospitals,
    fit_mixes,
    hospital_strata,
    rarest_labels,
)


def assign(counts, num_sites, seed=0):
    strata = np.repeat([0, 1, 2], counts)
    site_of, kinds = assign_hospitals(strata, num_sites, np.random.default_rng(seed))
    table = np.zeros((num_sites, 3), dtype=int)
    np.add.at(table, (site_of, strata), 1)
    return table, kinds


def test_the_rarest_fifth_of_the_labels_that_occur_is_rare():
    # Patients per label: 3, 0, 2, 1, 4, 5. Of the five that occur one fifth is one: the fourth.
    positive = np.arange(5)[:, None] < [3, 0, 2, 1, 4, 5]
    assert rarest_labels(positive).tolist() == [3]
    assert rarest_labels(np.arange(14)[:, None] < np.arange(1, 15)).tolist() == [0, 1, 2]
    assert rarest_labels(np.zeros((4, 3), dtype=bool)).tolist() == []


def test_patients_are_rare_before_they_are_in_or_out():
    labels = ["Edema", "Fracture", "Support Devices"]
    positive = np.array(
        [[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 1]], dtype=bool
    )
    projection = np.array(["PA", "AP", "PA", "", "", "PA"])
    # Fracture is the rarest. Without a projection, support devices say who is an inpatient.
    assert hospital_strata(positive, projection, labels).tolist() == [2, 0, 1, 0, 1, 1]
    assert hospital_strata(positive[:, :2], projection, labels[:2]).tolist() == [2, 0, 1, 1, 1, 1]


def test_kinds_come_in_turn_and_sites_are_of_equal_size():
    table, kinds = assign([300, 200, 100], 5)
    assert kinds == ["inpatient", "outpatient", "rare disease", "inpatient", "outpatient"]
    assert table.sum(axis=1).tolist() == [120] * 5


def test_each_kind_sees_most_of_its_own():
    table, _ = assign([400, 400, 200], 6)
    share = table / table.sum(axis=1, keepdims=True)
    for kind in range(3):
        mine, others = share[kind::3, kind], np.delete(share, [kind, kind + 3], axis=0)[:, kind]
        assert mine.min() > others.max() + 0.2


def test_fitted_mixes_use_every_patient_and_keep_the_odds():
    fitted = np.array(fit_mixes([2, 2, 1], [700, 150, 150]))
    np.testing.assert_allclose(fitted.sum(axis=1), 1.0)
    # two fifths of 1000 patients go to each of the first kinds, one fifth to the third
    np.testing.assert_allclose(np.array([400, 400, 200]) @ fitted, [700, 150, 150], atol=1e-6)
    stated = np.array(MIXES)

    def odds(mix):
        return mix[0, 0] * mix[1, 1] / (mix[0, 1] * mix[1, 0])

    assert odds(fitted) == pytest.approx(odds(stated))  # (0.8 / 0.15)² = 28.4
    assert odds(stated) == pytest.approx(28.4, abs=0.1)


def test_mixes_that_fit_already_stay_as_they_are():
    stated = np.array(MIXES)
    np.testing.assert_allclose(fit_mixes([1, 1, 1], (stated.sum(axis=0) * 1000).tolist()), stated)


def test_a_stratum_without_patients_is_refused():
    with pytest.raises(ConfigError, match=r"inpatient 0, outpatient 50, rare 10, and each kind"):
        assign([0, 50, 10], 3)


def test_fewer_sites_than_kinds_are_refused():
    with pytest.raises(ConfigError, match=r"clients=2: the scheme hospitals has 3 kinds"):
        assign([9, 9, 9], 2)
