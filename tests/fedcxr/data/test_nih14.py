from pathlib import Path

import pytest

from fedcxr.data.labels import NEGATIVE, NIH14_LABELS, POSITIVE
from fedcxr.data.read import read_dataset
from fedcxr.data.records import OfficialSet
from fedcxr.errors import DataError, LeakError, RecordError

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
ROWS = [
    "00000001_000.png,Cardiomegaly|Emphysema,0,1,058Y,M,PA,2682,2749,0.143,0.143",
    "00000002_000.png,No Finding,0,00000002,80,F,AP,2500,2048,0.171,0.171",
    "00000002_001.png,Infiltration,1,2,81,F,AP,2500,2048,0.171,0.171",
]


def make_tree(folder: Path, rows=ROWS, header=HEADER, train=None, test=None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Data_Entry_2017_v2020.csv").write_text("\n".join([header, *rows]) + "\n")
    (folder / "images").mkdir(exist_ok=True)
    if train is not None:
        (folder / "train_val_list.txt").write_text("\n".join(train))  # NIH's has no last newline
    if test is not None:
        (folder / "test_list.txt").write_text("\n".join(test))
    return folder


def test_named_findings_are_positive_and_the_others_negative(tmp_path):
    dataset = read_dataset(make_tree(tmp_path))
    assert dataset.labels == NIH14_LABELS
    positives = [
        {n for n, state in zip(dataset.labels, r.labels, strict=True) if state == POSITIVE}
        for r in dataset.records
    ]
    assert positives == [{"Cardiomegaly", "Emphysema"}, set(), {"Infiltration"}]
    assert set(dataset.records[1].labels) == {NEGATIVE}


def test_a_record_says_who_when_and_how(tmp_path):
    first, second, third = read_dataset(make_tree(tmp_path)).records
    assert (first.age, first.sex, first.projection, first.view) == (58, "M", "PA", "frontal")
    assert second.patient_id == third.patient_id == "2"  # padded in one row, bare in the other
    assert second.study_id != third.study_id
    assert first.path == "images/00000001_000.png"
    assert (first.source, first.attribute) == ("nih14", "")


def test_the_attribution_that_nih_asks_for_is_in_the_notes(tmp_path):
    notes = " ".join(read_dataset(make_tree(tmp_path)).notes)
    assert "NIH Clinical Center" in notes
    assert "ChestX-ray8" in notes


def test_made_up_images_are_said_to_be_so_and_not_credited_to_nih(tmp_path):
    folder = make_tree(tmp_path)
    (folder / "synthetic.json").write_text("{}")
    notes = " ".join(read_dataset(folder).notes)
    assert "synthetic" in notes
    assert "NIH Clinical Center" not in notes


@pytest.mark.parametrize(
    ("train", "test", "splits"),
    [
        (
            ["00000002_000.png", "00000002_001.png"],
            ["00000001_000.png"],
            ["test", "train", "train"],
        ),
        (["00000001_000.png"], None, ["train", "test", "test"]),
        (None, ["00000001_000.png"], ["test", "train", "train"]),
        (None, None, ["", "", ""]),
    ],
)
def test_the_official_lists_are_kept_and_one_is_the_complement_of_the_other(
    tmp_path, train, test, splits
):
    dataset = read_dataset(make_tree(tmp_path, train=train, test=test))
    assert [record.split for record in dataset.records] == splits
    kind, file = (
        ("nih-test-list", "test_list.txt") if test else ("nih-unlisted", "train_val_list.txt")
    )
    expected = (OfficialSet("test", kind, (file,), "nih14"),) if train or test else ()
    assert dataset.official == expected


def test_a_test_list_of_other_images_is_no_official_test_set(tmp_path):
    every = [row.partition(",")[0] for row in ROWS]
    dataset = read_dataset(make_tree(tmp_path, train=every, test=["00000099_000.png"]))
    assert dataset.official == ()
    assert "No image of the table is in the official test set." in dataset.notes


@pytest.mark.parametrize(
    "spell",
    [
        "\r\n".join,
        lambda names: "\ufeff" + "\n".join(names),
        lambda names: "\n".join([*names, *names, "", " "]),
        lambda names: "\n".join(f"  {name}\t" for name in names),
        lambda names: "\n".join(f"images_001/images/{name}" for name in names),
        lambda names: "\n".join(f"C:\\nih\\images\\{name}" for name in names),
    ],
)
def test_a_list_is_read_however_it_was_saved(tmp_path, spell):
    folder = make_tree(tmp_path)
    train = ["00000002_000.png", "00000002_001.png"]
    (folder / "train_val_list.txt").write_text(spell(train), newline="")
    (folder / "test_list.txt").write_text(spell(["00000001_000.png"]), newline="")
    dataset = read_dataset(folder)
    assert [record.split for record in dataset.records] == ["test", "train", "train"]
    assert not any("left out" in note for note in dataset.notes)


def test_one_image_under_two_patients_is_refused(tmp_path):
    rows = [*ROWS, ROWS[0].replace(",0,1,", ",0,7,")]
    with pytest.raises(RecordError, match="rows 2, 5 are the same image with different values"):
        read_dataset(make_tree(tmp_path, rows))


@pytest.mark.parametrize("name", ["images_001/00000003_000.png", "00000003_000.png "])
def test_a_name_with_a_folder_before_it_or_a_blank_behind_is_refused(tmp_path, name):
    rows = [*ROWS, f"{name},No Finding,0,3,50,F,PA,1,1,1,1"]
    with pytest.raises(RecordError, match=r"wrong 'Image Index' \(row 5\).*without folders"):
        read_dataset(make_tree(tmp_path, rows))


@pytest.mark.parametrize("spelling", ["2.0", " 2 ", "00000002.0", "2\u00a0"])
def test_a_patient_number_may_have_come_through_a_float(tmp_path, spelling):
    rows = [ROWS[0], ROWS[1].replace(",00000002,", f",{spelling},"), ROWS[2]]
    assert [r.patient_id for r in read_dataset(make_tree(tmp_path, rows)).records] == [
        "1",
        "2",
        "2",
    ]


def test_images_in_neither_list_are_left_out_and_counted(tmp_path):
    folder = make_tree(tmp_path, train=["00000001_000.png"], test=["00000002_000.png"])
    dataset = read_dataset(folder)
    assert len(dataset.records) == 2
    assert "1 images in neither official list" in " ".join(dataset.notes)


def test_an_image_in_both_lists_is_refused(tmp_path):
    folder = make_tree(tmp_path, train=["00000001_000.png"], test=["00000001_000.png"])
    with pytest.raises(LeakError, match=r"1 images are in train_val_list.txt and in test_list.txt"):
        read_dataset(folder)


def test_lists_of_other_images_are_refused(tmp_path):
    for number, lists in enumerate(
        ({"train": ["a.png"], "test": ["b.png"]}, {"train": ["a.png"]}, {"test": ["b.png"]})
    ):
        with pytest.raises(DataError, match="no image of the table is in the official lists"):
            read_dataset(make_tree(tmp_path / str(number), **lists))


def test_images_lie_in_twelve_folders_as_downloaded(tmp_path):
    folder = make_tree(tmp_path)
    for part, name in [("images_001", "00000001_000.png"), ("images_012", "00000002_000.png")]:
        (folder / part / "images").mkdir(parents=True)
        (folder / part / "images" / name).touch()
    paths = [record.path for record in read_dataset(folder).records]
    assert paths == [
        "images_001/images/00000001_000.png",
        "images_012/images/00000002_000.png",
        "images/00000002_001.png",  # nowhere on disk: the cache will say that it is missing
    ]


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_masks_of_the_same_names_in_a_folder_of_their_own_are_not_read(tmp_path):
    # row 36 of the bad-input table
    folder = make_tree(tmp_path)
    name = "00000001_000.png"
    others = ("images_masks", "images_small", "images_001_masks/images", "masks")
    touch(folder / "images_001/images" / name, *(folder / other / name for other in others))
    assert read_dataset(folder).records[0].path == f"images_001/images/{name}"


@pytest.mark.parametrize(
    "places",
    [
        ("images", "images_001/images"),
        ("images_001/images", "images_001"),
        ("images_001/images", "images_013"),
        ("images", "images/images"),
        ("images", "sample/images"),
    ],
)
def test_one_name_in_two_folders_is_refused_with_both(tmp_path, places):
    # row 36 of the bad-input table
    folder = make_tree(tmp_path)
    names = ["00000001_000.png", "00000002_000.png"]
    touch(*(folder / place / name for place in places for name in [*names, "Thumbs.db"]))
    with pytest.raises(DataError) as caught:
        read_dataset(folder)
    assert "2 images are there twice, and which file is meant cannot be told: the first is " in (
        str(caught.value)
    )
    for place in places:
        assert f"{place}/{names[0]}" in str(caught.value)
    assert caught.value.exit_code == 3
    assert "Move the files that are not meant out of the data folder" in str(caught.value)


def test_two_names_of_one_file_are_one_image(tmp_path):
    folder = make_tree(tmp_path)
    touch(folder / "images_001/images/00000001_000.png")
    (folder / "images").rmdir()
    (folder / "images").symlink_to("images_001/images")  # as if to please another program
    (folder / "images_002").mkdir()
    (folder / "images_002/00000001_000.png").hardlink_to(folder / "images/00000001_000.png")
    assert read_dataset(folder).records[0].path == "images/00000001_000.png"


@pytest.mark.parametrize(
    "header",
    [
        HEADER.replace("Patient Gender", "Patient Sex"),
        HEADER.replace("Image Index", "Image_Index").replace("Finding Labels", "Finding_Labels"),
    ],
)
def test_other_spellings_of_the_header_are_read(tmp_path, header):
    assert read_dataset(make_tree(tmp_path, header=header)).records[0].sex == "M"


def test_a_trailing_comma_and_crlf_are_read(tmp_path):
    plain = read_dataset(make_tree(tmp_path / "a")).records
    lines = [f"{line}," for line in [HEADER, *ROWS]]
    (tmp_path / "a/Data_Entry_2017_v2020.csv").write_bytes("\r\n".join(lines).encode())
    assert read_dataset(tmp_path / "a").records == plain


@pytest.mark.parametrize("finding", ["Cardiomegally", "No Finding|Mass", "", "Infiltrate"])
def test_a_finding_outside_the_vocabulary_is_refused_with_its_row(tmp_path, finding):
    rows = [*ROWS, f"00000003_000.png,{finding},0,3,50,F,PA,1,1,1,1"]
    with pytest.raises(RecordError, match=r"wrong 'Finding Labels' \(row 5\)"):
        read_dataset(make_tree(tmp_path, rows))


def test_an_image_name_that_climbs_out_is_refused(tmp_path):
    rows = ["../../etc/passwd,No Finding,0,3,50,F,PA,1,1,1,1"]
    with pytest.raises(DataError, match=r"\(row 2\) would leave the data folder"):
        read_dataset(make_tree(tmp_path, rows))


def test_a_patient_number_that_is_none_is_refused(tmp_path):
    rows = ["00000003_000.png,No Finding,0,x3,50,F,PA,1,1,1,1"]
    with pytest.raises(RecordError, match="wrong 'Patient ID'"):
        read_dataset(make_tree(tmp_path, rows))


def test_boxes_are_fractions_of_the_1024_frame_and_spelled_as_the_labels(tmp_path):
    folder = make_tree(tmp_path)
    (folder / "BBox_List_2017.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
        "00000002_001.png,Infiltrate,256,512,128,64\n"
        "00000001_000.png,Cardiomegaly,0,0,1024,1024\n"
        "00000099_000.png,Mass,0,0,1,1\n"
    )
    first, second = read_dataset(folder).boxes  # the third image is not in the table
    assert (first.label, first.path) == ("Infiltration", "images/00000002_001.png")
    assert (first.x, first.y, first.width, first.height) == (0.25, 0.5, 0.125, 0.0625)
    assert second.label == "Cardiomegaly"
    assert len(read_dataset(folder, labels=["Cardiomegaly"]).boxes) == 1


def test_two_different_lists_of_boxes_are_refused(tmp_path):
    folder = make_tree(tmp_path)
    head, mass = "Image Index,Finding Label,x,y,w,h", "00000001_000.png,Mass,1,1,1,1"
    for name in ("BBox_List_2017.csv", "BBox_List_2017 (1).csv"):
        (folder / name).write_text(f"{head}\n{mass}\n")
    assert len(read_dataset(folder).boxes) == 1
    (folder / "BBox_List_2017 (1).csv").write_text(f"{head}\n{mass.replace('Mass', 'Nodule')}\n")
    with pytest.raises(
        DataError, match=r"BBox_List_2017 \(1\).csv and BBox_List_2017.csv are diff"
    ):
        read_dataset(folder)


def test_a_box_outside_the_frame_is_refused(tmp_path):
    folder = make_tree(tmp_path)
    (folder / "BBox_List_2017.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h]\n00000001_000.png,Mass,0,0,1e9,nan\n"
    )
    with pytest.raises(RecordError, match="a number from 0 to 1024"):
        read_dataset(folder)


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "num_train", "num_test", "num_findings"),
    [("nih14", 280, 40, 7), ("nih14_64px", 251, 194, 3)],
)
def test_the_samples_in_nih_layout_are_read(sample_data, name, num_train, num_test, num_findings):
    dataset = read_dataset(sample_data / name)
    splits = [record.split for record in dataset.records]
    assert (splits.count("train"), splits.count("test")) == (num_train, num_test)
    assert len(dataset.boxes) == num_findings
    assert all((dataset.root / record.path).is_file() for record in dataset.records)
