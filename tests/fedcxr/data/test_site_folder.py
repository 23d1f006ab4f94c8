import pytest
from PIL import Image

from fedcxr.data.labels import BLANK, MASKED, NEGATIVE, POSITIVE
from fedcxr.data.read import read_dataset
from fedcxr.errors import DataError, RecordError
from partitions.hospital_folder import hospital_reading

HEADER = "image_id,patient_id,study_id,split,view,projection,sex,age,path,Edema,Nodule"
ROWS = (
    "i1,P-01,s1,train,frontal,PA,F,40,a.png,1,NA",
    "i2,P-01,s1,train,lateral,,F,40,b.png,0,",
    "i3,p-2,s2,val,frontal,AP,,,c.png,,0",
)


def make_site(folder):
    folder.mkdir(parents=True)
    for name in "abc":
        Image.new("L", (8, 8), 90).save(folder / f"{name}.png")
    (folder / "site.csv").write_text("\n".join([HEADER, *ROWS]) + "\n")
    return folder


def test_a_hospitals_own_folder_is_a_data_set_among_the_others(tmp_path):
    dataset = read_dataset(make_site(tmp_path / "house"))
    assert (dataset.layout, dataset.labels) == ("site", ("Edema", "Nodule"))
    one, two, three = dataset.records
    assert (one.patient_id, one.path, one.view, one.projection) == ("p-1", "a.png", "frontal", "PA")
    assert (one.sex, one.age, one.labels, two.labels) == (
        "F",
        40,
        (POSITIVE, MASKED),
        (NEGATIVE, BLANK),
    )
    assert three.labels == (BLANK, NEGATIVE)


def test_its_own_validation_is_drawn_anew_and_that_is_said(tmp_path):
    folder = make_site(tmp_path / "house")
    dataset = read_dataset(folder)
    assert {record.split for record in dataset.records} == {""}
    assert dataset.official == ()
    assert any("`val` is a site's own validation" in note for note in dataset.notes)
    # what check-data looks at keeps the split, whose leak it is to find
    assert [r.split for r in hospital_reading(folder).dataset.records] == ["train", "train", "val"]


def test_labels_and_views_can_be_chosen(tmp_path):
    folder = make_site(tmp_path / "house")
    dataset = read_dataset(folder, labels=["Nodule"], views="frontal")
    assert [record.labels for record in dataset.records] == [(MASKED,), (NEGATIVE,)]


def test_a_table_without_paths_is_refused(tmp_path):
    folder = make_site(tmp_path / "house")
    rows = [row.split(",") for row in (HEADER, *ROWS)]
    (folder / "site.csv").write_text("\n".join(",".join(r[:8] + r[9:]) for r in rows) + "\n")
    with pytest.raises(RecordError, match="no column 'path'"):
        read_dataset(folder)


def test_a_folder_with_both_files_is_refused_with_both(tmp_path):
    folder = make_site(tmp_path / "house")
    (folder / "dataset.yaml").write_text("table: site.csv\n")
    with pytest.raises(DataError, match=r"several data sets: .*\(own\), .*\(site\)"):
        read_dataset(folder)
