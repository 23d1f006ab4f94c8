"""A binary task's one label, from either data set and from both."""

import numpy as np
import pytest

from fedcxr.config import load_config
from fedcxr.data.labels import BLANK, CHEXPERT_LABELS, MASKED, NEGATIVE, POSITIVE, UNCERTAIN
from fedcxr.data.read import read_dataset
from fedcxr.data.tasks import any_of
from fedcxr.errors import ConfigError

NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
)
FINDINGS = ("Nodule|Hernia", "Mass", "Nodule|Mass", "Effusion", "No Finding")
CELLS = ("1.0", "0.0", "-1.0", "")


@pytest.fixture
def nih(tmp_path):
    folder = tmp_path / "nih"
    folder.mkdir()
    rows = [
        f"{number:08d}_000.png,{found},0,{number},40,F,PA"
        for number, found in enumerate(FINDINGS, start=1)
    ]
    (folder / "Data_Entry_2017.csv").write_text("\n".join([NIH_HEADER, *rows]))
    (folder / "test_list.txt").write_text("00000005_000.png")
    (folder / "BBox_List_2017.csv").write_text(
        "Image Index,Finding Label,x,y,w,h\n00000002_000.png,Mass,256,256,512,512\n"
        "00000004_000.png,Effusion,256,256,512,512\n"
    )
    return folder


@pytest.fixture
def chexpert(tmp_path):
    folder = tmp_path / "CheXpert-v1.0-small"
    folder.mkdir()
    header = ",".join(["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_LABELS])
    rows = [
        ",".join(
            [
                f"CheXpert-v1.0-small/train/patient{number:05d}/study1/view1_frontal.jpg",
                *("Male", "60", "Frontal", "AP"),
                *(cell if label == "Lung Lesion" else "" for label in CHEXPERT_LABELS),
            ]
        )
        for number, cell in enumerate(CELLS, start=1)
    ]
    (folder / "train.csv").write_text("\n".join([header, *rows]))
    return folder


def states(dataset):
    return [record.labels for record in dataset.records]


def test_a_nodule_or_a_mass_is_a_lesion(nih):
    found = read_dataset(nih, task="lung-lesion")
    assert found.labels == ("Lung Lesion",)
    assert states(found) == [(POSITIVE,)] * 3 + [(NEGATIVE,)] * 2
    assert [(box.path[-16:], box.label) for box in found.boxes] == [
        ("00000002_000.png", "Lung Lesion")
    ]
    assert "Lung Lesion: an image with Nodule or Mass." in found.notes


def test_chexperts_own_column_is_taken_as_it_is(chexpert):
    found = read_dataset(chexpert, task="lung-lesion")
    assert found.labels == ("Lung Lesion",)
    assert states(found) == [(POSITIVE,), (NEGATIVE,), (UNCERTAIN,), (BLANK,)]
    assert not any("an image with" in note for note in found.notes)


def test_joined_data_have_the_one_label_with_nothing_masked(chexpert, nih):
    found = read_dataset([chexpert, nih], task="lung-lesion")
    assert found.labels == ("Lung Lesion",)
    assert MASKED not in np.array(states(found))
    assert sum(state == (POSITIVE,) for state in states(found)) == 4


def test_an_image_is_negative_only_where_no_label_says_more():
    table = [[1, -1], [0, -1], [0, -2], [-2, -1], [0, 0], [-3, 0], [-3, -3]]
    assert any_of(np.array(table, dtype=np.int8)).tolist() == [1, -1, -2, -1, 0, 0, -3]


def test_a_task_and_labels_of_ones_own_do_not_go_together():
    with pytest.raises(ConfigError, match="task has a label of its own: leave labels out"):
        load_config(overrides={"data.task": "lung-lesion", "data.labels": ["Edema"]})
