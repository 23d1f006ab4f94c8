from pathlib import Path

import pytest

from fedcxr.data.labels import (
    BLANK,
    CHEXPERT_LABELS,
    MASKED,
    NEGATIVE,
    NIH14_LABELS,
    POSITIVE,
    count_states,
)
from fedcxr.data.paths import Fence
from fedcxr.data.read import read_dataset
from fedcxr.data.readers.join import in_the_words_of, names_of_patient
from fedcxr.data.records import DataSet
from fedcxr.errors import ConfigError, DataError, LeakError, RecordError

NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
)
CHEXPERT_HEADER = ",".join(["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_LABELS])


def make_chexpert(folder, *, age=60, patients=(1, 2)):
    """Lay out a CheXpert: the first patient has an effusion and no word on edema."""
    rows = [CHEXPERT_HEADER]
    for patient in patients:
        cells = ["1.0" if label == "Pleural Effusion" else "" for label in CHEXPERT_LABELS]
        path = f"train/patient{patient:05d}/study1/view1_frontal.jpg"
        rows.append(",".join([path, "Male", str(age + patient), "Frontal", "AP", *cells]))
        (folder / path).parent.mkdir(parents=True)
        (folder / path).touch()
    (folder / "train.csv").write_text("\n".join(rows))
    (folder / "boxes.csv").write_text(
        "path,label,x,y,width,height\n"
        "train/patient00001/study1/view1_frontal.jpg,Pleural Effusion,0.5,0.5,0.25,0.25\n"
    )
    return folder


def make_nih(folder):
    (folder / "images").mkdir(parents=True)
    (folder / "images/00000001_000.png").touch()
    (folder / "Data_Entry_2017.csv").write_text(
        f"{NIH_HEADER}\n00000001_000.png,Effusion|Hernia,0,1,30,F,PA\n"
    )
    (folder / "test_list.txt").write_text("00000001_000.png")
    (folder / "BBox_List_2017.csv").write_text(
        "Image Index,Finding Label,x,y,w,h\n00000001_000.png,Effusion,256,256,512,512\n"
        "00000001_000.png,Mass,256,256,512,512\n"
    )
    return folder


@pytest.fixture
def roots(tmp_path):
    return [make_chexpert(tmp_path / "CheXpert-v1.0-small"), make_nih(tmp_path / "nih")]


def test_joined_data_sets_have_the_labels_that_all_share_under_chexperts_names(roots):
    dataset = read_dataset(roots)
    assert dataset.layout == "joined"
    assert dataset.labels == (
        "Cardiomegaly",
        "Edema",
        "Consolidation",
        "Pneumonia",
        "Atelectasis",
        "Pneumothorax",
        "Pleural Effusion",
    )
    chexpert, _, nih = dataset.records
    assert chexpert.labels == (BLANK,) * 6 + (POSITIVE,)
    assert nih.labels == (NEGATIVE,) * 6 + (POSITIVE,)


def test_names_begin_with_the_source_so_that_no_two_patients_are_taken_for_one(roots):
    chexpert, _, nih = read_dataset(roots).records
    assert (chexpert.source, nih.source) == ("chexpert", "nih14")
    assert chexpert.patient_id == "chexpert/patient1"
    assert chexpert.study_id == "chexpert/patient1/study1"
    assert chexpert.path == "chexpert/train/patient00001/study1/view1_frontal.jpg"
    assert (nih.patient_id, nih.study_id) == ("nih14/1", "nih14/00000001_000")
    assert nih.path == "nih14/images/00000001_000.png"
    assert (chexpert.split, nih.split) == ("train", "test")
    assert (chexpert.age, nih.age, nih.sex) == (61, 30, "F")


def test_the_files_are_found_through_the_roots(roots):
    dataset = read_dataset(roots)
    assert dataset.roots == (("chexpert", roots[0]), ("nih14", roots[1]))
    assert dataset.root.name == "chexpert+nih14"
    fence = Fence(dataset.files)
    assert all(fence.stat(record.path) for record in dataset.records)


def test_a_label_that_a_source_lacks_is_masked_there_and_said(roots):
    dataset = read_dataset(roots, labels=["Hernia", "Fracture", "Pleural Effusion"])
    chexpert, _, nih = dataset.records
    assert chexpert.labels == (MASKED, BLANK, POSITIVE)
    assert nih.labels == (POSITIVE, MASKED, POSITIVE)
    assert "chexpert: has no Hernia: masked, not negative." in dataset.notes
    assert "nih14: has no Fracture: masked, not negative." in dataset.notes
    counts = count_states(dataset.states(), dataset.labels)
    assert [counts[label]["masked"] for label in dataset.labels] == [2, 1, 0]


def test_boxes_come_along_under_their_new_names(roots):
    boxes = read_dataset(roots).boxes
    assert [(box.path, box.label) for box in boxes] == [
        ("chexpert/train/patient00001/study1/view1_frontal.jpg", "Pleural Effusion"),
        ("nih14/images/00000001_000.png", "Pleural Effusion"),
    ]
    (mass,) = read_dataset(roots, labels=["Mass", "Edema"]).boxes
    assert (mass.path, mass.label, mass.x) == ("nih14/images/00000001_000.png", "Mass", 0.25)


def test_the_notes_of_each_source_are_kept(roots):
    notes = read_dataset(roots).notes
    assert any(note.startswith("nih14: Data provided by the NIH") for note in notes)
    assert "chexpert: There is no valid.csv." in notes
    (test,) = read_dataset(roots).official
    assert (test.source, test.split, test.kind) == ("nih14", "test", "nih-test-list")


def test_one_folder_in_a_list_is_that_folder_alone(roots):
    assert read_dataset([roots[0]]) == read_dataset(roots[0])
    assert read_dataset(str(roots[0])) == read_dataset(roots[0])
    assert read_dataset(roots[0]).roots == ()


def test_two_of_one_kind_are_numbered(tmp_path, roots):
    other = make_chexpert(tmp_path / "b", age=20)
    dataset = read_dataset([roots[0], roots[1], other])
    assert [name for name, _ in dataset.roots] == ["chexpert", "nih14", "chexpert-2"]
    assert dataset.records[-1].patient_id == "chexpert-2/patient2"
    assert dataset.records[-1].source == "chexpert-2"
    pair = read_dataset([roots[0], other])
    assert pair.labels == CHEXPERT_LABELS


def test_two_nih_keep_nihs_names(tmp_path, roots):
    other = make_nih(tmp_path / "b")
    text = (other / "Data_Entry_2017.csv").read_text()
    (other / "Data_Entry_2017.csv").write_text(text.replace(",30,", ",50,"))
    dataset = read_dataset([roots[1], other])
    assert dataset.labels == NIH14_LABELS
    assert [box.label for box in dataset.boxes] == ["Effusion", "Mass"] * 2


def test_copies_of_one_data_set_are_refused(tmp_path, roots):
    copy = make_chexpert(tmp_path / "CheXpert-v1.0")
    with pytest.raises(LeakError, match=r"2 images have the same study, name and labels in both"):
        read_dataset([roots[0], copy])


def test_a_one_hot_table_of_the_same_images_is_refused_too(tmp_path, roots):
    folder = tmp_path / "onehot"
    folder.mkdir()
    cells = ["1" if label in ("Effusion", "Hernia") else "0" for label in NIH14_LABELS]
    (folder / "train.csv").write_text(
        f"Image,PatientId,{','.join(NIH14_LABELS)}\n00000001_000.png,1,{','.join(cells)}\n"
    )
    with pytest.raises(LeakError, match="1 images have the same study, name and labels in both:"):
        read_dataset([roots[1], folder])
    joined = read_dataset([roots[0], folder], labels=["Pleural Effusion"])
    assert joined.records[-1].source == "nih14"


def test_a_data_set_is_named_once(roots):
    with pytest.raises(ConfigError, match="name each data set once"):
        read_dataset([roots[0], roots[0] / ".." / roots[0].name])
    with pytest.raises(ConfigError, match="at least one; found none"):
        read_dataset([])


def test_labels_are_those_of_any_source(roots):
    with pytest.raises(ConfigError, match=r"'Effusion' \(did you mean 'Pleural Effusion'.*chexp"):
        read_dataset(roots, labels=["Effusion"])
    with pytest.raises(ConfigError, match=r"chexpert .* has none of Hernia. Add one that it has"):
        read_dataset(roots, labels=["Hernia"])


def test_a_label_table_is_chexperts_alone(roots):
    text = (roots[0] / "train.csv").read_text()
    (roots[0] / "train_cheXbert.csv").write_text(text.replace("1.0", "-1.0"))
    dataset = read_dataset(roots, label_table="train_cheXbert.csv")
    assert [record.labels[-1] for record in dataset.records] == [-1, -1, POSITIVE]


def test_a_column_has_to_be_in_every_source(roots):
    with pytest.raises(RecordError, match="missing column 'Hospital'"):
        read_dataset(roots, column="Hospital")


def test_a_folder_without_a_data_set_is_named(tmp_path, roots):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: neither CheXpert"):
        read_dataset([roots[0], tmp_path / "empty"])


@pytest.mark.real
def test_the_samples_are_joined(sample_data):
    dataset = read_dataset([sample_data / "chexpert_layout_nih_pixels", sample_data / "nih14"])
    assert len(dataset.records) == 219 + 320
    fence = Fence(dataset.files)
    assert all(fence.stat(record.path) for record in dataset.records)


@pytest.mark.real
def test_the_two_nih_samples_share_patients_and_are_not_joined(sample_data):
    # 19 images of 10 patients are in both
    with pytest.raises(LeakError, match="19 images have the same study, name and labels in both"):
        read_dataset([sample_data / "nih14", sample_data / "nih14_64px"])


def test_more_data_sets_of_a_kind_than_names_are_refused(tmp_path):
    for number in range(9):
        make_chexpert(tmp_path / str(number), age=number)
    with pytest.raises(ConfigError, match="at most 8 data sets of one kind can be joined"):
        read_dataset([tmp_path / str(number) for number in range(9)])


def test_a_patient_is_known_alone_and_in_any_join(tmp_path):
    folders = [make_chexpert(tmp_path / "a"), make_nih(tmp_path / "b")]
    alone = read_dataset(folders[0]).records[0]
    joined = read_dataset(folders).records[0]
    assert (alone.patient_id, joined.patient_id) == ("patient1", "chexpert/patient1")
    assert names_of_patient(alone) == names_of_patient(joined)
    assert {alone.patient_id, joined.patient_id} <= names_of_patient(alone)
    assert not names_of_patient(alone) & names_of_patient(read_dataset(folders[1]).records[0])


def test_labels_take_the_name_that_another_vocabulary_has_for_them():
    nih = DataSet(Path(), "nih14", NIH14_LABELS, ())
    chexpert = DataSet(Path(), "chexpert", CHEXPERT_LABELS, ())
    assert set(in_the_words_of(CHEXPERT_LABELS, nih).labels) & set(CHEXPERT_LABELS) == {
        "Atelectasis",
        "Cardiomegaly",
        "Consolidation",
        "Edema",
        "Pleural Effusion",
        "Pneumonia",
        "Pneumothorax",
    }
    assert "Effusion" in in_the_words_of(NIH14_LABELS, chexpert).labels
    assert in_the_words_of(NIH14_LABELS, nih) == nih
