"""What is done with a hospital's data before its client connects."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from clients.site import open_site, own_folder
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.data.tokens import Tokens, load_key
from fedcxr.deploy import site_data
from fedcxr.deploy.site_data import prepare_site
from fedcxr.errors import ArtefactError, ConfigError, DataError
from partitions.table import read_table, write_table


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A CheXpert and an NIH folder of 40 made-up patients each."""
    folder = tmp_path_factory.mktemp("sources")
    return {
        layout: write_synthetic(folder / layout, patients=40, size_px=64, layout=layout)
        for layout in ("chexpert", "nih14")
    }


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDCXR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def checks(monkeypatch):
    """Count the checks."""
    seen = []
    found = site_data._check_folder
    monkeypatch.setattr(
        site_data, "_check_folder", lambda *given: seen.append(given[0]) or found(*given)
    )
    return seen


@pytest.fixture
def own(tmp_path, site_records):
    """A hospital's own folder of six images that look unlike one another."""
    folder, rng = tmp_path / "own", np.random.default_rng(3)
    (folder / "images").mkdir(parents=True)
    table = site_records("site-00", 4, 2)
    paths = tuple(f"images/{name}.png" for name in table.image_id)
    for path in paths:
        rough = rng.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(rough).resize((96, 96), Image.Resampling.BICUBIC).save(folder / path)
    write_table(replace(table, path=paths), folder / "site.csv")
    return folder


@pytest.mark.parametrize("layout", ["chexpert", "nih14"])
def test_a_data_set_becomes_a_site_with_a_split_of_its_own(
    layout, sources, home, make_task, checks
):
    root = sources[layout]
    before = sorted(path for path in root.rglob("*"))
    seen = []
    made = prepare_site("st-mary", root, image_size=32, on_progress=lambda *one: seen.append(one))
    assert sorted(path for path in root.rglob("*")) == before  # it is only read
    assert made.folder == home / "sites" / "st-mary"
    assert made.left_out > 0
    assert set(made.table.view) == {"frontal"}
    split = {p: s for p, s in zip(made.table.patient_id, made.table.split, strict=True)}
    assert set(split.values()) == {"train", "val"}
    assert len(split) == len(set(zip(made.table.patient_id, made.table.split, strict=True)))
    assert any(what == "Decoding to 32 px" for what, _, _ in seen)
    # the client opens what was made ready, and decodes nothing anew
    place = own_folder(made.folder, site_id="st-mary", images=made.images)
    site = open_site(place, make_task(labels=made.table.labels[:2]))
    assert len(site.train.rows) == len(made.table.rows("train"))
    assert site.images.shape[1:] == (32, 32)
    caches = {path.name for path in (home / "cache").iterdir() if not path.name.startswith(".")}
    assert len(caches) == 2  # that of the check, and that of the client
    # the next start keeps the split and the size, and looks at nothing again
    again = prepare_site("st-mary", root)
    assert (again.image_size, len(checks)) == (32, 1)
    assert again.table.split == made.table.split


def test_no_table_of_a_site_is_made_under_two_keys(sources, home, tmp_path, monkeypatch):
    prepare_site("st-mary", sources["chexpert"])
    first = Tokens(load_key()).fingerprint
    assert json.loads((home / "sites" / "st-mary" / "site.json").read_text())["key"] == first
    monkeypatch.setenv("FEDCXR_PATIENT_KEY", str(tmp_path / "other.key"))
    with pytest.raises(ArtefactError, match=f"made with patient key {first}, and this one is"):
        prepare_site("st-mary", sources["chexpert"])


def test_a_folder_of_its_own_is_checked_too(own, home, checks):
    notices = []
    made = prepare_site("site-00", own, image_size=32, on_notices=notices.extend)
    assert made.folder == made.images == own
    assert (own / "cache" / "32px" / "images.u8").is_file()
    prepare_site("site-00", own)
    assert len(checks) == 1
    (own / made.table.path[0]).write_bytes(b"no image")
    with pytest.raises(DataError, match=r"own: not clean, so .*\n +not-an-image: "):
        prepare_site("site-00", own)
    assert len(checks) == 2


def test_an_owner_can_accept_a_kind_of_problem_by_its_name(own, home):
    paths = read_table(own / "site.csv").path
    (own / paths[1]).write_bytes((own / paths[0]).read_bytes())
    with pytest.raises(DataError, match=r"same-file-across-patients: .*1 \(images/") as said:
        prepare_site("site-00", own)
    assert "--accept KIND takes one as it is" in str(said.value)
    notices = []
    prepare_site("site-00", own, accept=["same-file-across-patients"], on_notices=notices.extend)
    assert "same-file-across-patients" in {one.kind for one in notices}
    with pytest.raises(DataError, match="same-file-across-patients"):
        prepare_site("site-00", own)  # what was accepted once is not accepted for ever


def test_what_is_no_data_folder_is_told(tmp_path, home):
    with pytest.raises(ConfigError, match=r"--data .*nowhere: there is no such folder"):
        prepare_site("site-00", tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no site\.csv .*and no data set either"):
        prepare_site("site-00", tmp_path)
