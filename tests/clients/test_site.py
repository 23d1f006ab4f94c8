import shutil

import numpy as np
import pytest
from PIL import Image

from clients.site import open_site, own_folder, simulated
from fedcxr.errors import ArtefactError, ConfigError, DataError
from partitions.table import read_table, write_table


@pytest.fixture
def at(sites, tmp_path):
    """Return the location of a site by its number."""
    return lambda index, partition=sites: simulated(
        partition, index, cache=sites / "cache", state=tmp_path / "state"
    )


def own_site(folder, site_records, number=4):
    """Write a hospital's own folder: site.csv with paths, and the images."""
    folder.mkdir()
    table = site_records("own", number, 1)
    paths = tuple(f"{image_id}.png" for image_id in table.image_id)
    for path, gray in zip(paths, range(0, 250, 50), strict=False):
        Image.fromarray(np.full((32, 32), gray, np.uint8)).save(folder / path)
    columns = {name: getattr(table, name) for name in table.__dataclass_fields__}
    write_table(type(table)(**{**columns, "path": paths}), folder / "site.csv")
    return folder


def test_a_simulated_site_is_named_after_its_table(at, sites, tmp_path):
    location = at(1)
    assert location.site_id == "site-01"
    assert location.table == sites / "sites" / "site-01.csv"
    assert location.state == tmp_path / "state" / "site-01"


def test_more_nodes_than_sites_is_an_error(at):
    with pytest.raises(ConfigError, match=r"no site number 4; it has 4\. Give Flower as many"):
        at(4)


def test_a_site_has_its_splits_and_counts(at, make_task):
    site = open_site(at(0), make_task())
    assert (len(site.train.rows), len(site.val.rows), site.num_patients) == (6, 3, 9)
    assert site.train.target.shape == (6, 2)


def test_rows_point_at_the_sites_own_images(at, sites, make_task):
    site = open_site(at(1), make_task())
    for row, image_id in zip(site.train.rows, read_table(at(1).table).image_id, strict=False):
        pixels = np.asarray(Image.open(sites / f"{image_id}.png"))
        np.testing.assert_array_equal(site.images[row], pixels)


def test_a_site_reads_only_its_own_table(at, sites, tmp_path, make_task):
    # The other tables are poison and nothing else of a plan is there: it must not matter.
    (tmp_path / "sites").mkdir()
    for name in ("site-00", "site-02", "site-03"):
        (tmp_path / "sites" / f"{name}.csv").write_bytes(b"\xff not a table")
    shutil.copy(sites / "sites" / "site-01.csv", tmp_path / "sites")
    site = open_site(at(1, tmp_path), make_task())
    assert len(site.train.rows) == 5


def test_targets_follow_the_policy_of_the_task(at, make_task):
    # Column 2 of the table is 1, -1, blank, 1, -1, blank: by the task's policy 1, nan, 0, …
    site = open_site(at(0), make_task())
    expected = np.float32([1, np.nan, 0, 1, np.nan, 0])
    np.testing.assert_array_equal(site.train.target[:, 1], expected)
    ones = make_task().policy.model_copy(update={"uncertain": "ones", "blank": "ignore"})
    site = open_site(at(0), make_task(policy=ones))
    expected = np.float32([1, 1, np.nan, 1, 1, np.nan])
    np.testing.assert_array_equal(site.train.target[:, 1], expected)


def test_validation_is_judged_on_what_is_known_whatever_is_trained_on(at, make_task):
    # Val of site-00 is rows 6, 7, 8: Fracture 1, -1, blank
    for name in ("ones", "zeros", "smoothed", "multi_class", "self_trained"):
        policy = make_task().policy.model_copy(update={"uncertain": name})
        site = open_site(at(0), make_task(policy=policy))
        np.testing.assert_array_equal(site.val.target[:, 1], np.float32([1, np.nan, 0]))


def test_smoothed_targets_are_drawn_once_for_a_run(at, make_task):
    policy = make_task().policy.model_copy(update={"uncertain": "smoothed"})
    drawn = [
        open_site(at(0), make_task(policy=policy, seed=seed, run=run)).train.target[[1, 4], 1]
        for seed, run in ((0, "a-run"), (0, "another-run"), (1, "a-run"))
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.isin(drawn[2], drawn[0]).any()
    assert ((np.float32(0.55) <= drawn[0]) & (drawn[0] < np.float32(0.85))).all()


def test_a_site_knows_which_targets_wait_for_a_first_model(at, make_task):
    # Fracture is 1, -1, blank, 1, -1, blank in train
    policy = make_task().policy.model_copy(update={"uncertain": "self_trained"})
    site = open_site(at(0), make_task(policy=policy))
    assert site.unfilled.rows.tolist() == [1, 4]
    assert site.unfilled.columns.tolist() == [1, 1]
    other = open_site(at(1), make_task(policy=policy))
    assert other.unfilled.digest != site.unfilled.digest
    assert not len(open_site(at(0), make_task()).unfilled.rows)


def test_the_tasks_labels_choose_and_order_the_columns(at, make_task):
    both = open_site(at(0), make_task(labels=("Fracture", "Edema"))).train.target
    one = open_site(at(0), make_task(labels=("Edema",))).train.target
    np.testing.assert_array_equal(both[:, 1:], one)
    np.testing.assert_array_equal(one[:, 0], np.float32([0, 1, 0, 1, 0, 1]))


def test_a_site_without_a_label_of_the_task_says_which(at, make_task):
    with pytest.raises(DataError, match=r"lacks the labels Hernia; it has Edema, Fracture"):
        open_site(at(0), make_task(labels=("Edema", "Hernia")))


def test_an_image_that_could_not_be_decoded_is_left_out(tmp_path, site_records, make_task):
    folder = own_site(tmp_path / "mercy", site_records)
    (folder / "own-image-1.png").write_bytes(b"<html>not found</html>")
    site = open_site(own_folder(folder), make_task(max_bad_fraction=0.5))
    assert (len(site.train.rows), len(site.train.target), site.num_patients) == (3, 3, 4)


def test_too_many_bad_images_stop_the_site(tmp_path, site_records, make_task):
    folder = own_site(tmp_path / "mercy", site_records)
    (folder / "own-image-1.png").write_bytes(b"")
    with pytest.raises(DataError, match="1 of 5 image files cannot be read"):
        open_site(own_folder(folder), make_task())


def test_a_hospitals_own_folder_is_a_site(tmp_path, site_records, make_task):
    folder = own_site(tmp_path / "mercy", site_records)
    location = own_folder(folder)
    assert (location.site_id, location.cache) == ("mercy", None)
    assert location.state == folder / "state"
    site = open_site(location, make_task())
    # images are flat: 0, 50, 100, 150 in training, 200 for validation
    assert sorted(site.images[site.train.rows].mean(axis=(1, 2))) == [0, 50, 100, 150]
    assert site.images[site.val.rows].mean() == 200


def test_a_folder_without_site_csv_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigError, match=r"site\.csv: missing\. Set site-dir in the node config"):
        own_folder(tmp_path)


def test_a_hospitals_table_needs_the_paths(tmp_path, site_records, make_task):
    write_table(site_records("own", 4, 1), tmp_path / "site.csv")
    with pytest.raises(DataError, match=r"no column 'path'.*export_site"):
        open_site(own_folder(tmp_path), make_task())


def test_a_cache_of_other_data_is_refused(sites, tmp_path, site_records, make_task):
    (tmp_path / "sites").mkdir()
    write_table(site_records("stranger", 4, 1), tmp_path / "sites" / "site-00.csv")
    location = simulated(tmp_path, 0, cache=sites / "cache", state=tmp_path)
    site = open_site(location, make_task())
    # none of its images is in the cache; the site has nothing to train on and is skipped
    assert (len(site.train.rows), site.num_patients) == (0, 0)


def test_a_cache_that_is_not_there_is_an_artefact_error(sites, tmp_path, make_task):
    location = simulated(sites, 0, cache=tmp_path / "none", state=tmp_path)
    with pytest.raises(ArtefactError, match="the cache is damaged"):
        open_site(location, make_task())


def test_a_hospital_whose_labels_changed_after_a_run_began_says_so(
    tmp_path, site_records, make_task
):
    folder = own_site(tmp_path / "hospital", site_records)
    location, task = own_folder(folder), make_task()
    open_site(location, task)
    table = read_table(folder / "site.csv")
    image_id, label = table.image_id[0], table.labels[0]
    table.states[0, 0] = 1 - table.states[0, 0]
    write_table(table, folder / "site.csv")
    # Another process, or another task of the run: nothing of the first look is at hand.
    changed = make_task(max_bad_fraction=0.5)
    assert changed.run == task.run
    with pytest.raises(DataError, match=rf"began: site\.csv: {label} of image {image_id}"):
        open_site(location, changed)
    (location.state / task.run / "site.csv").unlink()
    open_site(location, changed)
