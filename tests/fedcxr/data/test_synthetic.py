"""The synthetic data set: official layouts, same seed same bytes, visible and boxed signs."""

import csv
import hashlib
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fedcxr.config import SyntheticConfig
from fedcxr.data.labels import CHEXPERT_LABELS, NIH14_LABELS
from fedcxr.data.synthetic import write
from fedcxr.data.synthetic.casemix import draw_case_mix
from fedcxr.data.synthetic.masks import read_masks
from fedcxr.data.synthetic.write import embedded_dataset, write_synthetic
from fedcxr.errors import ConfigError

CHEXPERT_HEADER = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,"
    "Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,"
    "Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def digest_of(folder: Path) -> str:
    sha = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        sha.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return sha.hexdigest()


@pytest.fixture(scope="module")
def chexpert(tmp_path_factory):
    out = tmp_path_factory.mktemp("chexpert")
    return write_synthetic(out, patients=120, size_px=64, seed=3)


@pytest.fixture(scope="module")
def nih14(tmp_path_factory):
    out = tmp_path_factory.mktemp("nih14")
    return write_synthetic(out, patients=120, size_px=64, layout="nih14", seed=3)


@pytest.mark.parametrize("layout", ["chexpert", "nih14"])
def test_same_seed_gives_same_bytes_for_any_number_of_workers(tmp_path, layout):
    digests = []
    for workers in (1, 3):
        out = tmp_path / str(workers)
        write_synthetic(out, patients=12, size_px=48, layout=layout, seed=5, workers=workers)
        digests.append(digest_of(out))
    assert digests[0] == digests[1]


def test_another_seed_gives_other_bytes(tmp_path):
    roots = [write_synthetic(tmp_path / str(s), patients=3, size_px=32, seed=s) for s in (0, 1)]
    assert digest_of(roots[0]) != digest_of(roots[1])


def test_chexpert_tables_have_the_official_header_and_every_image(chexpert):
    assert chexpert.name == "CheXpert-v1.0-small"
    listed = []
    for table in ("train.csv", "valid.csv"):
        first_line = (chexpert / table).read_text(encoding="utf-8").split("\n")[0]
        assert first_line == CHEXPERT_HEADER
        listed += [row["Path"] for row in rows_of(chexpert / table)]
    on_disk = {p.relative_to(chexpert.parent).as_posix() for p in chexpert.rglob("*.jpg")}
    assert set(listed) == on_disk
    assert len(listed) == len(on_disk)
    with Image.open(chexpert.parent / listed[0]) as image:
        assert (image.size, image.mode, image.format) == ((64, 64), "L", "JPEG")


def test_chexpert_valid_is_dense_and_train_has_all_four_states(chexpert):
    train, valid = rows_of(chexpert / "train.csv"), rows_of(chexpert / "valid.csv")
    said = Counter(row[label] for row in train for label in CHEXPERT_LABELS)
    assert set(said) == {"1.0", "0.0", "-1.0", ""}
    assert said[""] > said["1.0"] > said["-1.0"]
    assert {row[label] for row in valid for label in CHEXPERT_LABELS} == {"1.0", "0.0"}
    # CheXpert's labeller never denies or doubts "No Finding".
    assert {row["No Finding"] for row in train} == {"1.0", ""}


def test_chexpert_views_are_frontal_ap_or_pa_and_some_lateral(chexpert):
    rows = rows_of(chexpert / "train.csv") + rows_of(chexpert / "valid.csv")
    views = Counter((row["Frontal/Lateral"], row["AP/PA"]) for row in rows)
    assert set(views) == {("Frontal", "AP"), ("Frontal", "PA"), ("Lateral", "")}
    assert views["Lateral", ""] < views["Frontal", "PA"] < views["Frontal", "AP"]
    assert all(row["Frontal/Lateral"].lower() in row["Path"] for row in rows)
    assert any("/study2/" in row["Path"] for row in rows)


def test_no_patient_is_in_train_and_valid(chexpert):
    train, valid = (
        {row["Path"].split("/")[2] for row in rows_of(chexpert / table)}
        for table in ("train.csv", "valid.csv")
    )
    assert not train & valid
    assert len(valid) == 24  # a fifth of 120
    assert {row["patient_id"] for row in rows_of(chexpert / "sites.csv")} == train | valid


def test_every_box_just_holds_its_mask(chexpert):
    boxes, masks = rows_of(chexpert / "boxes.csv"), read_masks(chexpert)
    assert len(boxes) == len(masks) > 100
    for row, box in enumerate(boxes):
        y, x = np.nonzero(masks.mask(row))
        by_hand = (x.min(), y.min(), x.max() + 1 - x.min(), y.max() + 1 - y.min())
        stated = [float(box[key]) * 64 for key in ("x", "y", "width", "height")]
        np.testing.assert_allclose(stated, by_hand, atol=0.01)


def test_every_finding_on_a_frontal_image_has_a_box(chexpert):
    boxed = {(row["path"], row["label"]) for row in rows_of(chexpert / "boxes.csv")}
    # A named opacity is the named finding and has its box there.
    named = ("Edema", "Consolidation", "Pneumonia", "Atelectasis")
    for row in rows_of(chexpert / "truth.csv"):
        if "lateral" in row["path"]:
            continue
        there = {label for label in CHEXPERT_LABELS[1:] if row[label] == "1"}
        if there & set(named):
            there.discard("Lung Opacity")
        assert there == {label for path, label in boxed if path == row["path"]}


def test_boxes_are_small_and_mostly_away_from_the_centre(chexpert):
    boxes = [row for row in rows_of(chexpert / "boxes.csv") if "lateral" not in row["path"]]
    middle = ("Cardiomegaly", "Enlarged Cardiomediastinum")
    sides = np.array([[float(r[k]) for k in ("x", "y", "width", "height")] for r in boxes])
    aside = np.array([r["label"] not in middle for r in boxes])
    assert np.median(sides[:, 2] * sides[:, 3]) < 0.12
    x, y, width, height = sides[aside].T
    holds_centre = (x < 0.5) & (x + width > 0.5) & (y < 0.5) & (y + height > 0.5)
    assert holds_centre.mean() < 0.10


def test_no_finding_means_none_but_devices():
    truth = draw_case_mix("chexpert", 2000, 5, 0).truth
    clear = truth[:, CHEXPERT_LABELS.index("No Finding")]
    rest = np.delete(truth, [0, CHEXPERT_LABELS.index("Support Devices")], axis=1)
    np.testing.assert_array_equal(clear, ~rest.any(axis=1))


def test_findings_come_together_as_in_chexpert():
    truth = draw_case_mix("chexpert", 4000, 5, 0).truth
    has = {label: truth[:, k] for k, label in enumerate(CHEXPERT_LABELS)}
    for one, other in (
        ("Cardiomegaly", "Edema"),
        ("Edema", "Pleural Effusion"),
        ("Consolidation", "Pneumonia"),
        ("Pneumothorax", "Fracture"),
        ("Edema", "Support Devices"),
        ("Consolidation", "Lung Opacity"),
    ):
        assert has[other][has[one]].mean() > 1.3 * has[other][~has[one]].mean()


def test_sites_differ_in_case_mix_but_all_have_patients(chexpert):
    sites = Counter(row["site"] for row in rows_of(chexpert / "sites.csv"))
    assert sorted(sites) == [f"site-{k:02d}" for k in range(5)]
    cases = draw_case_mix("chexpert", 4000, 5, 0)
    site = cases.site[cases.views.patient]
    edema = cases.truth[cases.views.study, CHEXPERT_LABELS.index("Edema")]
    rates = [edema[site == k].mean() for k in range(5)]
    assert max(rates) > 1.3 * min(rates)


def test_nih_tables_have_the_official_shape(nih14):
    table = (nih14 / "Data_Entry_2017.csv").read_text(encoding="utf-8").splitlines()
    assert table[0] == NIH_HEADER
    assert {len(line.split(",")) for line in table} == {11}
    found = [line.split(",")[1] for line in table[1:]]
    assert {name for cell in found for name in cell.split("|")} <= {*NIH14_LABELS, "No Finding"}
    assert all(cell == "No Finding" for cell in found if "No Finding" in cell)
    assert 0.3 < found.count("No Finding") / len(found) < 0.7
    images = {line.split(",")[0] for line in table[1:]}
    assert images == {path.name for path in (nih14 / "images").iterdir()}


def test_nih_lists_part_the_images_by_patient_without_a_last_newline(nih14):
    train, test = (
        (nih14 / name).read_text(encoding="utf-8")
        for name in ("train_val_list.txt", "test_list.txt")
    )
    assert not train.endswith("\n")
    assert not test.endswith("\n")
    assert not {n[:8] for n in train.split()} & {n[:8] for n in test.split()}
    assert len(train.split()) + len(test.split()) == len(list((nih14 / "images").iterdir()))


def test_nih_boxes_are_in_the_1024_frame_with_nihs_spelling(nih14):
    lines = (nih14 / "BBox_List_2017.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "Image Index,Finding Label,Bbox [x,y,w,h],,,"
    cells = [line.split(",") for line in lines[1:]]
    assert {len(row) for row in cells} == {6}
    assert "Infiltrate" in {row[1] for row in cells}
    numbers = np.array([[float(v) for v in row[2:]] for row in cells])
    assert numbers.min() >= 0
    assert 512 < (numbers[:, :2] + numbers[:, 2:]).max() <= 1024


def test_labels_with_few_test_positives_are_named(chexpert):
    stated = json.loads((chexpert / "synthetic.json").read_text(encoding="utf-8"))
    valid = [r for r in rows_of(chexpert / "valid.csv") if r["Frontal/Lateral"] == "Frontal"]
    counted = [k for k in CHEXPERT_LABELS if sum(r[k] == "1.0" for r in valid) < 10]
    assert stated["few_test_positives"] == counted
    assert counted  # 24 patients are too few for the rare ones
    assert stated["contrast"]["Fracture"] > 0


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"not empty\. Name another with --out"):
        write_synthetic(tmp_path, patients=2, size_px=32, layout="nih14")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_all_wrong_values_are_named_at_once(tmp_path):
    with pytest.raises(ConfigError, match=r"layout is 'mimic'.*patients is 0.*size_px is 8"):
        write_synthetic(tmp_path, patients=0, size_px=8, layout="mimic")
    with pytest.raises(ConfigError, match=r"seed is -1.*num_sites is 0"):
        write_synthetic(tmp_path, patients=1, size_px=32, seed=-1, num_sites=0)


def test_progress_ends_at_all_images(tmp_path):
    told = []
    write_synthetic(
        tmp_path, patients=4, size_px=32, progress=lambda done, total: told.append((done, total))
    )
    assert told[-1][0] == told[-1][1] == len(list(tmp_path.rglob("*.jpg")))


def test_embedded_set_is_made_once_even_when_asked_for_twice_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDCXR_HOME", str(tmp_path))
    config = SyntheticConfig(patients=6, size_px=32)
    with ThreadPoolExecutor(2) as pool:
        roots = list(pool.map(embedded_dataset, [config, config]))
    assert roots[0] == roots[1]
    assert (roots[0] / "synthetic.json").is_file()
    monkeypatch.setattr(write, "write_synthetic", None)  # a second making would fail
    assert embedded_dataset(config) == roots[0]
    assert len(list((tmp_path / "synthetic").iterdir())) == 1


def test_an_interrupted_making_leaves_nothing_that_could_be_used(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDCXR_HOME", str(tmp_path))
    config = SyntheticConfig(patients=6, size_px=32)

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(write, "crop_masks", stop)
        with pytest.raises(KeyboardInterrupt):
            embedded_dataset(config)
    assert list((tmp_path / "synthetic").iterdir()) == []
    assert (embedded_dataset(config) / "train.csv").is_file()


def test_a_linear_probe_on_thumbnails_learns_little(tmp_path):
    root = write_synthetic(tmp_path, patients=800, size_px=64)
    pixels, target = {}, {}
    for split in ("train", "valid"):
        rows = [r for r in rows_of(root / f"{split}.csv") if r["Frontal/Lateral"] == "Frontal"]
        images = np.stack([np.asarray(Image.open(root.parent / r["Path"])) for r in rows])
        pixels[split] = images.reshape(-1, 8, 8, 8, 8).mean(axis=(2, 4)).reshape(-1, 64)
        target[split] = np.array([[float(r[k] or 0) for k in CHEXPERT_LABELS] for r in rows])
    scores = []
    for column in range(len(CHEXPERT_LABELS)):
        known = target["train"][:, column] >= 0
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        probe.fit(pixels["train"][known], target["train"][known, column])
        logits = probe.decision_function(pixels["valid"])
        scores.append(roc_auc_score(target["valid"][:, column], logits))
    assert 0.5 < np.mean(scores) < 0.70
