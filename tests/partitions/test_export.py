from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedcxr.config.partition import PartitionConfig
from fedcxr.data.cache.store import build_cache
from fedcxr.data.tokens import SYNTHETIC_KEY, Tokens
from fedcxr.errors import ArtefactError, DataError
from partitions.export import export_global, export_site
from partitions.plan import make_partition, read_plan
from partitions.table import read_table


@pytest.fixture
def dataset(tmp_path, make_dataset):
    made = make_dataset(20, images_each=1, root=tmp_path / "source")
    for number, record in enumerate(made.records):
        path = made.root / record.path
        path.parent.mkdir(parents=True)
        Image.new("L", (40, 40), 10 * number).save(path)
    return made


@pytest.fixture
def plan(tmp_path, dataset):
    return make_partition(
        dataset,
        config=PartitionConfig(clients=2),
        seed=0,
        key=SYNTHETIC_KEY,
        views="all",
        out=tmp_path / "plan",
    )


def test_a_hospital_gets_its_table_and_its_images_and_nothing_else(tmp_path, dataset, plan):
    out = export_site(plan, "site-01", dataset, SYNTHETIC_KEY, tmp_path / "hospital")
    table = read_table(out / "site.csv")
    assert replace(table, path=None).image_id == read_table(plan.site_csv("site-01")).image_id
    found = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    assert found == sorted(["site.csv", *table.path])
    assert "patient0" not in (out / "site.csv").read_text() + " ".join(found)


def test_a_hospitals_folder_decodes_to_the_pixels_of_the_source(tmp_path, dataset, plan):
    out = export_site(plan, "site-00", dataset, SYNTHETIC_KEY, tmp_path / "hospital")
    table = read_table(out / "site.csv")
    mine = build_cache(
        list(zip(table.image_id, table.path, strict=True)),
        out,
        size_px=32,
        max_bad_fraction=0.0,
        workers=1,
    )
    tokens = Tokens(SYNTHETIC_KEY)
    for number, record in enumerate(dataset.records):
        image_id = tokens.image(record.path)
        if mine.has(image_id):
            pixels = mine.images[mine.rows([image_id])[0]]
            np.testing.assert_array_equal(pixels, np.full((32, 32), 10 * number))


def test_images_of_joined_data_sets_are_found_in_their_own_folders(tmp_path, dataset):
    roots = {"chexpert": dataset.root, "nih14": tmp_path / "other"}
    (tmp_path / "other").symlink_to(dataset.root)
    records = [
        replace(
            record,
            patient_id=f"{source}/{record.patient_id}",
            study_id=f"{source}/{record.study_id}",
            path=f"{source}/{record.path}",
            source=source,
        )
        for source in roots
        for record in dataset.records
    ]
    joined = replace(dataset, root=Path("both"), records=tuple(records), roots=tuple(roots.items()))
    config = PartitionConfig(clients=2, scheme="by-source")
    made = {"config": config, "seed": 0, "key": SYNTHETIC_KEY, "views": "all"}
    plan = make_partition(joined, **made, out=tmp_path / "joined")
    out = export_site(plan, "site-01", joined, SYNTHETIC_KEY, tmp_path / "hospital")
    assert plan.sites[1].holds == "nih14"
    assert len(list((out / "images").iterdir())) == plan.sites[1].images > 0


def test_the_server_gets_its_two_splits_and_a_plan_that_opens(tmp_path, dataset, plan):
    out = export_global(plan, dataset, SYNTHETIC_KEY, tmp_path / "server")
    assert not (out / "sites").exists()
    opened = read_plan(out)
    assert opened.sites == plan.sites  # what each site holds is still known
    assert opened.pairs_checked == plan.pairs_checked
    for table in (read_table(opened.val_csv), read_table(opened.test_csv)):
        assert all((out / "global" / path).is_file() for path in table.path)


def test_an_exported_folder_that_was_changed_is_refused(tmp_path, dataset, plan):
    out = export_global(plan, dataset, SYNTHETIC_KEY, tmp_path / "server")
    path = out / "global" / "test.csv"
    path.write_text(path.read_text().replace(",50,", ",51,"))
    with pytest.raises(ArtefactError, match=r"test.csv has been changed"):
        read_plan(out)


def test_another_key_or_another_data_set_is_refused(tmp_path, dataset, plan, key):
    with pytest.raises(ArtefactError, match="made with patient key"):
        export_site(plan, "site-00", dataset, key, tmp_path / "hospital")
    fewer = dataset.where(lambda record: record.patient_id > "patient00015")
    with pytest.raises(ArtefactError, match="are not in this data set"):
        export_site(plan, "site-00", fewer, SYNTHETIC_KEY, tmp_path / "hospital")
    assert not (tmp_path / "hospital").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path, dataset, plan):
    with pytest.raises(ArtefactError, match="is there already"):
        export_site(plan, "site-00", dataset, SYNTHETIC_KEY, plan.folder)


def test_a_link_out_of_the_source_is_not_copied(tmp_path, dataset, plan):
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    for record in dataset.records:
        (dataset.root / record.path).unlink()
        (dataset.root / record.path).symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(DataError, match="leads out of the data folder"):
        export_site(plan, "site-00", dataset, SYNTHETIC_KEY, tmp_path / "hospital")
    assert not (tmp_path / "hospital").exists()
