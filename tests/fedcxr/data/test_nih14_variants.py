"""The table of entries and the boxes in each copy's spelling; NIH's own are in test_nih14.py."""

import pytest

from fedcxr.data.read import read_dataset
from fedcxr.data.readers.nih14 import read_nih14
from fedcxr.errors import DataError, RecordError

NIH = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
KAGGLE = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImageWidth,OriginalImageHeight,OriginalImagePixelSpacing_x,OriginalImagePixelSpacing_y"
)
UNDERSCORED = (
    "Image_Index,Finding_Labels,Follow_Up_#,Patient_ID,Patient_Age,Patient_Gender,View_Position,"
    "OriginalImageWidth,OriginalImageHeight,OriginalImagePixelSpacing_x,OriginalImagePixelSpacing_y"
)
ROW = "00000013_005.png,Emphysema|Infiltration,5,13,60,M,AP,2894,2729,0.143,0.143"
KAGGLE_ROW = "00000013_005.png,Emphysema|Infiltration,005,00000013,060Y,M,AP,2894,2729,0.143,0.143"


@pytest.fixture
def read(tmp_path):
    """Read a folder with one table of entries."""

    def make(*lines, name="Data_Entry_2017_v2020.csv", ends="\n", **options):
        (tmp_path / name).write_bytes(ends.join(lines).encode())
        return read_dataset(tmp_path, **options)

    return make


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("header", "row"),
    [
        (NIH, ROW),
        (NIH + ",", ROW + ","),
        (NIH.replace("Gender", "Sex"), ROW),
        (NIH.replace("Gender", "Sex") + ",", ROW + ","),
        (KAGGLE, KAGGLE_ROW),
        (UNDERSCORED, KAGGLE_ROW),
        (UNDERSCORED.replace("Gender", "Sex"), KAGGLE_ROW),
        (",".join(KAGGLE.split(",")[::-1]), ",".join(KAGGLE_ROW.split(",")[::-1])),
        ("," + KAGGLE, "0," + KAGGLE_ROW),
    ],
)
@pytest.mark.parametrize(
    "name", ["Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv", "sample_labels.csv", "mine.csv"]
)
def test_each_copy_gives_the_same_record(read, header, row, ends, name):
    dataset = read(header, row, name=name, ends=ends)
    (record,) = dataset.records
    assert (record.patient_id, record.age, record.sex) == ("13", 60, "M")
    assert (record.projection, record.path) == ("AP", "images/00000013_005.png")
    found = {label for label, s in zip(dataset.labels, record.labels, strict=True) if s == 1}
    assert found == {"Emphysema", "Infiltration"}


@pytest.mark.parametrize(
    ("cell", "age"),
    [
        ("060Y", 60),
        ("60", 60),
        ("60.0", 60),
        ("0", 0),
        ("", None),
        ("012M", 1),
        ("011M", 0),
        ("030M", 2),
        ("003D", 0),
        ("400D", 1),
        ("006W", 0),
        ("120", 120),
        ("121", None),
        ("148", None),
        ("411", None),
        ("414Y", None),
    ],
)
def test_ages_come_in_years_months_weeks_and_days(read, cell, age):
    assert read(NIH, ROW.replace(",60,", f",{cell},")).records[0].age == age


def test_ages_that_no_one_reaches_are_unknown_and_counted(read):
    rows = [
        f"0000000{i}_000.png,No Finding,0,{i},{age},F,PA,1,1,1,1"
        for i, age in enumerate((30, 155, 412))
    ]
    dataset = read(NIH, *rows)
    assert [record.age for record in dataset.records] == [30, None, None]
    assert (
        "Data_Entry_2017_v2020.csv: 2 ages above 120 years are slips of the pen and taken as "
        in (" ".join(dataset.notes))
    )


@pytest.mark.parametrize("cell", ["-3", "sixty", "60 Y", "1e2", "60X", "99999"])
def test_what_is_no_age_is_refused(read, cell):
    with pytest.raises(RecordError, match=r"wrong 'Patient Age' \(row 2\).*058Y, 012M or 003D"):
        read(NIH, ROW.replace(",60,", f",{cell},"))


@pytest.mark.parametrize("cell", ["", "x3", "1.5", "-1", "9" * 19, "٣"])
def test_what_is_no_patient_number_is_refused(read, cell):
    with pytest.raises(RecordError, match=r"wrong 'Patient ID'.*a whole number"):
        read(NIH, ROW.replace(",13,", f",{cell},"))


def test_the_corrected_table_is_read_and_the_other_is_named(tmp_path, read):
    (tmp_path / "Data_Entry_2017.csv").write_text(f"{NIH}\n{ROW.replace(',60,', ',61,')}\n")
    (tmp_path / "sample_labels.csv").write_text(f"{KAGGLE}\n{KAGGLE_ROW}\n")
    dataset = read(NIH, ROW)
    assert dataset.records[0].age == 60
    assert (
        "The table is Data_Entry_2017_v2020.csv; Data_Entry_2017.csv, sample_labels.csv beside it "
        "is not read."
    ) in dataset.notes


def test_of_two_tables_without_an_official_name_none_is_taken(tmp_path, read):
    (tmp_path / "test.csv").write_text(f"{NIH}\n{ROW}\n")
    with pytest.raises(DataError, match=r"test.csv and train.csv are tables of entries, and which"):
        read(NIH, ROW, name="train.csv")


@pytest.mark.parametrize(
    "place", ["images", "sample/images", "sample/sample/images", "images_003/images", "images_003"]
)
def test_images_lie_where_nih_or_kaggle_unpack_them(tmp_path, read, place):
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "00000013_005.png").touch()
    (record,) = read(KAGGLE, KAGGLE_ROW, name="sample_labels.csv").records
    assert record.path == f"{place}/00000013_005.png"


def test_a_column_is_kept_as_the_attribute(read):
    assert read(NIH, ROW, column="Follow-up #").records[0].attribute == "5"
    assert read(UNDERSCORED, KAGGLE_ROW, column="Follow_Up_#").records[0].attribute == "005"
    with pytest.raises(RecordError, match=r"missing column 'Follow-up' \(did you mean 'Follow-up"):
        read(NIH, ROW, column="Follow-up")


def test_a_missing_column_is_named_with_the_nearest(read):
    with pytest.raises(RecordError, match=r"missing columns 'Patient ID' \(did you mean 'Pat"):
        read(NIH.replace("Patient ID", "PatientID").replace("View Position", "View"), ROW)


def test_a_folder_without_a_table_is_refused(tmp_path):
    with pytest.raises(RecordError, match=r"no Data_Entry_2017\*.csv here"):
        read_nih14(tmp_path)


@pytest.mark.parametrize(
    ("header", "end"),
    [
        ("Image Index,Finding Label,Bbox [x,y,w,h],,,", ""),
        ("Image Index,Finding Label,Bbox [x,y,w,h]", ""),
        ("Image Index,Finding Label,Bbox [x,y,w,h],,,", ",,,"),
        ("Image_Index,Finding_Label,Bbox_[x,y,w,h]", ""),
        ("Image Index,Finding Label,x,y,w,h", ""),
        ("Image Index,Finding Label,Bbox [x,y,w,h],Unnamed: 6", ","),
    ],
)
@pytest.mark.parametrize("name", ["BBox_List_2017.csv", "BBox_list_2017.csv"])
def test_each_copy_of_the_boxes_gives_the_same_box(tmp_path, read, header, end, name):
    (tmp_path / name).write_text(f"{header}\n00000013_005.png,Infiltrate,256,512,128,64{end}\n")
    (box,) = read(NIH, ROW).boxes
    assert (box.path, box.label) == ("images/00000013_005.png", "Infiltration")
    assert (box.x, box.y, box.width, box.height) == (0.25, 0.5, 0.125, 0.0625)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("00000013_005.png,Infiltrates,1,1,1,1", "wrong 'Finding Label'"),
        ("../x.png,Mass,1,1,1,1", "would leave the data folder"),
        ("00000013_005.png,Mass,1,1,-1,1", "a number from 0 to 1024"),
    ],
)
def test_a_wrong_box_is_refused(tmp_path, read, line, words):
    (tmp_path / "BBox_List_2017.csv").write_text(f"Image Index,Finding Label,x,y,w,h\n{line}\n")
    with pytest.raises(DataError, match=words):
        read(NIH, ROW)


def test_a_list_that_is_no_text_is_refused(tmp_path, read):
    (tmp_path / "test_list.txt").write_bytes("00000013_005.png".encode("utf-16"))
    with pytest.raises(RecordError, match=r"test_list.txt: not UTF-8 text"):
        read(NIH, ROW)


def test_a_list_that_is_too_large_is_refused(tmp_path, read, monkeypatch):
    monkeypatch.setattr("fedcxr.data.readers.nih14_files.MAX_LIST_BYTES", 3)
    (tmp_path / "test_list.txt").write_text("00000013_005.png")
    with pytest.raises(RecordError, match="this is no list of images"):
        read(NIH, ROW)
