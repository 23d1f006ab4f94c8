"""Partitions made of another: the same held-out sets, the same images to train on."""

import pytest

from fedcxr.config.partition import PartitionConfig
from fedcxr.data.tokens import SYNTHETIC_KEY
from fedcxr.errors import ArtefactError
from partitions.plan import make_partition
from partitions.pooled import POOLED, pool_sites, single_site
from partitions.table import read_table


@pytest.fixture
def plan(tmp_path, make_dataset):
    config = PartitionConfig(clients=3, scheme="dirichlet")
    return make_partition(
        make_dataset(60, images_each=2),
        config=config,
        seed=0,
        key=SYNTHETIC_KEY,
        views="all",
        out=tmp_path / "plan",
    )


def rows_of(file):
    table = read_table(file)
    keys = zip(table.image_id, table.patient_id, table.split, strict=True)
    return {key: tuple(states) for key, states in zip(keys, table.states.tolist(), strict=True)}


def test_the_pooled_site_holds_exactly_what_all_sites_hold(plan, tmp_path):
    pooled = pool_sites(plan, tmp_path / "derived" / "pooled")
    expected = {}
    for site in plan.sites:
        expected |= rows_of(plan.site_csv(site.site_id))
    assert rows_of(pooled.site_csv(POOLED)) == expected
    (site,) = pooled.sites
    assert site.train_images == sum(s.train_images for s in plan.sites)
    assert site.val_images == sum(s.val_images for s in plan.sites)
    assert (site.site_id, pooled.scheme, pooled.left_out_images) == ("pooled", "pooled", 0)


def test_the_order_of_the_pooled_rows_does_not_tell_the_sites(plan, tmp_path):
    table = read_table(pool_sites(plan, tmp_path / "pooled").site_csv(POOLED))
    assert list(table.image_id) == sorted(table.image_id)


def test_the_held_out_files_are_the_same_bytes(plan, tmp_path):
    for derived in (
        pool_sites(plan, tmp_path / "pooled"),
        single_site(plan, "site-01", tmp_path / "one"),
    ):
        assert derived.val_csv.read_bytes() == plan.val_csv.read_bytes()
        assert derived.test_csv.read_bytes() == plan.test_csv.read_bytes()
        assert (derived.labels, derived.key_fingerprint) == (plan.labels, plan.key_fingerprint)
        assert derived.test_set == plan.test_set


def test_a_single_site_is_that_site_and_the_others_are_left_out(plan, tmp_path):
    alone = single_site(plan, "site-01", tmp_path / "one")
    assert alone.site_csv("site-01").read_bytes() == plan.site_csv("site-01").read_bytes()
    others = [s.images for s in plan.sites if s.site_id != "site-01"]
    assert alone.left_out_images == sum(others)
    assert [s.site_id for s in alone.sites] == ["site-01"]


def test_asking_twice_gives_the_same_folder(plan, tmp_path):
    first = pool_sites(plan, tmp_path / "pooled")
    assert pool_sites(plan, tmp_path / "pooled").digest == first.digest


def test_a_site_that_is_not_there_is_named(plan, tmp_path):
    with pytest.raises(ArtefactError, match="no site 'site-09'"):
        single_site(plan, "site-09", tmp_path / "one")
