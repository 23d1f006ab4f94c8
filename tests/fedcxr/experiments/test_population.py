"""Who is a member and who is not, by a plan made by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from fedcxr.config import load_config
from fedcxr.data.origin import DrawnPart, OfficialPart, TestSet
from fedcxr.data.records import OfficialSet, RecordTable
from fedcxr.errors import ArtefactError, DataError
from fedcxr.experiments.membership import population as module
from fedcxr.experiments.membership.population import read_population

LABELS = ("Edema", "Fracture")


def table_of(prefix, number, split, *, images=1, states=(1, 0)):
    rows = [(n, k) for n in range(number) for k in range(images)]
    return RecordTable(
        labels=LABELS,
        image_id=tuple(f"{prefix}{n}-{k}" for n, k in rows),
        patient_id=tuple(f"{prefix}{n}" for n, _ in rows),
        study_id=tuple(f"{prefix}{n}" for n, _ in rows),
        split=(split,) * len(rows) if isinstance(split, str) else split,
        view=("frontal",) * len(rows),
        projection=("AP",) * len(rows),
        sex=tuple("F" if n % 2 else "" for n, _ in rows),
        age=tuple(30 + 40 * (n % 2) for n, _ in rows),
        states=np.tile(np.int8(states), (len(rows), 1)),
    )


@pytest.fixture
def plan(monkeypatch):
    tables = {
        "global/val.csv": table_of("v", 30, "val"),
        "global/test.csv": table_of("t", 25, "test"),
        "site-00": table_of("a", 30, ("train",) * 25 + ("val",) * 5),
        "site-01": table_of("b", 15, "train", images=2),
    }
    drawn = DrawnPart(source="own", fraction=0.2, patients=25, of_patients=130)
    found = SimpleNamespace(
        is_export=False,
        sites=[SimpleNamespace(site_id="site-00"), SimpleNamespace(site_id="site-01")],
        test_set=TestSet((drawn,)),
        tables=tables,
        table=tables.__getitem__,
        site_table=tables.__getitem__,
    )
    ids = [name for table in tables.values() for name in table.image_id]
    rows = {name: row for row, name in enumerate(ids)}
    cache = SimpleNamespace(
        images=np.zeros((len(ids), 2, 2), np.uint8),
        row_by_id=rows,
        rows=lambda names: np.array([rows[name] for name in names], dtype=np.int64),
    )
    monkeypatch.setattr(module, "read_plan", lambda folder: found)
    monkeypatch.setattr(module, "open_cache", lambda folder: cache)
    found.cache = cache
    return found


def read(tmp_path):
    return read_population(tmp_path, load_config(), LABELS, "digest")


def test_members_are_the_sites_training_patients_and_others_are_held_out(plan, tmp_path):
    found = read(tmp_path)
    # 25 + 15 trained on; 30 + 25 at the server and 5 at a site held out
    assert int(found.is_member.sum()) == 40
    assert found.num_patients == 100
    assert {site: int((found.site == site).sum()) for site in ("site-00", "site-01")} == {
        "site-00": 25,
        "site-01": 15,
    }
    # the 5 whom site-00 held out are its own patients, and those of the server are no site's
    assert {home: int((found.home == home).sum()) for home in ("site-00", "site-01", "")} == {
        "site-00": 30,
        "site-01": 15,
        "": 55,
    }
    assert len(found.rows) == len(found.target) == 25 + 5 + 2 * 15 + 30 + 25
    assert np.bincount(found.patient)[found.site == "site-01"].tolist() == [2] * 15
    assert set(found.groups["sex"]) == {"F", "unknown"}
    assert set(found.groups["age band"]) == {"0-39", "60-79"}
    assert (found.official, found.left_out) == (0, 0)


def test_patients_of_an_official_test_set_are_left_out(plan, tmp_path):
    official = OfficialSet("test", "chexpert-valid")
    plan.test_set = TestSet((OfficialPart(official, 25),))
    found = read(tmp_path)
    assert found.num_patients == 75
    assert found.official == 25


def test_bad_images_and_those_without_a_known_label_are_left_out_and_counted(plan, tmp_path):
    del plan.cache.row_by_id["v0-0"]
    plan.tables["global/test.csv"] = table_of("t", 25, "test", states=(-1, -1))
    found = read(tmp_path)
    assert found.left_out == 1 + 25
    assert found.num_patients == 100 - 26


def test_the_digest_is_of_who_and_of_the_labels(plan, tmp_path):
    first = read(tmp_path).digest
    assert read(tmp_path).digest == first
    plan.tables["global/val.csv"] = table_of("v", 30, "val", states=(1, 1))
    assert read(tmp_path).digest != first


def test_too_few_patients_and_tables_that_stayed_at_the_sites_are_refused(plan, tmp_path):
    plan.tables["site-00"] = table_of("a", 3, "train")
    with pytest.raises(DataError, match="18 training patients and 55 who were held out; an attack"):
        read(tmp_path)
    plan.is_export = True
    with pytest.raises(ArtefactError, match="its sites' tables are with the sites"):
        read(tmp_path)
