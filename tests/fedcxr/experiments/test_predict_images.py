import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedcxr.config import load_config
from fedcxr.errors import ConfigError, DataError, ImageError
from fedcxr.experiments.predict import BATCH, BadImage, find_images, predict_images
from fedcxr.inference import Predictor
from fedcxr.training.precision import Precision

LABELS = ("Edema", "=Fracture")


@pytest.fixture(scope="module")
def model():
    config = load_config(overrides={"model.image_size": 32})
    precision = Precision("fp32", False, "a test")
    return Predictor(config, LABELS, precision=precision, device="cpu", threads=1)


@pytest.fixture
def run(model, monkeypatch, tmp_path):
    """A run whose model has its initial weights; the sizes of the batches it was asked are kept."""
    sizes = []

    def asked(self, images):
        sizes.append(len(images))
        return whole(self, images)

    whole = Predictor.probs
    monkeypatch.setattr(Predictor, "probs", asked)
    monkeypatch.setattr(Predictor, "open", lambda path: model)
    return sizes


@pytest.fixture
def draw():
    """Write a picture of noise."""

    def write(path, seed=0):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 40), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write


def table(out):
    with (out / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_bad_image_has_its_reason_and_the_others_are_written(run, draw, tmp_path):
    good = [draw(tmp_path / f"{name}.png", seed) for seed, name in enumerate("ac")]
    (tmp_path / "b.png").write_bytes(b"")
    given = [good[0], tmp_path / "b.png", good[1], tmp_path / "none.png"]
    found = predict_images(tmp_path, given, tmp_path / "out")
    rows = table(tmp_path / "out")
    assert [row["image"] for row in rows] == [str(path) for path in given]
    assert [row["error"] for row in rows] == [
        "",
        "empty file (0 bytes)",
        "",
        "cannot be read: No such file or directory",
    ]
    assert [bool(row["Edema"]) for row in rows] == [True, False, True, False]
    assert [row["gradcam_file"] for row in rows] == ["001-a.png", "", "003-c.png", ""]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"001-a.png", "003-c.png", "predictions.csv"}
    assert found.table == tmp_path / "out" / "predictions.csv"
    assert found.num_images == 4
    assert found.bad == (
        BadImage(given[1], "empty file (0 bytes)"),
        BadImage(given[3], "cannot be read: No such file or directory"),
    )


def test_if_all_images_are_bad_nothing_is_written(run, tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(b"")
    words = r"none of 2 images can be read: .*a\.png: empty file \(0 bytes\), .*b\.png"
    with pytest.raises(ImageError, match=words):
        predict_images(tmp_path, [tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_many_images_go_through_in_batches_to_the_same_numbers(run, model, draw, tmp_path):
    many = [draw(tmp_path / f"{n:02d}.png", n) for n in range(2 * BATCH + 3)]
    told = []
    predict_images(
        *(tmp_path, many, tmp_path / "out"), progress=lambda done, total: told.append((done, total))
    )
    assert run == [BATCH, BATCH, 3]  # never more than a batch is held
    total = len(many)
    assert told == [(BATCH, total), (2 * BATCH, total), (total, total)]
    rows = table(tmp_path / "out")
    assert [row["image"] for row in rows] == [str(path) for path in many]
    predict_images(tmp_path, [many[20]], tmp_path / "alone")
    assert float(rows[20]["Edema"]) == pytest.approx(
        float(table(tmp_path / "alone")[0]["Edema"]), abs=1e-5
    )


def test_no_cell_is_a_formula(run, draw, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["=1+1.png", "+a.png", "-a.png", "@a.png", "\ta.png", "a=b.png"]
    for name in names:
        draw(tmp_path / name)
    predict_images(tmp_path, [Path(name) for name in names], tmp_path / "out")
    rows = table(tmp_path / "out")
    assert [row["image"] for row in rows] == [*(f"'{name}" for name in names[:5]), "a=b.png"]
    assert "'=Fracture" in rows[0]  # the label's column too
    for row in rows:
        assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for cell in row.values())


@pytest.mark.parametrize(
    "stem", ["x" * 251, "ä" * 125, "a" + "胸" * 83, "Kl\udce4ren", "two\nlines"]
)
def test_overlays_of_any_names_fit_and_differ(run, draw, tmp_path, stem):
    images = [draw(tmp_path / folder / f"{stem}.png", 1) for folder in "abc"]
    predict_images(tmp_path, images, tmp_path / "out")
    named = [row["gradcam_file"] for row in table(tmp_path / "out")]
    assert len(set(named)) == 3
    for number, name in enumerate(named, start=1):
        assert (tmp_path / "out" / name).stat().st_size > 1000
        assert len(os.fsencode(name)) <= 255
        name.encode()  # valid UTF-8: no character is cut
        kept = name.removeprefix(f"{number:03d}-").removesuffix(".png")
        assert kept.startswith(stem[:2])
        assert len(os.fsencode(name)) >= min(253, len(os.fsencode(stem)))


def test_a_folder_is_all_images_in_it_sorted(draw, tmp_path):
    inside = ["a/2.png", "a/10.JPG", "b/c/1.jpeg", "z.png"]
    for name in inside:
        draw(tmp_path / "films" / name)
    (tmp_path / "films" / "IM0001").write_bytes(bytes(128) + b"DICM" + bytes(8))
    (tmp_path / "films" / "cut.dcm").write_bytes(b"")  # one that is bad is told, not passed over
    for name in ("notes.txt", "DICOMDIR", ".hidden.png", ".cache/x.png"):
        (tmp_path / "films" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "films" / name).write_bytes(bytes(128) + b"DICM")
    (tmp_path / "films" / "notes.txt").write_text("no image")
    found = find_images([tmp_path / "films"], but_not_in=tmp_path / "out")
    names = [path.relative_to(tmp_path / "films").as_posix() for path in found]
    assert names == ["IM0001", "a/10.JPG", "a/2.png", "b/c/1.jpeg", "cut.dcm", "z.png"]


def test_files_and_folders_keep_the_order_they_are_given_in(draw, tmp_path):
    for name in ("z.png", "films/a.png", "films/b.png", "c.png"):
        draw(tmp_path / name)
    given = [tmp_path / "z.png", tmp_path / "films", tmp_path / "c.png"]
    found = find_images(given, but_not_in=tmp_path / "out")
    assert [path.name for path in found] == ["z.png", "a.png", "b.png", "c.png"]


def test_overlays_of_an_earlier_call_are_no_images(run, draw, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "a.png")
    for _ in range(2):
        found = predict_images(tmp_path, [tmp_path], Path("predictions"))
    assert found.num_images == 1


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "films").mkdir()
    with pytest.raises(DataError, match=r"films: there is no image in this folder \(\.jpg"):
        find_images([tmp_path / "films"], but_not_in=tmp_path / "out")


def test_a_folder_that_cannot_be_read_is_refused(tmp_path, draw, monkeypatch):
    draw(tmp_path / "films" / "locked" / "a.png")
    scandir = os.scandir

    def guarded(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(DataError, match=r"locked: cannot be read \(Permission denied\)"):
        find_images([tmp_path / "films"], but_not_in=tmp_path / "out")


def test_a_link_that_leads_nowhere_is_told_as_a_bad_image(run, draw, tmp_path):
    draw(tmp_path / "films" / "a.png")
    (tmp_path / "films" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    found = predict_images(tmp_path, [tmp_path / "films"], tmp_path / "out")
    assert [one.path.name for one in found.bad] == ["gone.png"]


def test_the_heat_map_is_of_the_label_asked_for_or_the_most_probable(run, draw, tmp_path):
    image = draw(tmp_path / "a.png")
    predict_images(tmp_path, [image], tmp_path / "out", label="Edema")
    assert table(tmp_path / "out")[0]["gradcam_label"] == "Edema"
    shutil.rmtree(tmp_path / "out")
    predict_images(tmp_path, [image], tmp_path / "out")
    (row,) = table(tmp_path / "out")
    likely = max(("Edema", "'=Fracture"), key=lambda label: float(row[label]))
    assert row["gradcam_label"] == likely
    with pytest.raises(ConfigError, match="--label Mass: the model has Edema"):
        predict_images(tmp_path, [image], tmp_path / "out", label="Mass")
