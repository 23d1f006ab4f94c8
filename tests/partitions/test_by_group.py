from dataclasses import replace

import numpy as np
import pytest

from fedcxr.errors import ConfigError
from partitions.by_group import (
    age_band,
    assign_by_attribute,
    assign_by_source,
    attribute_cells,
)


def assign(cells, patient_of, num_sites=2, pool=None):
    patient_of = np.array(patient_of)
    pool = np.arange(patient_of.max() + 1) if pool is None else np.array(pool)
    rng = np.random.default_rng(0)
    return assign_by_attribute(cells, patient_of, pool, num_sites, attribute="own", rng=rng)


def test_each_attribute_is_read_from_the_records(make_dataset):
    first, second, third = make_dataset(3, images_each=1).records
    dataset = make_dataset(
        records=[
            replace(first, projection="PA", sex="M", age=17, view="lateral", attribute="ICU"),
            replace(second, projection="LL", sex="", age=None),
            third,
        ]
    )
    assert attribute_cells(dataset, "projection") == ["PA", "", "AP"]  # LL: a slip of the pen
    assert attribute_cells(dataset, "sex") == ["M", "", "F"]
    assert attribute_cells(dataset, "age_band") == ["0-17", "", "40-59"]
    assert attribute_cells(dataset, "view") == ["lateral", "frontal", "frontal"]
    assert attribute_cells(dataset, "Ward") == ["ICU", "", ""]


@pytest.mark.parametrize(
    ("age", "band"),
    [
        (0, "0-17"),
        (17, "0-17"),
        (18, "18-39"),
        (39, "18-39"),
        (40, "40-59"),
        (59, "40-59"),
        (60, "60-79"),
        (79, "60-79"),
        (80, "80+"),
        (120, "80+"),
        (None, ""),
    ],
)
def test_age_bands_have_both_their_ends(age, band):
    assert age_band(age) == band


def test_sites_hold_one_value_each_and_patients_follow_most_of_their_images():
    cells = ["AP", "AP", "PA", "PA", "PA", "AP", "AP", "PA"]
    site_of, holds = assign(cells, [0, 0, 0, 1, 2, 2, 3, 4])
    # patient 2 has one PA and one AP: the first in sorted order
    assert site_of.tolist() == [0, 1, 0, 0, 1]
    assert holds == ["AP", "PA"]


def test_patients_outside_the_pool_make_no_groups():
    cells = ["a", "a", "b", "b", "c", "c"]
    site_of, holds = assign(cells, range(6), pool=[0, 1, 2, 3])
    assert site_of.tolist() == [0, 0, 1, 1]
    assert holds == ["a", "b"]


def test_unknown_is_a_group_of_its_own_if_it_is_large_enough():
    assert assign(["", "", "F", "F", "F"], range(5))[1] == ["unknown", "F"]
    assert assign(["", "F", "F", "M", "M"], range(5), 3)[1] == ["F, unknown", "F", "M"]


@pytest.mark.parametrize(("cell", "told"), [("F", "'F'"), ("", "'unknown'")])
def test_one_value_for_all_is_refused(cell, told):
    with pytest.raises(ConfigError, match=rf"attribute=own: all 4 patients are {told}"):
        assign([cell] * 4, range(4))


def test_a_column_that_names_patients_is_refused():
    # What a site holds is written into plan.json.
    with pytest.raises(ConfigError, match="4 different values among 5 patients tell patients"):
        assign(["a", "b", "c", "d", "d"], range(5))


def of_sources(sources, num_sites, names=("chexpert", "nih14")):
    return assign_by_source(names, np.array(sources), num_sites, np.random.default_rng(0))


def test_each_site_is_of_one_source_in_proportion_to_patients():
    sources = [0] * 60 + [1] * 30
    site_of, holds = of_sources(sources, 3)
    assert holds == ["chexpert", "chexpert", "nih14"]
    assert np.bincount(site_of).tolist() == [30, 30, 30]
    assert (site_of[60:] == 2).all()


def test_one_source_is_refused():
    with pytest.raises(ConfigError, match=r"of one data set.*--data twice"):
        of_sources([1] * 9, 3)


def test_fewer_sites_than_sources_are_refused():
    with pytest.raises(ConfigError, match=r"clients=1: by-source needs .* --clients 2 or more"):
        of_sources([0, 1, 1, 0], 1)
