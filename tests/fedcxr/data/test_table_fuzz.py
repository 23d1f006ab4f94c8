"""Damaged tables: whatever the bytes, a data set or an error of ours, and never a traceback.

Each file of a few small valid trees is damaged at random, with a seed for each case: bytes that are
flipped, cut out, doubled or swapped, and cells that are replaced by what breaks readers.
"""

import random
from pathlib import Path

import pytest

from fedcxr.data.labels import CHEXPERT_LABELS, NIH14_LABELS
from fedcxr.data.read import read_dataset
from fedcxr.data.readers.chexlocalize import decode_rle, read_annotations, read_segmentations
from fedcxr.data.readers.nih14_onehot import read_onehot_tables
from fedcxr.data.records import DataSet
from fedcxr.errors import FedCxrError

CASES = 300
"""Damaged copies of each file."""

CELLS = [
    *("", " ", "-", "-1", "-1.0", "2.0", "nan", "inf", "1e309", "-0", "1_0", "٣", "é", "\ufeff"),
    *("=1", "+1", "@a", "\t", '"', '""', '"a', "\\", "..", "../..", "/", "//", "C:/", "~", "\0"),
    *("\u2028", "\x85", "\x0b", "\r", "\r\n", "9" * 30, "9" * 5000, "x" * 300, "x" * 140_000),
    *("train/patient1/study1/a.jpg", "patient00001/study1/", "Path", "Image", "No Finding", "|"),
    *("0,0", ";", "Effusion|Effusion", "00000001_000.png", "000Y", "012M", "1e5", "True", "None"),
]
CHEXPERT = ",".join(["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_LABELS])
NIH = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
LABELLED = ",1.0,,0.0,-1.0,,,0.0,,1.0,,,-1.0,,"
IMAGE = "study1/view1_frontal.jpg"
TREES = {
    "chexpert": {
        "train.csv": f"{CHEXPERT}\n"
        + f"CheXpert-v1.0-small/train/patient00001/{IMAGE},Male,60,Frontal,AP{LABELLED}\n"
        + f"CheXpert-v1.0-small/train/patient00002/{IMAGE},Unknown,,Lateral,{LABELLED}\n",
        "valid.csv": f"{CHEXPERT}\nvalid/patient64541/{IMAGE},Female,7,Frontal,PA{',0.0' * 14}\n",
        "groundtruth.csv": f"Study,{','.join(CHEXPERT_LABELS)}\n"
        + f"CheXpert-v1.0/test/patient64741/study1{',1' * 14}\n",
        "boxes.csv": f"path,label,x,y,width,height\ntrain/patient00001/{IMAGE},Edema,0,0,1,1\n",
        "test/patient64741/study1/view1_frontal.jpg": "",
    },
    "download": {
        "CheXpert-v1.0 batch 1 (validate & csv)/train.csv": f"{CHEXPERT}\n"
        + f"CheXpert-v1.0/train/patient00001/{IMAGE},Male,60,Frontal,AP{LABELLED}\n",
        f"CheXpert-v1.0 batch 2 (train 1)/patient00001/{IMAGE}": "",
    },
    "nih14": {
        "Data_Entry_2017.csv": f"{NIH},\r\n"
        + "00000001_000.png,Mass|Hernia,0,1,058Y,M,PA,1,2,0.1,0.1,\r\n"
        + "00000002_000.png,No Finding,1,2,80,F,AP,1,2,0.1,0.1,\r\n",
        "BBox_List_2017.csv": "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
        + "00000001_000.png,Infiltrate,1,2.5,3,4\n",
        "train_val_list.txt": "00000001_000.png\n",
        "test_list.txt": "00000002_000.png",
    },
    "onehot": {
        "train-small.csv": f"Image,PatientId,{','.join(NIH14_LABELS)}\na.png,1{',0' * 14}\n",
        "valid-small.csv": f"PatientId,Image,{','.join(NIH14_LABELS)}\n2,b.png{',1' * 14}\n",
    },
}
FILES = [(tree, name) for tree, files in TREES.items() for name, text in files.items() if text]


def damage(text: str, rng: random.Random) -> bytes:
    """Return the text with a few random hurts, as bytes."""
    for _ in range(rng.randint(0, 2)):
        cells = text.split(",")
        cells[rng.randrange(len(cells))] = rng.choice(CELLS)
        text = ",".join(cells)
    data = bytearray(text.encode())
    for _ in range(rng.choice((0, 0, 1, 1, 2, 8))):
        at = rng.randrange(len(data) + 1)
        to = min(len(data), at + rng.choice((1, 1, 2, 10, 100)))
        hurt = rng.randrange(6)
        if hurt == 0:
            del data[at:to]
        elif hurt == 1:
            data[at:at] = data[at:to]
        elif hurt == 2:
            data[at:to] = rng.randbytes(to - at)
        elif hurt == 3:
            data[at:at] = rng.choice((b'"', b",", b"\n", b"\r", b"\0", b"=", b"\xff\xfe", b"\xc3"))
        elif hurt == 4:
            del data[at:]
        else:
            data[at:to] = data[at:to][::-1]
    return bytes(data)


def write_tree(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode())


@pytest.mark.parametrize("tree", TREES)
def test_the_trees_are_read_while_they_are_whole(tmp_path, tree):
    write_tree(tmp_path, TREES[tree])
    assert read_dataset(tmp_path).records


@pytest.mark.parametrize(("tree", "name"), FILES, ids=[f"{t}-{Path(n).name}" for t, n in FILES])
def test_a_damaged_table_is_read_or_refused(tmp_path, tree, name):
    write_tree(tmp_path, TREES[tree])
    outcomes = set()
    for seed in range(CASES):
        data = damage(TREES[tree][name], random.Random(f"{name} {seed}"))
        (tmp_path / name).write_bytes(data)
        try:
            assert isinstance(read_dataset(tmp_path), DataSet)
            if tree == "onehot":
                read_onehot_tables(tmp_path)
            outcomes.add("read")
        except FedCxrError:
            outcomes.add("refused")
        except Exception as err:
            err.add_note(f"seed {seed}: {data!r}")
            raise
    assert outcomes == {"read", "refused"}


OUTLINES = {
    "segmentations": '{"a": {"Edema": {"size": [2, 3], "counts": "132"}, "Airspace Opacity": '
    '{"size": [2, 3], "counts": "6"}}, "b": {}}',
    "annotations": '{"a": {"img_size": [20, 30], "Edema": [[[1.5, 2], [3, 4]]], "Fracture": []}}',
}


@pytest.mark.parametrize("kind", OUTLINES)
def test_damaged_outlines_are_read_or_refused(tmp_path, kind):
    path = tmp_path / "gt.json"
    for seed in range(2 * CASES):
        data = damage(OUTLINES[kind], random.Random(f"{kind} {seed}"))
        path.write_bytes(data)
        try:
            if kind == "annotations":
                read_annotations(path)
            else:
                for found in read_segmentations(path).values():
                    [decode_rle(rle) for rle in found.values()]
        except FedCxrError:
            continue
        except Exception as err:
            err.add_note(f"seed {seed}: {data!r}")
            raise
