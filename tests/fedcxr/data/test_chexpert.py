from pathlib import Path

import pytest

from fedcxr.data.labels import BLANK, CHEXPERT_LABELS, NEGATIVE, POSITIVE, UNCERTAIN
from fedcxr.data.read import read_dataset
from fedcxr.data.records import OfficialSet
from fedcxr.errors import ConfigError, DataError, RecordError

HEADER = "Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(CHEXPERT_LABELS)
PREFIX = "CheXpert-v1.0-small"


def row(name, *, sex="Female", age="68", view="Frontal", projection="AP", **states):
    cells = [states.get(label.replace(" ", "_"), "") for label in CHEXPERT_LABELS]
    return ",".join([f"{PREFIX}/{name}", sex, age, view, projection, *cells])


TRAIN_ROWS = [
    row("train/patient00001/study1/view1_frontal.jpg", Edema="1.0", Fracture="0.0"),
    row("train/patient00002/study2/view1_frontal.jpg", Edema="-1.0", sex="Male"),
    row("train/patient00002/study2/view2_lateral.jpg", view="Lateral", projection=""),
]
VALID_ROWS = [row("valid/patient64541/study1/view1_frontal.jpg", Edema="0.0")]


def make_tree(folder: Path, train=TRAIN_ROWS, valid=VALID_ROWS, header=HEADER) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.csv").write_text("\n".join([header, *train]) + "\n")
    if valid is not None:
        (folder / "valid.csv").write_text("\n".join([HEADER, *valid]) + "\n")
    return folder


def test_a_row_keeps_the_four_states_of_a_label_apart(tmp_path):
    dataset = read_dataset(make_tree(tmp_path))
    first, second = dataset.records[:2]
    by_label = dict(zip(dataset.labels, first.labels, strict=True))
    assert (by_label["Edema"], by_label["Fracture"]) == (POSITIVE, NEGATIVE)
    assert by_label["Pneumonia"] == BLANK
    assert second.labels[dataset.labels.index("Edema")] == UNCERTAIN


def test_a_record_says_who_when_and_how(tmp_path):
    first, _, lateral, valid = read_dataset(make_tree(tmp_path)).records
    assert (first.patient_id, first.study_id) == ("patient1", "patient1/study1")
    assert first.path == "train/patient00001/study1/view1_frontal.jpg"
    assert (first.view, first.projection, first.sex, first.age) == ("frontal", "AP", "F", 68)
    assert (lateral.view, lateral.projection) == ("lateral", "")
    assert (first.split, valid.split) == ("train", "test")
    assert (first.source, first.attribute) == ("chexpert", "")


def test_the_folder_and_its_parent_give_the_same_records(tmp_path):
    folder = make_tree(tmp_path / "any name")
    inside, above = read_dataset(folder), read_dataset(tmp_path)
    assert inside.root == above.root == folder
    assert inside.records == above.records


def test_full_resolution_paths_and_integer_labels_are_read(tmp_path):
    line = row("train/patient00001/study1/view1_frontal.jpg", Edema="1", Fracture="-1")
    folder = make_tree(tmp_path, [line.replace(PREFIX, "CheXpert-v1.0")])
    record = read_dataset(folder, labels=["Edema", "Fracture"]).records[0]
    assert record.labels == (POSITIVE, UNCERTAIN)
    assert record.path == "train/patient00001/study1/view1_frontal.jpg"


def test_the_valid_set_is_the_official_test_set(tmp_path):
    dataset = read_dataset(make_tree(tmp_path))
    assert dataset.official == (OfficialSet("test", "chexpert-valid", ("valid.csv",), "chexpert"),)


def test_without_a_valid_set_there_is_no_official_test_set(tmp_path):
    dataset = read_dataset(make_tree(tmp_path, valid=None))
    assert {record.split for record in dataset.records} == {"train"}
    assert dataset.official == ()
    assert "There is no valid.csv." in dataset.notes


def test_a_valid_table_without_rows_is_no_official_test_set(tmp_path):
    dataset = read_dataset(make_tree(tmp_path, valid=[]))
    assert dataset.official == ()
    assert "valid.csv has no rows." in dataset.notes


def test_a_valid_set_of_lateral_views_is_none_under_frontal_views(tmp_path):
    lateral = row("valid/patient64541/study1/view2_lateral.jpg", view="Lateral", projection="")
    folder = make_tree(tmp_path, valid=[lateral])
    assert len(read_dataset(folder).official) == 1
    dataset = read_dataset(folder, views="frontal")
    assert dataset.official == ()
    assert "valid.csv has no frontal image." in dataset.notes


def test_a_valid_table_cut_out_of_train_is_not_the_official_valid_set(tmp_path):
    rows = [row("train/patient00003/study1/view1_frontal.jpg"), *VALID_ROWS]
    dataset = read_dataset(make_tree(tmp_path, valid=rows))
    assert dataset.official == (OfficialSet("test", "table", ("valid.csv",), "chexpert"),)
    assert "valid.csv: by their paths 1 of 2 rows are not of valid/." in dataset.notes


def test_valid_images_among_the_training_rows_are_told_of(tmp_path):
    dataset = read_dataset(make_tree(tmp_path, train=[*TRAIN_ROWS, *VALID_ROWS], valid=None))
    assert "train.csv: by their paths 1 of 4 rows are not of train/." in dataset.notes
    assert dataset.records[3].path.startswith("valid/")
    assert dataset.records[3].split == "train"


def test_an_empty_table_of_2022_leaves_the_valid_set_to_be_tested_on(tmp_path):
    folder = make_tree(tmp_path)
    (folder / "test/patient64741/study1").mkdir(parents=True)
    (folder / "groundtruth.csv").write_text(f"Study,{','.join(CHEXPERT_LABELS)}\n")
    dataset = read_dataset(folder)
    assert [one.kind for one in dataset.official] == ["chexpert-valid"]
    assert "groundtruth.csv has no rows." in dataset.notes


def test_a_second_table_of_the_same_set_is_told_of(tmp_path):
    folder = make_tree(tmp_path)
    (folder / "val_labels.csv").write_text("\n".join([HEADER, *VALID_ROWS]) + "\n")
    dataset = read_dataset(folder)
    assert "The table is valid.csv; val_labels.csv beside it is not read." in dataset.notes


def test_the_2022_test_labels_take_the_place_of_the_valid_set(tmp_path):
    folder = make_tree(tmp_path)
    study = folder / "test/patient64741/study1"
    study.mkdir(parents=True)
    (study / "view1_frontal.jpg").touch()
    (study / "view2_lateral.jpg").touch()
    cells = ",".join("1" if label == "Edema" else "0" for label in CHEXPERT_LABELS)
    (folder / "groundtruth.csv").write_text(
        f"Study,{','.join(CHEXPERT_LABELS)}\nCheXpert-v1.0/test/patient64741/study1,{cells}\n"
    )
    dataset = read_dataset(folder, labels=["Edema"])
    test = [record for record in dataset.records if record.split == "test"]
    assert [record.view for record in test] == ["frontal", "lateral"]
    assert {record.patient_id for record in test} == {"patient64741"}
    assert all(record.labels == (POSITIVE,) for record in test)
    assert [r.split for r in dataset.records if r.patient_id == "patient64541"] == ["val"]
    assert dataset.official == (
        OfficialSet("test", "chexpert-test-2022", ("groundtruth.csv",), "chexpert"),
        OfficialSet("val", "chexpert-valid", ("valid.csv",), "chexpert"),
    )


def test_frontal_leaves_lateral_views_out(tmp_path):
    dataset = read_dataset(make_tree(tmp_path), views="frontal")
    assert [record.view for record in dataset.records] == ["frontal"] * 3


def test_a_subset_of_labels_keeps_the_order_asked_for(tmp_path):
    dataset = read_dataset(make_tree(tmp_path), labels=["Fracture", "Edema"])
    assert dataset.labels == ("Fracture", "Edema")
    assert dataset.records[0].labels == (NEGATIVE, POSITIVE)


def test_an_unknown_label_is_refused_with_the_nearest_one(tmp_path):
    with pytest.raises(ConfigError, match=r"'Pneumotorax' \(did you mean 'Pneumothorax'"):
        read_dataset(make_tree(tmp_path), labels=["Pneumotorax"])
    with pytest.raises(ConfigError, match="each label once"):
        read_dataset(make_tree(tmp_path), labels=["Edema", "Edema"])


def test_a_missing_column_is_named_with_the_nearest_one(tmp_path):
    # row 1 of the bad-input table
    folder = make_tree(tmp_path, header=HEADER.replace("Path", "path_").replace("Edema", "Oedema"))
    with pytest.raises(RecordError, match=r"'Path' .did you mean 'path_'.*'Edema' .*'Oedema'"):
        read_dataset(folder)


@pytest.mark.parametrize("value", ["2.0", "yes", "1e9", "nan", " ", "-2", "01"])
def test_a_label_outside_its_vocabulary_is_refused_with_its_rows(tmp_path, value):
    # row 2 of the bad-input table
    good = [row(f"train/patient{i:05d}/study1/view1_frontal.jpg") for i in range(20)]
    bad = [
        row(f"train/patient{i:05d}/study1/view1_frontal.jpg", Edema=value) for i in range(20, 32)
    ]
    with pytest.raises(RecordError) as caught:
        read_dataset(make_tree(tmp_path, good + bad))
    # Twenty good rows after the header: the first bad one is row 22 of the file.
    assert (
        "12 rows with a wrong 'Edema' (row 22, 23, 24, 25, 26, 27, 28, 29, 30, 31 and 2 more)"
        in (str(caught.value))
    )
    assert "expected 1, 0, -1 or blank" in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "CheXpert-v1.0-small/train/patient00001/../../../x/view1_frontal.jpg",
        "C:/train/patient00001/study1/view1_frontal.jpg",
        "train\\patient00001\\study1\\view1_frontal.jpg",
        "",
    ],
)
def test_a_path_that_would_leave_the_folder_is_refused(tmp_path, path):
    line = row("x").replace(f"{PREFIX}/x", path)
    with pytest.raises(
        DataError, match=r"train.csv: 1 path in column 'Path' \(row 2\) would leave"
    ):
        read_dataset(make_tree(tmp_path, [line]))


@pytest.mark.parametrize(
    "path", ["images/one.jpg", "train/patient00001/study1/view1_frontal.jpg ", "patient١/study1/x"]
)
def test_a_path_of_another_shape_is_refused(tmp_path, path):
    with pytest.raises(RecordError, match=r"wrong 'Path'.*expected like"):
        read_dataset(make_tree(tmp_path, [row(path)]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sex": "W"}, "Female, Male, Unknown"),
        ({"age": "-3"}, "whole years"),
        ({"age": "151"}, "whole years"),
        ({"view": "Oblique"}, "Frontal or Lateral"),
        ({"projection": "XX"}, "AP, PA, LL, RL"),
    ],
)
def test_other_wrong_cells_are_refused(tmp_path, change, words):
    line = row("train/patient00001/study1/view1_frontal.jpg", **change)
    with pytest.raises(RecordError, match=words):
        read_dataset(make_tree(tmp_path, [line]))


def test_the_one_unknown_sex_and_the_rare_projections_are_read(tmp_path):
    line = row(
        "train/patient00001/study1/view1_frontal.jpg", sex="Unknown", projection="LL", age=""
    )
    record = read_dataset(make_tree(tmp_path, [line])).records[0]
    assert (record.sex, record.projection, record.age) == ("", "LL", None)


def test_a_byte_order_mark_and_crlf_are_accepted(tmp_path):
    folder = make_tree(tmp_path)
    plain = read_dataset(folder).records
    text = (folder / "train.csv").read_text()
    (folder / "train.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert read_dataset(folder).records == plain


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (HEADER.encode("utf-16"), "UTF-16"),
        (HEADER.encode() + b"\n\xff\xfe\xfd", "not UTF-8"),
        (HEADER.encode() + b"\n" + b"x" * 1_000_000, "row 2: a field of more than 100,000 char"),
        (HEADER.encode() + b"\na,b\n", r"without exactly 19 fields.*the first has 2"),
        (HEADER.encode() + b",Edema\n", "'?Edema'? is there twice"),
        (b"", "empty"),
    ],
)
def test_a_file_that_is_no_rectangular_utf8_table_is_refused(tmp_path, data, words):
    folder = make_tree(tmp_path)
    (folder / "train.csv").write_bytes(data)
    with pytest.raises(RecordError, match=words):
        read_dataset(folder)


def test_a_repeated_row_is_left_out_and_counted(tmp_path):
    dataset = read_dataset(make_tree(tmp_path, [*TRAIN_ROWS, TRAIN_ROWS[0]]))
    assert len(dataset.records) == 4
    assert "1 repeated row" in " ".join(dataset.notes)


def test_one_image_with_two_truths_is_refused(tmp_path):
    other = row("train/patient00001/study1/view1_frontal.jpg", Edema="0.0")
    with pytest.raises(RecordError, match="rows 2, 5 are the same image with different values"):
        read_dataset(make_tree(tmp_path, [*TRAIN_ROWS, other]))


def test_boxes_beside_the_tables_are_read_as_fractions(tmp_path):
    folder = make_tree(tmp_path)
    (folder / "boxes.csv").write_text(
        "path,label,x,y,width,height\n"
        f"{PREFIX}/valid/patient64541/study1/view1_frontal.jpg,Edema,0.25,0.5,0.125,0.25\n"
        f"{PREFIX}/valid/patient64541/study1/view1_frontal.jpg,Fracture,0,0,1,1\n"
    )
    (box,) = read_dataset(folder, labels=["Edema"]).boxes
    assert box.path == "valid/patient64541/study1/view1_frontal.jpg"
    assert (box.label, box.x, box.y, box.width, box.height) == ("Edema", 0.25, 0.5, 0.125, 0.25)


def test_a_folder_without_a_data_set_says_what_is_looked_for(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"neither CheXpert \(train.csv\).*there is notes.txt"):
        read_dataset(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        read_dataset(tmp_path / "absent")


def test_two_data_sets_in_one_folder_have_to_be_chosen_from(tmp_path):
    make_tree(tmp_path / "a")
    make_tree(tmp_path / "b")
    with pytest.raises(DataError, match="several data sets"):
        read_dataset(tmp_path)


@pytest.mark.real
def test_the_sample_in_chexpert_layout_is_read(sample_data):
    dataset = read_dataset(sample_data / "chexpert_layout_nih_pixels")
    splits = [record.split for record in dataset.records]
    assert (splits.count("train"), splits.count("test")) == (169, 50)
    assert all((dataset.root / record.path).is_file() for record in dataset.records)
