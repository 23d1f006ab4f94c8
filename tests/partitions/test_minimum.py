import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcxr.config.partition import PartitionConfig
from fedcxr.errors import ConfigError
from partitions.minimum import meet_minimum
from partitions.patient_table import PatientTable
from partitions.scheme import Assignment, numbered

LABELS = ("Edema", "Fracture")


def table_of(positives, images=None, masked=None):
    positives = np.array(positives, dtype=np.int64)
    images = np.full(len(positives), 2) if images is None else np.array(images)
    masked = np.zeros_like(positives) if masked is None else np.array(masked)
    return PatientTable(images, positives, masked)


def meet(site_of, table, num_sites=2, trains=None, scheme="iid", **config):
    given = Assignment(np.array(site_of), numbered(num_sites), ("",) * num_sites)
    trains = np.ones(len(site_of), dtype=bool) if trains is None else np.array(trains)
    if scheme == "sites-file":
        config["sites_file"] = "x.csv"
    made = PartitionConfig(scheme=scheme, clients=num_sites, **config)
    return meet_minimum(given, trains, table, LABELS, made)


def test_without_a_minimum_nobody_is_moved():
    site_of = np.array([0, 0, 0, 1])
    assert meet(site_of, table_of([[1, 0]] * 4)) is not None
    np.testing.assert_array_equal(meet(site_of, table_of([[1, 0]] * 4)), site_of)


def test_a_patient_with_the_label_goes_to_the_site_that_lacks_it():
    # Site 1 has no Edema; site 0 has it in patients 1 and 3, of whom the first is taken.
    table = table_of([[0, 1], [1, 1], [0, 1], [1, 1], [0, 1], [0, 1]])
    found = meet([0, 0, 0, 0, 1, 1], table, min_positives=1)
    assert found.tolist() == [0, 1, 0, 0, 1, 1]


def test_who_helps_most_goes_first():
    # Site 1 lacks Edema and Fracture; patient 2 brings both, and one move is enough.
    table = table_of([[1, 0], [0, 1], [1, 1], [1, 1], [0, 0], [0, 0]])
    found = meet([0, 0, 0, 0, 1, 1], table, min_positives=1)
    assert found.tolist() == [0, 0, 1, 0, 1, 1]


def test_images_are_met_too_and_two_patients_stay_to_train_on():
    table = table_of([[1, 1]] * 6, images=[5, 5, 5, 5, 1, 1])
    found = meet([0, 0, 0, 0, 1, 1], table, min_images=7)
    assert found.tolist().count(1) == 3
    with pytest.raises(
        ConfigError, match=r"min_images=11: site-01 reaches 7 images to train on, of 22"
    ):
        # 22 would be enough, 11 each, but not with whole patients of five images
        meet([0, 0, 0, 0, 1, 1], table, min_images=11)


def test_validation_patients_are_neither_counted_nor_moved():
    table = table_of([[1, 0], [1, 0], [1, 0], [0, 0], [0, 0], [1, 0]])
    trains = [False, True, True, True, True, True]
    found = meet([0, 0, 0, 0, 1, 1], table, trains=trains, min_images=1, min_positives=0)
    assert found.tolist() == [0, 0, 0, 0, 1, 1]
    one = PatientTable(table.images, table.positives[:, :1], table.masked[:, :1])
    given = Assignment(np.array([0, 0, 0, 0, 1, 1]), numbered(2), ("", ""))
    config = PartitionConfig(min_positives=1)
    # Site 0 trains on two patients with Edema, site 1 on one: met as it is; two each cannot be.
    np.testing.assert_array_equal(
        meet_minimum(given, np.array(trains), one, LABELS[:1], config), given.site_of
    )
    config = PartitionConfig(min_positives=2)
    with pytest.raises(ConfigError, match=r"there are 3 positive images of 'Edema'"):
        meet_minimum(given, np.array(trains), one, LABELS[:1], config)


def test_too_few_in_all_says_how_many_there_are_and_what_would_do():
    table = table_of([[2, 0], [2, 2], [2, 0], [2, 1], [2, 0], [2, 0], [2, 0], [2, 0]])
    with pytest.raises(ConfigError) as caught:
        meet([0, 0, 1, 1, 2, 2, 3, 3], table, num_sites=4, min_positives=2)
    assert str(caught.value) == (
        "partition.min_positives=2: there are 3 positive images of 'Fracture' to train on in all, "
        "too few for 2 at each of 4 sites; site-02 has 0. Leave --min-positives out, or "
        "--clients 1 or fewer, or leave the label out of --labels."
    )


def test_the_highest_minimum_that_could_be_is_told():
    with pytest.raises(
        ConfigError, match=r"20 images .* Set --min-images 6 or lower, or --clients 2"
    ):
        meet([0, 0, 0, 0, 1, 1, 1, 2, 2, 2], table_of([[1, 1]] * 10), num_sites=3, min_images=9)


def test_several_scarce_labels_are_counted():
    with pytest.raises(ConfigError, match="at each of 2 sites; 1 more are as scarce; site-"):
        meet([0, 0, 1, 1], table_of([[0, 0]] * 4), min_positives=1)


@pytest.mark.parametrize("scheme", ["by-attribute", "by-source", "sites-file"])
def test_a_scheme_that_says_who_is_where_moves_nobody(scheme):
    table = table_of([[1, 1], [1, 1], [0, 1], [0, 1]])
    with pytest.raises(ConfigError, match=rf"site-01 has 0 positive .* scheme {scheme} says who"):
        meet([0, 0, 1, 1], table, scheme=scheme, min_positives=1)
    assert meet([0, 0, 1, 1], table, scheme=scheme, min_images=4).tolist() == [0, 0, 1, 1]


def test_a_label_that_a_source_does_not_have_is_not_asked_of_its_sites():
    table = table_of([[1, 1], [1, 1], [0, 1], [0, 1]], masked=[[0, 0], [0, 0], [2, 0], [2, 0]])
    found = meet([0, 0, 1, 1], table, scheme="by-source", min_positives=1)
    assert found.tolist() == [0, 0, 1, 1]


def test_a_patient_that_their_own_site_needs_is_not_taken():
    # Both sites need Edema and Fracture. Site 0 has two with Edema, but each is one of its only
    # two trained patients.
    table = table_of([[1, 1], [1, 1], [0, 1], [0, 1]])
    with pytest.raises(ConfigError, match="no other site can spare a patient"):
        meet([0, 0, 1, 1], table, min_positives=1)


@st.composite
def draws(draw):
    num_sites = draw(st.integers(1, 5))
    num = draw(st.integers(2 * num_sites, 40))
    cell = st.integers(0, 3)
    positives = draw(st.lists(st.tuples(cell, cell), min_size=num, max_size=num))
    extra = draw(st.lists(st.integers(3, 6), min_size=num, max_size=num))
    rest = draw(
        st.lists(
            st.integers(0, num_sites - 1),
            min_size=num - 2 * num_sites,
            max_size=num - 2 * num_sites,
        )
    )
    site_of = [*range(num_sites), *range(num_sites), *rest]
    return site_of, table_of(positives, extra), num_sites


@settings(max_examples=200, deadline=None, derandomize=True)
@given(draws(), st.integers(0, 25), st.integers(0, 8))
def test_the_minimum_is_met_or_refused_and_nobody_is_lost(drawn, min_images, min_positives):
    site_of, table, num_sites = drawn
    options = {"min_images": min_images, "min_positives": min_positives}
    try:
        found = meet(site_of, table, num_sites, **options)
    except ConfigError:
        return
    assert len(found) == len(site_of)
    for site in range(num_sites):
        mine = found == site
        assert mine.sum() >= 2
        assert table.images[mine].sum() >= min_images
        assert (table.positives[mine].sum(axis=0) >= min_positives).all()
    np.testing.assert_array_equal(found, meet(site_of, table, num_sites, **options))


@pytest.mark.alone
def test_it_ends_soon_however_much_is_asked():
    # 3,000 patients on one site of 60, and a minimum that all but cannot be met
    rng = np.random.default_rng(0)
    positives = rng.random((3120, 2)) < [0.03, 0.4]
    site_of = np.concatenate([np.arange(120) % 60, np.zeros(3000, dtype=int)])
    begun = time.process_time()
    found = meet(site_of, table_of(positives), 60, min_positives=1, min_images=90)
    with pytest.raises(ConfigError):
        meet(site_of, table_of(positives), 60, min_positives=2, min_images=104)
    assert np.bincount(found).min() >= 45
    assert time.process_time() - begun < 20
