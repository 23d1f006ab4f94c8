import pytest

from fedcxr.config.partition import PartitionConfig
from fedcxr.data.tokens import SYNTHETIC_KEY
from fedcxr.errors import ArtefactError
from partitions.plan import make_partition
from partitions.plan_folder import VAL_CSV, all_tables, count_sites, site_file
from partitions.table import read_table


@pytest.fixture
def plan(tmp_path, make_dataset):
    return make_partition(
        make_dataset(40),
        config=PartitionConfig(clients=3),
        seed=0,
        key=SYNTHETIC_KEY,
        views="all",
        out=tmp_path / "plan",
    )


def test_sites_are_counted_without_their_files(plan):
    plan.site_csv("site-00").unlink()
    assert count_sites(plan.folder) == 3


def test_sites_of_a_damaged_plan_are_not_counted(plan):
    (plan.folder / "plan.json").write_text("{}")
    with pytest.raises(ArtefactError, match="is not of format"):
        count_sites(plan.folder)


def test_a_plan_that_was_just_made_holds_its_tables_as_they_are_on_the_disk(plan):
    assert set(plan.tables) == {VAL_CSV, "global/test.csv", *map(site_file, sites(plan))}
    for name, table in plan.tables.items():
        on_disk = read_table(plan.folder / name)
        assert table.image_id == on_disk.image_id
        assert (table.states == on_disk.states).all()


def test_a_plan_without_its_tables_reads_them_from_the_disk(plan):
    bare = plan.without_tables()
    assert (bare, len(bare.tables)) == (plan, 0)
    assert bare.table(VAL_CSV).image_id == plan.table(VAL_CSV).image_id
    assert bare.site_table("site-01").image_id == plan.site_table("site-01").image_id
    assert set(all_tables(bare)) == set(all_tables(plan)) == set(plan.tables)
    bare.site_csv("site-01").unlink()
    assert site_file("site-01") not in all_tables(bare)


def test_the_table_of_a_site_that_there_is_not_is_refused(plan):
    with pytest.raises(ArtefactError, match="no site 'site-99'"):
        plan.site_table("site-99")


def sites(plan):
    return [site.site_id for site in plan.sites]
