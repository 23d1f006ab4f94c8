import gzip
import shutil
from collections import Counter

import pytest
from public_tables import (
    make_brax,
    make_mimic,
    make_padchest,
    make_plus,
    make_rsna,
    make_vindr,
)

from fedcxr.config.dataset_file import read_dataset_file
from fedcxr.data.labels import BLANK, NEGATIVE, POSITIVE, UNCERTAIN
from fedcxr.data.proposal.propose import propose
from fedcxr.data.quality.check import check_data
from fedcxr.data.read import read_dataset
from fedcxr.data.readers.presets import PRESETS, preset_file, presets_in
from fedcxr.errors import DataError, RecordError

MAKE = {
    "mimic-cxr-jpg": make_mimic,
    "padchest": make_padchest,
    "vindr-cxr": make_vindr,
    "brax": make_brax,
    "rsna-pneumonia": make_rsna,
    "chexpert-plus": make_plus,
}
COUNTS = {  # patients, studies, images read, frontal, by split
    "mimic-cxr-jpg": (3, 4, 5, 4, {"train": 3, "val": 1, "test": 1}),
    "padchest": (3, 3, 4, 3, {"": 4}),
    "vindr-cxr": (4, 4, 4, 4, {"train": 3, "test": 1}),
    "brax": (2, 2, 3, 2, {"": 3}),
    "rsna-pneumonia": (3, 3, 3, 3, {"": 3}),
    "chexpert-plus": (3, 3, 4, 3, {"train": 3, "val": 1}),
}
STATES = {  # of one label: present, absent, uncertain, blank
    "mimic-cxr-jpg": {"Edema": (1, 0, 1, 3), "No Finding": (2, 0, 0, 3), "Pneumonia": (0, 1, 0, 4)},
    "padchest": {
        "Fibrosis": (2, 1, 0, 1),
        "Pneumonia": (1, 2, 0, 1),
        "Cardiomegaly": (1, 3, 0, 0),
        "No Finding": (0, 3, 0, 1),
    },
    "vindr-cxr": {
        "Cardiomegaly": (1, 3, 0, 0),
        "No Finding": (2, 2, 0, 0),
        "Other diseases": (1, 3, 0, 0),
        "Pleural Effusion": (1, 3, 0, 0),
    },
    "brax": {"Edema": (2, 0, 1, 0), "Fracture": (0, 0, 0, 3)},
    "rsna-pneumonia": {"Pneumonia": (1, 2, 0, 0), "No Finding": (1, 2, 0, 0)},
    "chexpert-plus": {"Edema": (2, 0, 1, 1), "Fracture": (0, 3, 0, 1)},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("public")
    for name, make in MAKE.items():
        (place / name).mkdir()
        make(place / name)
    return place


@pytest.mark.parametrize("name", PRESETS)
def test_a_public_set_is_read_to_the_right_counts(folders, name):
    dataset = read_dataset(folders / name)
    records = dataset.records
    assert dataset.layout == name
    assert (
        len({record.patient_id for record in records}),
        len({record.study_id for record in records}),
        len(records),
        sum(record.view == "frontal" for record in records),
        dict(Counter(record.split for record in records)),
    ) == COUNTS[name]
    states = dataset.states()
    for label, counts in STATES[name].items():
        column = states[:, dataset.labels.index(label)]
        codes = (POSITIVE, NEGATIVE, UNCERTAIN, BLANK)
        assert tuple(int((column == code).sum()) for code in codes) == counts, label
    for record in records:
        assert (folders / name / record.path).is_file()


@pytest.mark.parametrize("name", PRESETS)
def test_the_shipped_file_names_the_tables_that_tell_the_set(name):
    says = read_dataset_file(preset_file(name)).says
    named = {*says.table.values(), *(rule.table for rule in says.join)}
    assert named == set(PRESETS[name])


def test_what_the_sets_say_of_people_and_films(folders):
    mimic = read_dataset(folders / "mimic-cxr-jpg")
    assert mimic.records[0].path == "files/p10/p10000032/s50414267/a1.jpg"
    assert "Left out: 1 images of a view that is neither frontal nor lateral." in mimic.notes
    padchest = read_dataset(folders / "padchest")
    assert [record.age for record in padchest.records] == [82, 82, 64, None]  # 2014 − 1932, − 1950
    assert {record.sex for record in padchest.records} == {"F"}
    assert [record.age for record in read_dataset(folders / "brax").records] == [65, 65, 85]
    plus = read_dataset(folders / "chexpert-plus")
    assert [record.projection for record in plus.records] == ["AP", "", "PA", "PA"]
    assert plus.records[0].path == "PNG/train/patient1/study1/view1_frontal.png"
    assert (plus.records[3].sex, plus.records[3].age) == ("", 67)
    vindr = read_dataset(folders / "vindr-cxr")
    assert [record.sex for record in vindr.records] == ["F", "M", "F", "M"]
    (official,) = vindr.official
    assert (official.split, official.files) == ("test", ("image_labels_test.csv",))
    assert any("10 rows of 4 images" in note for note in vindr.notes)


def test_boxes_are_fractions_of_their_images_and_of_labels_that_they_have(folders):
    # 16 × 8 pixels: x 4 to 12 of 16, y 2 to 6 of 8; the box of one reader of i2 is no finding
    first, second = read_dataset(folders / "vindr-cxr").boxes
    assert (first.path, first.label) == ("train/i1.dicom", "Cardiomegaly")
    assert (first.x, first.y, first.width, first.height) == (0.25, 0.25, 0.5, 0.5)
    assert (second.path, second.label) == ("test/t1.dicom", "Pleural Effusion")
    assert (second.x, second.y, second.width, second.height) == (0, 0.5, 1, 0.5)
    notes = read_dataset(folders / "vindr-cxr").notes
    assert "Left out: 1 boxes of labels that the image has not." in notes
    one, two = read_dataset(folders / "rsna-pneumonia").boxes
    assert (one.path, one.label) == ("stage_2_train_images/p1.dcm", "Pneumonia")
    assert (one.x, one.y, one.width, one.height) == (0.25, 0.125, 0.5, 0.25)
    assert two.width == 0.0625
    assert read_dataset(folders / "rsna-pneumonia", labels=["No Finding"]).boxes == ()


def test_public_sets_are_joined_by_the_labels_that_they_share(folders):
    joined = read_dataset([folders / "mimic-cxr-jpg", folders / "brax", folders / "chexpert-plus"])
    assert len(joined.labels) == 14
    assert {record.source for record in joined.records} == {
        "mimic-cxr-jpg",
        "brax",
        "chexpert-plus",
    }
    assert joined.records[0].path.startswith("mimic-cxr-jpg/files/")


def test_a_public_set_passes_the_check_of_data(folders):
    report = check_data(folders / "brax", workers=1, disk_budget_s=0.1)
    assert (report.layout, report.num_images) == ("brax", 3)


def test_init_data_writes_the_preset_to_be_corrected(folders, tmp_path):
    folder = shutil.copytree(folders / "brax", tmp_path / "brax")
    (folder / "dataset.yaml").write_text(propose(folder), "utf-8")
    dataset = read_dataset(folder)
    assert dataset.layout == "own"
    assert len(dataset.records) == 3


def test_tables_are_found_unpacked_and_packed(folders, tmp_path):
    folder = shutil.copytree(folders / "mimic-cxr-jpg", tmp_path / "mimic")
    for file in folder.glob("*.csv.gz"):
        file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
        file.unlink()
    assert presets_in(folder) == ["mimic-cxr-jpg"]
    assert len(read_dataset(folder).records) == 5
    (folder / "mimic-cxr-2.0.0-split.csv").unlink()
    with pytest.raises(DataError, match="neither CheXpert"):
        read_dataset(folder)


def test_a_damaged_packed_table_is_refused(folders, tmp_path):
    folder = shutil.copytree(folders / "mimic-cxr-jpg", tmp_path / "mimic")
    file = folder / "mimic-cxr-2.0.0-split.csv.gz"
    file.write_bytes(file.read_bytes()[:-12])
    with pytest.raises(RecordError, match=r"split\.csv\.gz: cannot be read \(.*Fetch it again"):
        read_dataset(folder)


def test_two_tables_of_one_name_are_refused(folders, tmp_path):
    folder = shutil.copytree(folders / "padchest", tmp_path / "padchest")
    (first,) = folder.glob("*.csv")
    shutil.copy(first, folder / "PADCHEST_chest_x_ray_images_labels_160K.csv")
    with pytest.raises(DataError, match=r"are there, and which is meant cannot be told"):
        read_dataset(folder)


def test_a_cell_of_a_joined_or_second_table_is_named_with_its_file(folders, tmp_path):
    folder = shutil.copytree(folders / "vindr-cxr", tmp_path / "vindr")
    file = folder / "annotations/image_labels_test.csv"
    file.write_text(file.read_text("utf-8").replace("t1,0,", "t1,7,"), "utf-8")
    words = (
        r"line 11 \(labels\.Aortic enlargement\): image_labels_train\.csv and "
        r"image_labels_test\.csv has 1 row \(image_labels_test\.csv row 2\) whose(.|\n)*"
        r"`fedcxr init-data .*vindr` writes"
    )
    with pytest.raises(RecordError, match=words):
        read_dataset(folder)
    folder = shutil.copytree(folders / "chexpert-plus", tmp_path / "plus")
    file = folder / "chexbert_labels/impression_fixed.json"
    file.write_text(file.read_text("utf-8").replace('"Fracture": 0.0', '"Fracture": 5'), "utf-8")
    words = r"row 2, 3, 4\) whose 'Fracture' of impression_fixed\.json no rule covers"
    with pytest.raises(RecordError, match=words):
        read_dataset(folder)
    file.write_text(file.read_text("utf-8") + "[1]\n", "utf-8")
    with pytest.raises(RecordError, match=r"line 4: expected an object of texts and numbers"):
        read_dataset(folder)
