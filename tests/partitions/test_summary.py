from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from partitions.record_table import take, tokenise
from partitions.summary import (
    is_same,
    site_from_json,
    site_to_json,
    summarise_site,
    summarise_split,
    with_distances,
)


@pytest.fixture
def table(make_dataset, key):
    from fedcxr.data.tokens import Tokens

    dataset = make_dataset(6, images_each=2)
    return tokenise(dataset, Tokens(key), ["train"] * 8 + ["val"] * 4)


def test_a_site_is_summed_up(table):
    site = summarise_site("a", table, "AP")
    assert (site.patients, site.images, site.train_images, site.val_images) == (6, 12, 8, 4)
    # Edema is positive in every second patient, Fracture in none.
    assert site.label_counts["Edema"]["positive"] == 6
    assert site.no_positive == summarise_split(table)["no_positive"] == 6
    assert site.distribution == [6, 0, 6]
    assert site.fewest_positives() == ("Fracture", 0)
    assert site.holds == "AP"


def test_a_label_that_the_site_cannot_have_is_not_its_rarest(table):
    states = table.states.copy()
    states[:, 1] = -3
    assert summarise_site("a", replace(table, states=states)).fewest_positives() == ("Edema", 6)


def test_distances_are_from_all_sites_together(table):
    sites = with_distances(
        [summarise_site(n, take(table, np.array(r))) for n, r in (("a", [0, 1, 2]), ("b", [3, 4]))]
    )
    rows = np.array([site.distribution for site in sites])
    for site, row in zip(sites, rows, strict=True):
        assert site.js_distance == pytest.approx(
            jensenshannon(row, rows.sum(axis=0), base=2), abs=1e-6
        )
    assert sites[0].js_distance != sites[1].js_distance


def test_what_is_written_is_read_back(table):
    site = with_distances([summarise_site("a", table, "AP")])[0]
    assert site_from_json(site_to_json(site)) == site
    assert is_same(site, replace(site, js_distance=site.js_distance + 1e-6))
    assert not is_same(site, replace(site, js_distance=0.5))
    assert not is_same(site, replace(site, no_positive=0))


@pytest.mark.parametrize("number", [-1, 1.5, True, "4"])
def test_a_count_that_is_no_whole_number_is_refused(table, number):
    entry = {**site_to_json(summarise_site("a", table)), "no_positive": number}
    with pytest.raises(ValueError, match="has a count that is no whole number"):
        site_from_json(entry)
