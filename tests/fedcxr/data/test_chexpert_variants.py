"""CheXpert as its copies and its download lie on disk; the plain tree is in test_chexpert.py."""

from pathlib import Path

import pytest

from fedcxr.data.labels import BLANK, CHEXPERT_LABELS, NEGATIVE, POSITIVE, UNCERTAIN
from fedcxr.data.paths import Fence
from fedcxr.data.quality.check import check_data
from fedcxr.data.read import read_dataset
from fedcxr.errors import DataError, RecordError

DESCRIBED = ["Sex", "Age", "Frontal/Lateral", "AP/PA"]
BATCHES = {
    "CheXpert-v1.0 batch 2 (train 1)": ["patient00001", "patient00002"],
    "CheXpert-v1.0 batch 3 (train 2)": ["patient21514"],
    "CheXpert-v1.0 batch 4 (train 3)": ["patient43018", "patient64540"],
}
FIRST_BATCH = "CheXpert-v1.0 batch 1 (validate & csv)"
IMAGE = "study1/view1_frontal.jpg"


def write_table(path: Path, images, prefix="CheXpert-v1.0", described=True, **states):
    """Write a table with a row an image; `states` are the cells of the labels."""
    cells = [states.get(label.replace(" ", "_"), "0.0") for label in CHEXPERT_LABELS]
    lines = [",".join(["Path", *(DESCRIBED if described else []), *CHEXPERT_LABELS])]
    for image in images:
        who = ["Male", "60", "Frontal", "AP"] if described else []
        lines.append(",".join([f"{prefix}/{image}" if prefix else image, *who, *cells]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def touch(*paths: Path):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def make_download(root: Path, *, inner="", valid="valid/"):
    """Lay out the AIMI download, unpacked; `inner` is what a batch folder may hold once more."""
    patients = [patient for batch in BATCHES.values() for patient in batch]
    first = root / FIRST_BATCH
    write_table(first / "train.csv", [f"train/{patient}/{IMAGE}" for patient in patients])
    write_table(first / "valid.csv", [f"valid/patient64541/{IMAGE}"])
    touch(first / f"{valid}patient64541" / IMAGE)
    for batch, names in BATCHES.items():
        touch(*(root / batch / inner.format(batch) / name / IMAGE for name in names))


def all_found(dataset):
    fence = Fence(dataset.root)
    return all(fence.stat(record.path) for record in dataset.records)


@pytest.mark.parametrize("inner", ["", "{}", "train"])
@pytest.mark.parametrize("valid", ["valid/", ""])
def test_the_batches_of_the_download_are_one_data_set(tmp_path, inner, valid):
    make_download(tmp_path, inner=inner, valid=valid)
    dataset = read_dataset(tmp_path)
    assert dataset.root == tmp_path
    assert [record.split for record in dataset.records] == ["train"] * 5 + ["test"]
    assert all_found(dataset)
    first = dataset.records[0]
    assert first.path.startswith("CheXpert-v1.0 batch 2 (train 1)/")
    assert first.path.endswith(f"patient00001/{IMAGE}")
    assert (first.patient_id, first.study_id) == ("patient1", "patient1/study1")


def test_the_batch_with_the_tables_may_be_named_itself(tmp_path):
    make_download(tmp_path)
    assert read_dataset(tmp_path / FIRST_BATCH) == read_dataset(tmp_path)


def test_where_a_patient_lies_in_two_batches_the_image_decides(tmp_path):
    make_download(tmp_path)
    touch(tmp_path / "CheXpert-v1.0 batch 4 (train 3)/patient00001/study2/view1_frontal.jpg")
    images = [f"train/patient00001/study{n}/view1_frontal.jpg" for n in (1, 2, 3)]
    write_table(tmp_path / FIRST_BATCH / "train.csv", images)
    batches = [r.path.partition("/")[0][14:21] for r in read_dataset(tmp_path).records[:3]]
    assert batches == ["batch 2", "batch 4", "batch 2"]  # the third is nowhere: the first batch


def test_one_image_in_two_batches_is_refused_unless_it_is_one_file(tmp_path):
    make_download(tmp_path)
    first, fourth = (f"CheXpert-v1.0 batch {part}" for part in ("2 (train 1)", "4 (train 3)"))
    (tmp_path / fourth / "patient00001/study1").mkdir(parents=True)
    other = tmp_path / fourth / "patient00001" / IMAGE
    other.hardlink_to(tmp_path / first / "patient00001" / IMAGE)
    assert read_dataset(tmp_path).records[0].path == f"{first}/patient00001/{IMAGE}"
    other.unlink()
    other.touch()
    with pytest.raises(DataError, match="1 image is there twice") as caught:
        read_dataset(tmp_path)
    assert f"{first}/patient00001/{IMAGE} or {fourth}/patient00001/{IMAGE}" in str(caught.value)


@pytest.mark.parametrize("inside", ["", "CheXpert-v1.0-small/"])
def test_one_image_in_valid_and_in_val_is_refused(tmp_path, inside):
    write_table(tmp_path / "train.csv", [f"train/patient00001/{IMAGE}"])
    images = [f"valid/patient6454{n}/{IMAGE}" for n in (1, 2)]
    write_table(tmp_path / "valid.csv", images)
    root = tmp_path / inside
    touch(root / "valid/patient64541" / IMAGE, root / "val/patient64542" / IMAGE)
    paths = [record.path for record in read_dataset(tmp_path).records if record.split == "test"]
    assert paths == [f"{inside}valid/patient64541/{IMAGE}", f"{inside}val/patient64542/{IMAGE}"]
    touch(root / "val/patient64541" / IMAGE)
    words = rf"1 image is there twice.*{inside}valid/patient64541/.* or {inside}val/patient64541/"
    with pytest.raises(DataError, match=words):
        read_dataset(tmp_path)


def test_patients_of_a_batch_that_was_not_fetched_are_counted(tmp_path):
    make_download(tmp_path)
    (tmp_path / "CheXpert-v1.0 batch 3 (train 2)").rename(tmp_path.parent / "elsewhere")
    dataset = read_dataset(tmp_path)
    assert "train.csv: 1 of 5 patients have no folder on disk." in dataset.notes
    assert dataset.records[2].path == f"train/patient21514/{IMAGE}"


def test_paths_that_name_the_batch_instead_of_the_split_are_read(tmp_path):
    make_download(tmp_path)
    images = [f"{batch}/{name}/{IMAGE}" for batch, names in BATCHES.items() for name in names]
    write_table(tmp_path / "train.csv", images, prefix="")
    dataset = read_dataset(tmp_path)
    assert [record.path for record in dataset.records][:5] == images


def test_the_table_may_lie_above_its_tree(tmp_path):
    touch(tmp_path / "CheXpert-v1.0-small/train/patient00001" / IMAGE)
    touch(tmp_path / "CheXpert-v1.0-small/valid/patient64541" / IMAGE)
    write_table(tmp_path / "train.csv", [f"train/patient00001/{IMAGE}"])
    write_table(tmp_path / "valid.csv", [f"valid/patient64541/{IMAGE}"])
    dataset = read_dataset(tmp_path)
    assert dataset.root == tmp_path
    assert dataset.records[0].path == f"CheXpert-v1.0-small/train/patient00001/{IMAGE}"
    assert all_found(dataset)


def test_of_two_trees_below_the_table_the_one_that_it_names_is_taken(tmp_path):
    for name in ("CheXpert-v1.0", "CheXpert-v1.0-small"):
        touch(tmp_path / name / "train/patient00001" / IMAGE)
    write_table(tmp_path / "train.csv", [f"train/patient00001/{IMAGE}"], "CheXpert-v1.0-small")
    (record,) = read_dataset(tmp_path).records
    assert record.path == f"CheXpert-v1.0-small/train/patient00001/{IMAGE}"
    write_table(tmp_path / "train.csv", [f"train/patient00001/{IMAGE}"], "elsewhere")
    with pytest.raises(
        DataError, match=r"train images lie in CheXpert-v1.0/train, CheXpert-v1.0-s"
    ):
        read_dataset(tmp_path)


def test_patients_right_beside_the_table_are_found(tmp_path):
    touch(tmp_path / "patient00001" / IMAGE)
    write_table(tmp_path / "train.csv", [f"train/patient00001/{IMAGE}"])
    (record,) = read_dataset(tmp_path).records
    assert record.path == f"patient00001/{IMAGE}"


# --- other tables of training labels


def make_labelled(folder: Path, name="train_cheXbert.csv", where="."):
    """Lay out a -small tree with train.csv and other labels, whose paths name the full size."""
    images = [f"train/patient00001/{IMAGE}"]
    write_table(folder / "train.csv", images, "CheXpert-v1.0-small")
    touch(folder / "train/patient00001" / IMAGE)
    states = {"Edema": "-1.0", "Fracture": ""} if "visual" not in name else {"Edema": "1"}
    write_table(folder / where / name, images, "CheXpert-v1.0", **states)


@pytest.mark.parametrize("where", [".", "..", "labels"])
def test_the_table_of_training_labels_is_chosen_by_name(tmp_path, where):
    folder = tmp_path / "CheXpert-v1.0-small"
    make_labelled(folder, where=where)
    plain = read_dataset(folder, labels=["Edema", "Fracture"]).records[0]
    dataset = read_dataset(folder, labels=["Edema", "Fracture"], label_table="train_cheXbert.csv")
    assert plain.labels == (NEGATIVE, NEGATIVE)
    assert dataset.records[0].labels == (UNCERTAIN, BLANK)
    assert dataset.records[0].path == plain.path
    assert "labels are those of train_cheXbert.csv, not of train.csv" in dataset.notes[0]


def test_dense_labels_are_read_as_they_are(tmp_path):
    make_labelled(tmp_path, "train_visualCheXbert.csv")
    dataset = read_dataset(
        tmp_path, labels=["Edema", "Fracture"], label_table="train_visualCheXbert.csv"
    )
    assert dataset.records[0].labels == (POSITIVE, NEGATIVE)


def test_the_download_has_the_other_labels_above_its_batches(tmp_path):
    make_download(tmp_path)
    images = [f"train/{name}/{IMAGE}" for names in BATCHES.values() for name in names]
    write_table(tmp_path / "train_cheXbert.csv", images, Edema="-1")
    write_table(tmp_path / "train_visualCheXbert.csv", images, Edema="1")
    states = [
        read_dataset(root, labels=["Edema"], label_table=table).records[0].labels
        for root in (tmp_path, tmp_path / FIRST_BATCH)
        for table in (None, "train_cheXbert.csv", "train_visualCheXbert.csv")
    ]
    assert states == [(NEGATIVE,), (UNCERTAIN,), (POSITIVE,)] * 2


def test_other_labels_of_the_train_images_are_no_split_of_their_own(tmp_path):
    make_labelled(tmp_path)
    (tmp_path / "train.csv").write_text((tmp_path / "train.csv").read_text().replace("0.0", "9"))
    report = check_data(tmp_path, labels_only=True)  # train.csv cannot be read
    assert [finding.kind for finding in report.problems] == ["table"]


def test_without_train_csv_the_only_other_table_is_taken_and_said(tmp_path):
    make_labelled(tmp_path)
    (tmp_path / "train.csv").unlink()
    dataset = read_dataset(tmp_path)
    assert "There is no train.csv: the training labels are those of train_cheXbert.csv." in (
        dataset.notes
    )
    write_table(tmp_path / "train_visualCheXbert.csv", [f"train/patient00001/{IMAGE}"])
    with pytest.raises(DataError, match=r"no train\.csv, and both .* Say which labels to train on"):
        read_dataset(tmp_path)
    assert read_dataset(tmp_path, label_table="train_visualCheXbert.csv").records


def test_a_table_of_labels_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    make_labelled(tmp_path)
    with pytest.raises(DataError, match=r"no table of\.csv here.*there is train.csv, train_cheXb"):
        read_dataset(tmp_path, label_table="of.csv")


def test_the_table_of_labels_may_be_the_only_table(tmp_path):
    write_table(tmp_path / "mine.csv", [f"train/patient00001/{IMAGE}"], Edema="1")
    dataset = read_dataset(tmp_path, labels=["Edema"], label_table="mine.csv")
    assert dataset.records[0].labels == (POSITIVE,)


# --- columns


def test_underscored_headers_in_any_order_are_read(tmp_path):
    write_table(tmp_path / "train.csv", [f"train/patient00001/{IMAGE}"], No_Finding="1.0")
    plain = read_dataset(tmp_path)
    lines = [line.split(",") for line in (tmp_path / "train.csv").read_text().splitlines()]
    lines[0] = [name.replace(" ", "_").replace("/", "_") for name in lines[0]]
    (tmp_path / "train.csv").write_text("\n".join(",".join(line[::-1]) for line in lines))
    assert "No_Finding" in (tmp_path / "train.csv").read_text()
    assert read_dataset(tmp_path).records == plain.records


def test_absolute_paths_as_jfhealthcare_writes_them_are_refused_with_the_mend(tmp_path):
    write_table(tmp_path / "train.csv", [f"/data/train/patient00001/{IMAGE}"], prefix="")
    with pytest.raises(
        DataError, match=r"\(row 2\) would leave .* Paths must be relative"
    ) as caught:
        read_dataset(tmp_path)
    assert caught.value.exit_code == 3


def test_a_column_is_kept_as_the_attribute(tmp_path):
    write_table(tmp_path / "train.csv", [f"train/patient00001/{IMAGE}"])
    write_table(tmp_path / "valid.csv", [f"valid/patient64541/{IMAGE}"])
    text = (tmp_path / "train.csv").read_text().splitlines()
    (tmp_path / "train.csv").write_text(f"Hospital,{text[0]}\nNorth,{text[1]}\n")
    kept = read_dataset(tmp_path, column="Hospital").records
    assert [record.attribute for record in kept] == ["North", ""]  # valid.csv has none
    assert [r.attribute for r in read_dataset(tmp_path, column="AP_PA").records] == ["AP", "AP"]
    with pytest.raises(RecordError, match=r"missing column 'Hopsital' .did you mean 'Hospital'"):
        read_dataset(tmp_path, column="Hopsital")


# --- the 2022 test set and CheXlocalize


def make_studies(path: Path, studies, labels=CHEXPERT_LABELS):
    lines = [",".join(["Study", *labels])]
    for study in studies:
        cells = ["1" if label == "Lung Lesion" else "0" for label in labels]
        lines.append(",".join([f"CheXpert-v1.0/test/{study}", *cells]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("name", ["groundtruth.csv", "test/groundtruth.csv"])
def test_labels_by_study_are_those_of_each_of_its_images(tmp_path, name):
    write_table(tmp_path / "train.csv", [f"train/patient00001/{IMAGE}"])
    folder = tmp_path / "test/patient64741/study1"
    touch(folder / "view1_frontal.jpg", folder / "view2_lateral.jpg", folder / "notes.txt")
    swapped = [*CHEXPERT_LABELS]
    swapped[3], swapped[4] = swapped[4], swapped[3]  # as radiologists/*/bc4.csv have them
    make_studies(tmp_path / name, ["patient64741/study1", "patient64742/study1"], swapped)
    dataset = read_dataset(tmp_path, labels=["Lung Lesion", "Lung Opacity"])
    test = [record for record in dataset.records if record.split == "test"]
    assert [(r.path, r.view) for r in test] == [
        ("test/patient64741/study1/view1_frontal.jpg", "frontal"),
        ("test/patient64741/study1/view2_lateral.jpg", "lateral"),
        ("test/patient64742/study1/view1_frontal.jpg", "frontal"),  # missing: the cache says so
    ]
    assert {record.labels for record in test} == {(POSITIVE, NEGATIVE)}


@pytest.mark.parametrize("name", ["view1_frontal.png", "view1_frontal.JPG", "view1_frontal.dcm"])
def test_a_view_of_a_study_in_two_files_is_refused_unless_they_are_one(tmp_path, name):
    write_table(tmp_path / "train.csv", [f"train/patient00001/{IMAGE}"])
    make_studies(tmp_path / "groundtruth.csv", ["patient64741/study1"])
    folder = tmp_path / "test/patient64741/study1"
    touch(folder / "view1_frontal.jpg", folder / name)
    with pytest.raises(
        DataError, match=r"study1/view1_frontal\.\w+ or .*view1_frontal\.\w+\. Move"
    ):
        read_dataset(tmp_path)
    (folder / name).unlink()
    (folder / name).hardlink_to(folder / "view1_frontal.jpg")
    assert sum(record.split == "test" for record in read_dataset(tmp_path).records) == 1


def test_a_study_that_is_labelled_twice_is_refused_with_its_rows(tmp_path):
    write_table(tmp_path / "train.csv", [f"train/patient00001/{IMAGE}"])
    folder = tmp_path / "test/patient64741"
    touch(*(folder / f"study{n}/view{v}_frontal.jpg" for n in (1, 2) for v in (1, 2)))
    path = tmp_path / "groundtruth.csv"
    make_studies(path, ["patient64741/study1", "patient64741/study2", "patient64741/study2"])
    assert "groundtruth.csv: 2 repeated rows left out." in read_dataset(tmp_path).notes
    rows = path.read_text().splitlines()
    path.write_text("\n".join([*rows[:-1], rows[-1].replace(",1", ",0")]))
    with pytest.raises(RecordError, match=r"groundtruth.csv: rows 3, 4 are the same image"):
        read_dataset(tmp_path)


def test_every_view_of_a_study_is_read_whatever_its_ending(tmp_path):
    write_table(tmp_path / "train.csv", [f"train/patient00001/{IMAGE}"])
    make_studies(tmp_path / "groundtruth.csv", ["patient64741/study1"])
    folder = tmp_path / "test/patient64741/study1"
    touch(*(folder / name for name in ("view1_frontal.jpeg", "view2_lateral.JPG", "view3.txt")))
    test = [record for record in read_dataset(tmp_path).records if record.split == "test"]
    assert [record.path[25:] for record in test] == ["view1_frontal.jpeg", "view2_lateral.JPG"]


def test_a_study_of_the_test_labels_may_lie_in_the_patient_s_second_folder(tmp_path):
    make_download(tmp_path)
    make_studies(tmp_path / FIRST_BATCH / "groundtruth.csv", ["patient64741/study2"])
    for part, study in ((5, 1), (6, 2)):
        batch = tmp_path / f"CheXpert-v1.0 batch {part} (test)"
        touch(batch / f"patient64741/study{study}/view1_frontal.jpg")
    (test,) = [record for record in read_dataset(tmp_path).records if record.split == "test"]
    assert test.path == "CheXpert-v1.0 batch 6 (test)/patient64741/study2/view1_frontal.jpg"


def test_test_labels_without_test_images_are_left_out_and_that_is_said(tmp_path):
    write_table(tmp_path / "train.csv", [f"train/patient00001/{IMAGE}"])
    write_table(tmp_path / "valid.csv", [f"valid/patient64541/{IMAGE}"])
    make_studies(tmp_path / "groundtruth.csv", ["patient64741/study1"])
    dataset = read_dataset(tmp_path)
    assert [record.split for record in dataset.records] == ["train", "test"]
    assert "groundtruth.csv is left out: there are no test images." in dataset.notes


def test_among_batches_the_test_labels_need_test_images_too(tmp_path):
    make_download(tmp_path)
    make_studies(tmp_path / FIRST_BATCH / "groundtruth.csv", ["patient64741/study1"])
    assert "patient64541" in {r.patient_id for r in read_dataset(tmp_path).records}
    touch(tmp_path / "CheXpert-v1.0 batch 5 (test)/patient64741" / IMAGE)
    test = [record for record in read_dataset(tmp_path).records if record.split == "test"]
    assert [record.path for record in test] == [
        f"CheXpert-v1.0 batch 5 (test)/patient64741/{IMAGE}"
    ]


@pytest.mark.parametrize("prefix", ["", "CheXpert"])
def test_the_images_of_chexlocalize_can_be_evaluated_on(tmp_path, prefix):
    folder = tmp_path / "chexlocalize/CheXpert"
    write_table(folder / "val_labels.csv", [f"val/patient64541/{IMAGE}"], prefix, Lung_Lesion="1.0")
    lateral = "test/patient64741/study1/view2_lateral.jpg"
    write_table(folder / "test_labels.csv", [lateral], prefix, described=False, Edema="1")
    touch(folder / "val/patient64541" / IMAGE, folder / lateral)
    for root in (folder, tmp_path / "chexlocalize"):
        dataset = read_dataset(root, labels=["Edema", "Lung Lesion"])
        test, val = dataset.records
        assert (test.split, test.view, test.sex, test.age) == ("test", "lateral", "", None)
        assert (val.split, val.view, val.sex, val.age) == ("val", "frontal", "M", 60)
        assert (test.labels, val.labels) == ((POSITIVE, NEGATIVE), (NEGATIVE, POSITIVE))
        assert dataset.root == folder
        assert all_found(dataset)
        assert [(one.split, one.kind, one.files) for one in dataset.official] == [
            ("test", "chexpert-test-2022", ("test_labels.csv",)),
            ("val", "chexpert-valid", ("val_labels.csv",)),
        ]


def test_valid_paths_are_found_in_the_folder_that_chexlocalize_calls_val(tmp_path):
    write_table(tmp_path / "val_labels.csv", [f"valid/patient64541/{IMAGE}"])
    touch(tmp_path / "val/patient64541" / IMAGE)
    (record,) = read_dataset(tmp_path).records
    assert (record.path, record.split) == (f"val/patient64541/{IMAGE}", "test")


def test_a_test_table_without_labels_is_refused(tmp_path):
    write_table(tmp_path / "train.csv", [f"train/patient00001/{IMAGE}"])
    touch(tmp_path / "test/patient64741" / IMAGE)
    (tmp_path / "groundtruth.csv").write_text("Study,Edema\ntest/patient64741/study1,1\n")
    with pytest.raises(RecordError, match=r"groundtruth\.csv: row 1: missing columns 'No Finding'"):
        read_dataset(tmp_path)
