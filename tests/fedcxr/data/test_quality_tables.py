import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fedcxr.data.labels import BLANK, CHEXPERT_LABELS, NEGATIVE, NIH14_LABELS, POSITIVE, UNCERTAIN
from fedcxr.data.quality.check import check_data
from fedcxr.data.quality.splits import compare_splits, given_splits
from fedcxr.data.quality.tables import table_findings
from fedcxr.data.records import DataSet, Record
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.errors import DataError, RecordError

PLAIN = Record(
    patient_id="patient00001",
    study_id="patient00001/study1",
    path="train/patient00001/study1/view1_frontal.jpg",
    view="frontal",
    projection="AP",
    sex="F",
    age=50,
    split="train",
    labels=(NEGATIVE,) * 14,
)


def image(patient=1, study=1, **changes):
    who = f"patient{patient:05d}"
    path = f"train/{who}/study{study}/view1_frontal.jpg"
    return replace(
        PLAIN, **({"patient_id": who, "study_id": f"{who}/study{study}", "path": path} | changes)
    )


def labels(**states):
    """Return 14 states: those named, spaces as underscores, and negative for the others."""
    named = {name.replace("_", " "): state for name, state in states.items()}
    return tuple(named.get(label, NEGATIVE) for label in CHEXPERT_LABELS)


def found(*records, layout="chexpert"):
    dataset = DataSet(Path("tree"), layout, CHEXPERT_LABELS, records)
    return {finding.kind: finding for finding in table_findings(dataset)}


def test_consistent_records_have_nothing_but_one_class():
    assert set(found(image(1), image(2))) == {"one-class-label"}


def test_a_name_that_says_another_patient_is_a_problem():
    finding = found(image(1), image(2, patient_id="patient00001"))["patient-mismatch"]
    assert (finding.severity, finding.count) == ("problem", 1)
    assert finding.examples == ("train/patient00002/study1/view1_frontal.jpg",)
    nih = image(path="images/00000013_002.png", patient_id="12")
    assert found(nih, layout="nih14")["patient-mismatch"].count == 1
    right = image(path="images/00000013_002.png", patient_id="13")
    assert "patient-mismatch" not in found(right, layout="nih14")
    joined = image(path="nih14/images/00000013_002.png", patient_id="nih14/13")
    assert "patient-mismatch" not in found(joined, layout="joined")


def test_a_view_that_the_name_contradicts_is_a_problem():
    finding = found(image(1, view="lateral"), image(2))["view-mismatch"]
    assert (finding.severity, finding.count) == ("problem", 1)
    assert "(table: lateral)" in finding.examples[0]
    named_lateral = image(path="train/patient00001/study1/view2_lateral.jpg")
    assert found(named_lateral)["view-mismatch"].count == 1


def test_no_finding_beside_a_finding_is_told_but_not_beside_a_device():
    conflict = image(1, labels=labels(No_Finding=POSITIVE, Edema=POSITIVE))
    hedged = image(2, labels=labels(No_Finding=POSITIVE, Edema=UNCERTAIN))
    device = image(3, labels=labels(No_Finding=POSITIVE, Support_Devices=POSITIVE))
    kinds = found(conflict, hedged, device)
    assert kinds["no-finding-conflict"].severity == "notice"
    assert kinds["no-finding-conflict"].examples[0].endswith("view1_frontal.jpg (Edema)")
    assert kinds["no-finding-conflict"].count == 1
    assert (kinds["no-finding-hedged"].severity, kinds["no-finding-hedged"].count) == ("notice", 1)


def test_no_finding_that_is_never_negative_is_explained():
    kinds = found(
        image(1, labels=labels(No_Finding=POSITIVE)), image(2, labels=labels(No_Finding=BLANK))
    )
    finding = kinds["no-finding-never-negative"]
    assert (finding.severity, finding.count) == ("notice", 1)
    assert "never 0" in finding.text
    assert "blank: zeros" in finding.mend
    assert not any("No Finding" in line for line in kinds["one-class-label"].examples)
    negative = image(3, labels=labels(No_Finding=NEGATIVE))
    assert "no-finding-never-negative" not in found(*_positive_and_blank(), negative)


def _positive_and_blank():
    return (
        image(1, labels=labels(No_Finding=POSITIVE)),
        image(2, labels=labels(No_Finding=BLANK)),
    )


def test_a_label_with_one_class_is_named_with_its_split():
    positive = dict.fromkeys((label.replace(" ", "_") for label in CHEXPERT_LABELS), POSITIVE)
    both = [image(1), image(2, labels=labels(**positive))]
    test = [replace(record, split="test") for record in both]
    all_positive = replace(test[0], labels=labels(Edema=POSITIVE))
    kinds = found(*both, all_positive, test[1])
    assert kinds["one-class-label"].examples == ("Edema: no negative image in test",)


def test_views_of_a_study_should_share_their_labels():
    other = "train/patient00001/study1/view2_lateral.jpg"
    kinds = found(image(1), image(1, path=other, view="lateral", labels=labels(Edema=POSITIVE)))
    finding = kinds["study-labels-differ"]
    assert (finding.severity, finding.count) == ("notice", 1)


def test_sex_and_age_are_followed_over_the_visits():
    kinds = found(
        image(1, 1, age=60),
        image(1, 2, age=59),  # younger at the second visit
        image(2, 2, age=61),  # in the order of the rows it falls, by visit it does not
        image(2, 1, age=60),
        image(3, 1, sex="M"),
        image(3, 2, sex="F"),
        image(4, 1, sex=""),
        image(4, 2, sex="F"),
    )
    assert (kinds["age-goes-back"].severity, kinds["age-goes-back"].count) == ("notice", 1)
    assert (kinds["sex-changes"].severity, kinds["sex-changes"].count) == ("notice", 1)
    assert kinds["sex-changes"].examples[0].startswith("#")  # a hash, not the patient's number


def test_visits_of_nih_are_in_the_order_of_their_column():
    # as in Data_Entry_2017_v2020.csv: file _000 is the last visit
    last = image(path="images/00000003_000.png", patient_id="3", age=81, attribute="7")
    first = image(path="images/00000003_001.png", patient_id="3", age=74, attribute="0")
    last, first = (replace(r, study_id=r.path[7:-4]) for r in (last, first))
    assert "age-goes-back" not in found(last, first, layout="nih14")
    assert "age-goes-back" in found(last, replace(first, age=82), layout="nih14")
    unknown = [replace(r, attribute="") for r in (last, first)]
    assert "age-goes-back" not in found(*unknown, layout="nih14")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Tables and images of a small synthetic CheXpert, clean, not to be changed."""
    return write_synthetic(tmp_path_factory.mktemp("tables"), patients=20, size_px=32, workers=1)


@pytest.fixture
def copy(tree, tmp_path):
    return Path(shutil.copytree(tree, tmp_path / tree.name))


def kinds_of(folder, **options):
    report = check_data(folder, labels_only=True, **options)
    return {finding.kind: finding for finding in report.findings}, report


def rows_of(csv_path):
    with csv_path.open(newline="") as file:
        return list(csv.reader(file))


def write_rows(csv_path, rows):
    with csv_path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def test_a_table_that_cannot_be_read_is_a_finding_and_other_checks_go_on(copy):
    rows = rows_of(copy / "train.csv")
    rows[3][8] = "2.0"
    write_rows(copy / "train.csv", rows)
    kinds, report = kinds_of(copy)
    assert kinds["table"].severity == "problem"
    assert "row 4" in kinds["table"].text
    assert "expected 1, 0, -1 or blank" in kinds["table"].text
    assert (report.layout, report.labels) == ("files", ())
    assert report.num_images == sum(len(rows_of(copy / f"{n}.csv")) - 1 for n in ("train", "valid"))
    # the patients of the two tables are compared all the same
    assert [(p.first, p.second, p.shared_patients) for p in report.pairs] == [("train", "valid", 0)]


def test_a_patient_in_train_and_valid_is_a_leak(copy):
    rows = rows_of(copy / "valid.csv")
    train = rows_of(copy / "train.csv")
    rows[1][0] = train[1][0].replace("study1/view1", "study9/view1")
    write_rows(copy / "valid.csv", rows)
    kinds, report = kinds_of(copy)
    assert (kinds["patients-shared"].severity, kinds["patients-shared"].count) == ("problem", 1)
    assert "official splits" in kinds["patients-shared"].title
    assert "share 1 of test's" in kinds["patients-shared"].text
    assert "images-shared" not in kinds
    assert not report.is_clean


def test_a_file_with_a_split_column_is_compared(copy):
    names = [row[0] for row in rows_of(copy / "train.csv")[1:]]
    write_rows(
        copy / "my_split.csv",
        [["Path", "split"], *([name, ("train", "valid")[i % 2]] for i, name in enumerate(names))],
    )
    kinds, report = kinds_of(copy)
    pair = next(pair for pair in report.pairs if pair.group == "my_split.csv")
    patients = [name.split("/")[2] for name in names]
    expected = set(patients[::2]) & set(patients[1::2])
    assert pair.shared_patients == len(expected) == kinds["patients-shared"].count > 0
    assert "train row" in pair.examples[0]
    assert "valid row" in pair.examples[0]
    (copy / "my_split.csv").write_text("Path,split\na,b,c\n")
    kinds, _ = kinds_of(copy)
    assert "my_split.csv" in kinds["table"].text


def test_the_values_of_a_split_column_may_differ_in_case_and_blanks(tmp_path):
    write_rows(
        tmp_path / "mine.csv",
        [["PatientId", "split"], ["1", "train"], ["1", "Train "], ["2", "TEST"]],
    )
    (pair,) = compare_splits(given_splits([tmp_path / "mine.csv"], None))
    assert (pair.first, pair.second, pair.shared_patients) == ("train", "test", 0)


def test_a_visit_number_that_is_no_ascii_digit_is_no_visit():
    assert "age-goes-back" not in found(image(1, attribute="²"), image(1, 2, attribute="1"))


def test_given_files_are_a_split_each(copy, tmp_path):
    names = [row[0] for row in rows_of(copy / "train.csv")[1:]]
    one, two, three = (tmp_path / name for name in ("one.csv", "two.txt", "three.csv"))
    write_rows(one, [["Path"], [names[0]], [names[1]]])
    two.write_text("\n".join([names[0], ""]))
    write_rows(three, [["patient_id"], ["somebody"]])
    kinds, report = kinds_of(copy, splits=[one, two, three])
    given = {(p.first, p.second): p for p in report.pairs if p.group == "given splits"}
    assert given["one.csv", "two.txt"].shared_patients == 1
    assert given["one.csv", "two.txt"].shared_images == 1
    assert given["one.csv", "three.csv"].shared_patients == 0
    assert kinds["images-shared"].count == 1
    assert "one.csv and two.txt share 1 image." in kinds["images-shared"].text


def test_a_row_whose_patient_nobody_knows_is_said_to_be_left_out(copy, tmp_path):
    (tmp_path / "split.txt").write_text("holiday.jpg\n")
    kinds, _ = kinds_of(copy, splits=[tmp_path / "split.txt"])
    finding = kinds["split-unknown-patient"]
    assert (finding.severity, finding.count) == ("notice", 1)
    assert finding.examples == ("split.txt row 1: holiday.jpg",)


def test_a_split_file_that_says_nothing_is_refused(copy, tmp_path):
    (tmp_path / "split.csv").write_text("a,b\n1,2\n")
    with pytest.raises(RecordError, match=r"split\.csv: no column names images or patients.*a, b"):
        check_data(copy, labels_only=True, splits=[tmp_path / "split.csv"])
    with pytest.raises(RecordError, match="cannot be read as a list of image names"):
        check_data(copy, labels_only=True, splits=[tmp_path / "none.txt"])


def test_a_given_file_with_a_split_column_is_a_group_of_its_own(tmp_path):
    write_rows(
        tmp_path / "mine.csv",
        [["PatientId", "split"], ["1", "test"], ["1", "train"], ["2", "train"], ["3", ""]],
    )
    (pair,) = compare_splits(given_splits([tmp_path / "mine.csv"], None))
    assert (pair.group, pair.first, pair.second) == ("mine.csv", "train", "test")
    assert (pair.patients_of_first, pair.patients_of_second, pair.shared_patients) == (2, 1, 1)


def test_official_lists_with_a_common_image_are_a_finding(tmp_path):
    root = write_synthetic(tmp_path / "nih", patients=10, size_px=32, layout="nih14", workers=1)
    first = (root / "train_val_list.txt").read_text().split()[0]
    with (root / "test_list.txt").open("a") as file:
        file.write(f"\n{first}")
    kinds, report = kinds_of(root)
    assert "test_list.txt" in kinds["table"].text
    assert (kinds["patients-shared"].count, kinds["images-shared"].count) == (1, 1)
    assert report.layout == "files"


def onehot(folder, **tables):
    header = ["Image", *reversed(NIH14_LABELS), "PatientId"]
    for name, patients in tables.items():
        rows = [[f"{p:08d}_000.png", *(["0"] * 14), p] for p in patients]
        write_rows(folder / f"{name}.csv", [header, *rows])
    return folder


def test_leaking_one_hot_tables_are_counted_and_not_refused(tmp_path):
    folder = onehot(tmp_path, train=[1, 2, 3], valid=[3, 4], test=[5])
    kinds, report = kinds_of(folder)
    assert "table" not in kinds
    assert kinds["patients-shared"].count == kinds["images-shared"].count == 1
    assert "train and valid share 1 of valid's 2 patients." in kinds["patients-shared"].text
    # image 3 is in two tables and counts once
    assert (report.num_images, report.patients) == (5, 5)
    assert report.label_counts["all"]["Edema"]["negative"] == 5
    assert report.label_counts["train"]["Edema"]["negative"] == 3


def test_leaking_one_hot_tables_with_images_in_two_places_are_a_finding(tmp_path):
    folder = onehot(tmp_path, train=[1, 2, 3], valid=[3, 4])
    for place in ("images", "images_001"):
        (folder / place).mkdir()
        (folder / place / "00000001_000.png").touch()
    kinds, _ = kinds_of(folder)
    assert "1 image is there twice" in kinds["table"].text
    assert kinds["patients-shared"].count == 1


def test_two_tables_of_one_split_may_share_patients(tmp_path):
    folder = onehot(tmp_path, train_a=[1], train_b=[2], nih_test=[5])
    for name in ("train_a", "train_b"):
        rows = rows_of(folder / f"{name}.csv")
        rows.append(
            ["00000009_000.png" if name == "train_a" else "00000009_001.png", *rows[1][1:-1], 9]
        )
        write_rows(folder / f"{name}.csv", rows)
    kinds, report = kinds_of(folder)
    assert "patients-shared" not in kinds
    assert [(p.first, p.second) for p in report.pairs] == [
        ("train_a", "nih_test"),
        ("train_b", "nih_test"),
    ]


def test_a_table_name_that_says_two_splits_is_a_finding(tmp_path):
    kinds, _ = kinds_of(onehot(tmp_path, train_test=[1], valid=[2]))
    assert "its name says test and train" in kinds["table"].text


def test_disjoint_one_hot_tables_are_clean(tmp_path):
    _, report = kinds_of(onehot(tmp_path, train=[1, 2, 3], valid=[4], test=[5]))
    assert report.is_clean
    assert [pair.shared_patients for pair in report.pairs] == [0, 0, 0]


KEY = "patient64541_study1_view1_frontal"
MASKS = {KEY: {"Edema": {"size": [2, 3], "counts": "132"}}}
DRAWN = {"img_size": [2, 3], "Edema": [[[0, 0], [1, 0], [1, 1]]]}
CONTOURS = {KEY: DRAWN}


def outlines(folder, masks=MASKS, contours=CONTOURS):
    (folder / "gt_segmentations_val.json").write_text(json.dumps(masks))
    (folder / "gt_annotations_val.json").write_text(json.dumps(contours))
    return folder


def test_outlines_without_tables_are_checked_by_themselves(tmp_path):
    report = check_data(outlines(tmp_path))
    assert report.is_clean
    assert (report.layout, report.patients, report.num_images) == ("chexlocalize", 1, 1)
    assert report.label_counts["all"]["Edema"]["positive"] == 1
    assert report.images is None


def test_a_mask_that_does_not_fill_its_image_is_a_problem(tmp_path):
    broken = {KEY: {"Edema": {"size": [2, 4], "counts": "132"}}}
    kinds = {f.kind: f for f in check_data(outlines(tmp_path, masks=broken)).findings}
    assert kinds["outline"].severity == "problem"
    assert "fill 6 pixels, not 2 × 4" in kinds["outline"].examples[0]


@pytest.mark.parametrize(
    ("contours", "words"),
    [
        ({KEY: {"img_size": [2, 3]}}, "Edema is drawn in one file"),
        ({KEY: DRAWN | {"img_size": [9, 9]}}, "sizes (9, 9) and (2, 3)"),
        ({"patient1_study1_view1_frontal": {"img_size": [2, 3]}}, "in one file only"),
    ],
)
def test_contours_and_masks_should_agree(tmp_path, contours, words):
    kinds = {f.kind: f for f in check_data(outlines(tmp_path, contours=contours)).findings}
    assert kinds["outlines-disagree"].severity == "problem"
    assert words in " ".join(kinds["outlines-disagree"].examples)


def test_a_file_of_outlines_that_is_no_json_is_a_problem(tmp_path):
    outlines(tmp_path)
    (tmp_path / "gt_annotations_val.json").write_text("{")
    kinds = {f.kind: f for f in check_data(tmp_path).findings}
    assert "not readable JSON" in kinds["outline"].examples[0]


def test_outlines_beside_tables_are_checked_with_them(copy):
    kinds, report = kinds_of(outlines(copy))
    assert report.layout == "chexpert"
    # the synthetic valid set begins with patient64541 too, but this study has another view
    assert set(kinds) & {"outline", "outlines-disagree"} == set()
    other = {"patient99999_study1_view1_frontal": MASKS[KEY]}
    kinds, _ = kinds_of(outlines(copy, other, {}))
    assert kinds["outline-without-image"].examples == ("patient99999/study1/view1_frontal.jpg",)


def test_a_folder_without_data_is_refused(tmp_path):
    with pytest.raises(DataError, match="neither CheXpert"):
        check_data(tmp_path)
    with pytest.raises(DataError, match="there is no such folder"):
        check_data(tmp_path / "none")
