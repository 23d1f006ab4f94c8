import json
from pathlib import Path

import pandas as pd
import pytest

from fedcxr.data.labels import CHEXPERT_LABELS
from fedcxr.data.quality.check import check_data
from fedcxr.data.quality.counts import count_people
from fedcxr.data.records import Record
from fedcxr.data.synthetic.write import write_synthetic


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    root = write_synthetic(tmp_path_factory.mktemp("whole"), patients=30, size_px=32, workers=1)
    return check_data(root, workers=1, disk_budget_s=0.02)


def keys_of(tree, depth=2):
    if not isinstance(tree, dict) or not depth:
        return None
    return {key: keys_of(value, depth - 1) for key, value in tree.items()}


def test_the_json_keeps_its_shape(report):
    tree = json.loads(json.dumps(report.to_json(), allow_nan=False))
    spread = dict.fromkeys(["mean", "median", "most", "patients_by_count"])
    assert tree["format"] == 1
    assert keys_of({k: v for k, v in tree.items() if k not in ("labels", "people")}, 1) == (
        dict.fromkeys(
            [
                "format",
                "root",
                "layout",
                "is_clean",
                "patients",
                "studies",
                "images",
                "findings",
                "splits",
                "files",
                "disk",
                "notes",
                "official_sets",
                "seconds",
            ]
        )
    )
    assert keys_of(tree["people"]) == {
        "images_per_patient": spread,
        "studies_per_patient": spread,
        "views": dict.fromkeys(["frontal", "lateral"]),
        "projections": keys_of(tree["people"]["projections"]),
        "sexes": dict.fromkeys(["F", "M"]),
        "ages": dict.fromkeys(["known", "unknown", "quantiles", "images_by_band"]),
    }
    assert set(tree["labels"]) == {"all", "train", "test"}
    assert set(tree["labels"]["all"]) == set(CHEXPERT_LABELS)
    states = {"positive", "negative", "uncertain", "blank", "masked"}
    assert set(tree["labels"]["all"]["Edema"]) == states
    finding = {"kind", "severity", "count", "title", "text", "mend", "examples"}
    assert all(set(one) == finding for one in tree["findings"])
    pair = {"group", "first", "second", "patients_of_first", "patients_of_second"}
    more = {"shared_patients", "shared_images", "examples"}
    assert [set(one) for one in tree["splits"]] == [pair | more]
    assert set(tree["files"]) == {"looked_at", "good", "shapes", "from_headers", "png_bits"}
    assert set(tree["disk"]) == set(
        [
            "files",
            "total_bytes",
            "read_files",
            "megabytes_per_s",
            "files_per_s",
            "decoded_per_s",
            "cores",
            "prepare_s",
            "cache_bytes",
            "free_bytes",
            "cache_folder",
        ]
    )


def test_the_counts_are_those_of_the_tables(report):
    tables = [pd.read_csv(report.root / name) for name in ("train.csv", "valid.csv")]
    both = pd.concat(tables)
    patient = both["Path"].str.extract(r"(patient\d+)")[0]
    assert report.num_images == len(both)
    assert report.patients == patient.nunique()
    assert report.people.views == both["Frontal/Lateral"].str.lower().value_counts().to_dict()
    assert report.people.images_per_patient.most == patient.value_counts().max()
    assert report.people.images_per_patient.mean == pytest.approx(
        patient.value_counts().mean(), abs=1e-3
    )
    assert report.people.ages.quantiles["50 %"] == both["Age"].median()
    assert sum(report.people.ages.images_by_band.values()) == len(both)
    for split, table in (("train", tables[0]), ("test", tables[1]), ("all", both)):
        for label in CHEXPERT_LABELS:
            counts = report.label_counts[split][label]
            assert counts["positive"] == (table[label] == 1).sum()
            assert counts["negative"] == (table[label] == 0).sum()
            assert counts["uncertain"] == (table[label] == -1).sum()
            assert counts["blank"] == table[label].isna().sum()


def record(patient, image, **fields):
    own = {"view": "frontal", "projection": "", "sex": "", "age": None} | fields
    return Record(
        patient, f"{patient}/{image}", f"{patient}/{image}.png", split="", labels=(), **own
    )


def test_people_are_counted_by_hand():
    people = count_people(
        [
            *(record("a", i, age=9, sex="F", projection="AP") for i in range(12)),
            record("b", 0, age=10, view="lateral"),
            record("b", 1),
            record("c", 0, age=31),
        ]
    )
    # 12, 2 and 1 images: 5 on average
    assert (people.images_per_patient.mean, people.images_per_patient.median) == (5.0, 2.0)
    assert people.images_per_patient.most == 12
    assert people.images_per_patient.patients_by_count == {
        **{"1": 1, "2": 1},
        **dict.fromkeys("3456789", 0),
        "10+": 1,
    }
    assert people.views == {"frontal": 14, "lateral": 1}
    assert people.projections == {"AP": 12, "unknown": 3}
    assert people.sexes == {"unknown": 2, "F": 1}
    assert (people.ages.known, people.ages.unknown) == (14, 1)
    assert people.ages.images_by_band == {"0-9": 12, "10-19": 1, "20-29": 0, "30-39": 1}


def test_nobody_is_counted_as_nobody():
    people = count_people([])
    assert people.images_per_patient.mean is None
    assert people.ages.quantiles == {}
    assert json.dumps(people.to_json(), allow_nan=False)


def test_findings_come_with_problems_first_and_a_way_to_mend(tmp_path):
    root = write_synthetic(tmp_path, patients=12, size_px=32, workers=1)
    next(root.rglob("*.jpg")).unlink()
    report = check_data(root, workers=1, disk_budget_s=0.02)
    severities = [finding.severity for finding in report.findings]
    assert severities == sorted(severities, reverse=True)
    assert [finding.kind for finding in report.problems] == ["missing"]
    assert all(finding.mend and finding.text and finding.title for finding in report.findings)
    assert report.to_json()["is_clean"] is False


def test_what_is_done_is_told(tmp_path):
    root = write_synthetic(tmp_path, patients=6, size_px=32, workers=1)
    told = []
    check_data(root, workers=1, progress=lambda *what: told.append(what), disk_budget_s=0.02)
    number = len([*root.rglob("*.jpg")])
    assert ("Decoding", number, number) in told
    assert told[-1] == ("Comparing", 0, number)


@pytest.mark.real
@pytest.mark.parametrize(
    ("folder", "patients", "images", "is_clean"),
    # counted with pandas and os.listdir: nothing missing, no two files with the same bytes
    [
        ("nih14", 310, 320, True),
        ("nih14_64px", 108, 445, False),
        ("chexpert_layout_nih_pixels", 156, 219, True),
        ("chexlocalize_format", 2, 2, True),
        # 425 + 77 + 174 rows, 75 images of them in two tables
        ("nih_onehot_csv", 564, 601, False),
    ],
)
def test_the_samples_are_what_they_are(sample_data: Path, folder, patients, images, is_clean):
    report = check_data(sample_data / folder, disk_budget_s=0.1)
    assert (report.patients, report.num_images) == (patients, images)
    assert report.is_clean is is_clean, report.problems


def shared_by_pandas(frame, key="split", patient="p"):
    sets = {name: set(part[patient]) for name, part in frame.groupby(key)}
    return {(a, b): len(sets[a] & sets[b]) for a in sets for b in sets if a != b}


@pytest.mark.real
def test_the_source_split_of_the_64_px_sample_leaks_as_pandas_says(sample_data: Path):
    report = check_data(sample_data / "nih14_64px", disk_budget_s=0.1)
    frame = pd.read_csv(sample_data / "nih14_64px" / "source_split_LEAKY.csv")
    frame["p"] = frame["Image Index"].str[:8]
    expected = shared_by_pandas(frame)
    pairs = [pair for pair in report.pairs if pair.group == "source_split_LEAKY.csv"]
    shared = {(pair.first, pair.second): pair.shared_patients for pair in pairs}
    assert shared == {("train", "valid"): 6, ("train", "test"): 4, ("valid", "test"): 3}
    assert shared == {pair: expected[pair] for pair in shared}
    (finding,) = report.problems
    assert finding.count == (frame.groupby("p")["split"].nunique() > 1).sum()
    assert "train and valid share 6 of valid's 24 patients" in finding.text
    official = next(pair for pair in report.pairs if pair.group == "official splits")
    assert (official.shared_patients, official.shared_images) == (0, 0)


@pytest.mark.real
def test_the_one_hot_sample_leaks_75_of_77_patients(sample_data: Path):
    report = check_data(sample_data / "nih_onehot_csv", labels_only=True)
    shared = {(pair.first, pair.second): pair.shared_patients for pair in report.pairs}
    assert shared == {
        ("train-small", "valid-small"): 75,
        ("train-small", "test"): 0,
        ("valid-small", "test"): 0,
    }
    assert [finding.kind for finding in report.problems] == ["patients-shared", "images-shared"]
    told = report.problems[0].text
    assert "train-small and valid-small share 75 of valid-small's 77 patients." in told
    with_images = check_data(sample_data / "nih_onehot_csv", disk_budget_s=0.02)
    assert "no-images" in [finding.kind for finding in with_images.problems]
