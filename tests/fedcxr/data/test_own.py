import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from own_folder import YAML, film, make_own, write_rows
from PIL import Image

from fedcxr.data.images.decode import decode
from fedcxr.data.labels import BLANK, MASKED, NEGATIVE, POSITIVE, UNCERTAIN
from fedcxr.data.quality.check import check_data
from fedcxr.data.read import read_dataset
from fedcxr.errors import ConfigError, DataError, LeakError, RecordError


def make_png(folder, rows, header, yaml, *, names=None):
    """Lay out small pictures, which say nothing of themselves, with a table and its file."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names if names is not None else [row[0] for row in rows]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 90, dtype=np.uint8)).save(folder / name)
    write_rows(folder, rows, header)
    (folder / "dataset.yaml").write_text(yaml, "utf-8")
    return folder


PLAIN = """\
table: befund.csv
path: file
patient: who
view: {unknown: frontal}
labels:
  Nodule: nodule
"""
HEADER = ("file", "who", "nodule")
ROWS = [["a.png", "x-1", "1"], ["b.png", "x-2", "0"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_own(tmp_path_factory.mktemp("own") / "klinik", patients=4)


def test_what_the_table_lacks_is_of_the_dicom_headers(folder):
    dataset = read_dataset(folder)
    assert (dataset.layout, dataset.labels) == ("own", ("Rundherd", "Erguss"))
    assert len(dataset.records) == 12
    assert Counter(record.view for record in dataset.records) == {"frontal": 8, "lateral": 4}
    first, second, third = dataset.records[:3]
    assert (first.patient_id, first.study_id) == ("p-0a", "p-0a/1.2.826.0")
    assert {record.patient_id for record in dataset.records} == {"p-0a", "p-1a", "p-2a", "p-3a"}
    assert (first.path, first.sex, first.age, first.projection) == ("bilder/000.dcm", "F", 20, "PA")
    # the second says its view by the orientation alone, which tells no projection
    assert (second.view, second.projection) == ("frontal", "")
    assert (third.view, third.projection, third.age) == ("lateral", "LL", 22)
    assert first.labels == (POSITIVE, POSITIVE)
    assert dataset.records[3].labels == (NEGATIVE, NEGATIVE)
    assert dataset.notes[0] == "Of the DICOM headers: patient, view, study, sex, age."
    (inverted,) = (note for note in dataset.notes if "MONOCHROME1" in note)
    assert inverted.startswith("Of 12 DICOM files 3 are MONOCHROME1")


def test_lateral_films_are_not_taken_for_frontal(folder):
    dataset = read_dataset(folder, views="frontal")
    assert len(dataset.records) == 8
    assert not [record for record in dataset.records if int(record.path[-7:-4]) % 3 == 2]


def test_both_photometric_kinds_show_the_finding_bright(folder):
    for number in (0, 6):  # MONOCHROME1, and a patient with a nodule in MONOCHROME2
        grey = decode(folder / f"bilder/{number:03d}.dcm", 48)
        assert grey[8:20, 8:20].mean() > grey[24:36, 24:36].mean() + 60


def test_the_mapped_site_is_kept_for_by_attribute(folder):
    dataset = read_dataset(folder, column="site")
    assert [record.attribute for record in dataset.records[::3]] == ["Nord", "Süd", "West", "Nord"]
    assert read_dataset(folder, column="haus").records == dataset.records
    with pytest.raises(RecordError, match=r"no column 'hause' \(did you mean 'haus'\?\)"):
        read_dataset(folder, column="hause")


def test_labels_are_those_of_the_file_and_can_be_chosen(folder):
    assert read_dataset(folder, labels=["Erguss"]).labels == ("Erguss",)
    with pytest.raises(ConfigError, match=r"'Ergus' \(did you mean 'Erguss'\?\)"):
        read_dataset(folder, labels=["Ergus"])
    with pytest.raises(ConfigError, match=r"data\.task=lung-lesion: .*has no label 'Lung Lesion'"):
        read_dataset(folder, task="lung-lesion")


def test_the_data_are_clean(folder):
    report = check_data(folder, workers=1, disk_budget_s=0.1)
    assert report.layout == "own"
    assert report.is_clean, [finding.text for finding in report.problems]
    assert report.num_images == 12


def test_one_column_with_a_separator(tmp_path):
    yaml = """\
table: befund.csv
path: file
patient: who
view: {unknown: frontal}
labels:
  Nodule: [rundherd, Nodule]
  Effusion: {present: [erguss], uncertain: ['erguss?']}
  Oedema: {present: [oedem, stauung]}
  Heart: [stauung]
findings:
  column: findings
  separator: ";"
  none: [o.B.]
  ignored: [port]
"""
    cells = ["Rundherd; Erguss", "erguss?;Port", "o.B.", "", "erguss; erguss?", "stauung"]
    rows = [[f"{i}.png", f"p{i}", cell] for i, cell in enumerate(cells)]
    folder = make_png(tmp_path / "own", rows, ("file", "who", "findings"), yaml)
    assert [record.labels for record in read_dataset(folder).records] == [
        (POSITIVE, POSITIVE, NEGATIVE, NEGATIVE),
        (NEGATIVE, UNCERTAIN, NEGATIVE, NEGATIVE),
        (NEGATIVE, NEGATIVE, NEGATIVE, NEGATIVE),
        (BLANK, BLANK, BLANK, BLANK),
        (NEGATIVE, POSITIVE, NEGATIVE, NEGATIVE),
        (NEGATIVE, NEGATIVE, POSITIVE, POSITIVE),
    ]
    rows[1][2] = "erguss;Katheter"
    write_rows(folder, rows, ("file", "who", "findings"))
    words = r"dataset\.yaml: line 10 \(findings\): befund\.csv has 1 row \(row 3\) whose 'findings'"
    with pytest.raises(RecordError, match=words):
        read_dataset(folder)


def test_all_columns_can_be_of_the_table(tmp_path):
    yaml = """\
table: befund.csv
path: {column: file, folder: pics, suffix: .png}
patient: who
study: study
view: {column: view, frontal: [front], lateral: [side]}
sex: {column: sex, F: [w], M: [m]}
age: age
split: {column: fold, test: [holdout]}
labels:
  Nodule: {column: nodule, present: [yes], absent: [no], uncertain: [maybe], blank: [NA, ""]}
"""
    header = ("file", "who", "study", "view", "sex", "age", "fold", "nodule")
    rows = [
        ["a", "007", "s1", "front", "w", "58.0", "train", "Yes"],
        ["b", "007", "s1", "side", "m", "018M", "train", "no"],
        ["c", "11", "s9", "Front", "", "", "holdout", "maybe"],
        ["d", "12", "s9", "front", "U", "7", "holdout", "NA"],
    ]
    names = [f"pics/{row[0]}.png" for row in rows]
    dataset = read_dataset(make_png(tmp_path / "own", rows, header, yaml, names=names))
    one, two, three, four = dataset.records
    assert (one.path, one.patient_id, one.study_id) == ("pics/a.png", "7", "7/s1")
    assert (one.sex, one.age, one.split, one.labels) == ("F", 58, "train", (POSITIVE,))
    assert (two.view, two.age, two.labels) == ("lateral", 1, (NEGATIVE,))
    assert (three.sex, three.age, three.split, three.labels) == ("", None, "test", (UNCERTAIN,))
    assert (four.study_id, four.labels) == ("12/s9", (BLANK,))  # not the study of another patient
    (official,) = dataset.official
    assert (official.split, official.kind, official.files) == ("test", "table", ("befund.csv",))


def test_every_missing_column_is_named_with_its_line_and_the_nearest(tmp_path):
    yaml = PLAIN.replace("who", "whom").replace("Nodule: nodule", "Nodule: nodul")
    folder = make_png(tmp_path / "own", ROWS, HEADER, yaml)
    with pytest.raises(RecordError) as told:
        read_dataset(folder)
    lines = str(told.value).splitlines()
    at = f"{folder}/dataset.yaml: line"
    assert lines[0].startswith(f"{at} 3 (patient): befund.csv has no column 'whom' (did you mean")
    assert lines[1].startswith(f"{at} 6 (labels.Nodule): befund.csv has no column 'nodul' (did you")
    assert "'nodule'" in lines[2]
    assert told.value.exit_code == 3


@pytest.mark.parametrize(
    ("yaml", "rows", "words"),
    [
        (PLAIN, [["a.png", "1", "2"], ["b.png", "2", "yes"]], r"line 6 .*2 rows \(row 2, 3\).*'2'"),
        (PLAIN, [["../a.png", "1", "1"]], r"line 2 \(path\): .*would leave the data folder"),
        (PLAIN, [["/etc/passwd", "1", "1"]], r"line 2 \(path\): .*would leave the data folder"),
        (PLAIN, [["a.png", "", "1"]], r"line 3 \(patient\): .*1 row \(row 2\)"),
        (PLAIN, [["a.png", "Ab", "1"], ["b.png", "aB", "1"]], r"line 3 .*rows 2 and 3 have the sa"),
        (PLAIN, [["a.png", "7", "1"], ["b.png", "007", "1"]], r"line 3 .*leading zeros"),
        (PLAIN, [["a.png", "1", "1"], ["a.png", "2", "1"]], r"rows 2, 3 are the same image"),
        (
            PLAIN.replace("view: {unknown: frontal}\n", ""),
            ROWS,
            r"\(no view yet\): 2 of 2 images .*say no view: no DICOM file.*`view\.unknown`",
        ),
        (PLAIN.replace("patient: who\n", ""), ROWS, r"\(no patient yet\): 2 of 2 .*say no patient"),
    ],
)
def test_a_table_that_is_otherwise_is_refused_with_the_line_to_change(tmp_path, yaml, rows, words):
    folder = make_png(tmp_path / "own", rows, HEADER, yaml, names=["a.png", "b.png"])
    with pytest.raises(DataError, match=re.compile(words, re.DOTALL)) as told:
        read_dataset(folder)
    assert told.value.exit_code == 3


def test_a_view_that_nobody_says_can_be_left_out(tmp_path):
    yaml = PLAIN.replace("{unknown: frontal}", "{column: v, unknown: left out}")
    rows = [["a.png", "1", "1", "PA"], ["b.png", "2", "0", ""]]
    folder = make_png(tmp_path / "own", rows, (*HEADER, "v"), yaml)
    dataset = read_dataset(folder)
    assert [record.path for record in dataset.records] == ["a.png"]
    assert "Left out: 1 images of unknown view." in dataset.notes


@pytest.mark.parametrize(
    ("elements", "why"),
    [
        ({"Modality": "CT"}, "its Modality is CT"),
        ({"BodyPartExamined": "KNEE"}, "its BodyPartExamined is KNEE"),
        ({"BodyPartExamined": "DOE JANE"}, "its BodyPartExamined is another"),
        ({"NumberOfFrames": 2}, "it has several frames"),
    ],
)
def test_a_series_that_is_no_chest_film_is_refused_by_name(tmp_path, elements, why):
    folder = make_own(tmp_path / "own", patients=1)
    odd = film(1, patient="P-0a", is_nodule=False, is_effusion=False, **elements)
    (folder / "bilder/001.dcm").write_bytes(odd)
    with pytest.raises(DataError) as told:
        read_dataset(folder)
    assert "1 of 3 files are no single chest film" in str(told.value)
    assert f"1, as bilder/001.dcm: {why}" in str(told.value)
    assert "DOE" not in str(told.value)
    if "Modality" in elements:
        text = (folder / "dataset.yaml").read_text("utf-8")
        (folder / "dataset.yaml").write_text(text + "dicom: {modality: [CT, DX]}\n", "utf-8")
        assert len(read_dataset(folder).records) == 3


def test_what_a_header_lacks_is_said(tmp_path):
    folder = make_own(tmp_path / "own", patients=1)
    bare = {"ViewPosition": "", "PatientAge": "", "PatientSex": ""}
    silent = film(0, patient="P-0a", is_nodule=False, is_effusion=False, **bare)
    (folder / "bilder/000.dcm").write_bytes(silent)
    words = r"\(no view yet\): 1 of 3 images of befund\.csv \(row 2\) say no view: the DICOM header"
    with pytest.raises(RecordError, match=words):
        read_dataset(folder)
    text = YAML + "view: {unknown: frontal}\n"
    (folder / "dataset.yaml").write_text(text, "utf-8")
    dataset = read_dataset(folder)
    assert dataset.records[0].view == "frontal"
    assert (dataset.records[0].sex, dataset.records[0].age) == ("", None)
    assert dataset.notes[0] == (
        "Of the DICOM headers: patient, view (1 do not say it), study, sex (1 do not say it), "
        "age (1 do not say it)."
    )
    assert "1 images say no view: frontal, as view.unknown is." in dataset.notes


def test_a_header_that_contradicts_the_table_is_told(tmp_path):
    yaml = YAML + "view: blick\n"
    folder = make_own(tmp_path / "own", patients=1, yaml=yaml)
    rows = [[f"{i:03d}.dcm", "ja", "nein", "Nord", "frontal"] for i in range(3)]
    write_rows(folder, rows, ("datei", "rundherd", "erguss", "haus", "blick"))
    dataset = read_dataset(folder)
    assert {record.view for record in dataset.records} == {"frontal"}
    assert any("1 images are of another view by their DICOM header" in n for n in dataset.notes)


def test_own_data_are_joined_by_the_names_of_their_labels(tmp_path, folder):
    other = make_own(
        tmp_path / "other",
        patients=2,
        first=200,
        yaml=YAML.replace("Erguss: erguss", "Oedem: erguss"),
    )
    joined = read_dataset([folder, other])
    assert joined.labels == ("Rundherd",)
    assert {record.source for record in joined.records} == {"own", "own-2"}
    both = read_dataset([folder, other], labels=["Erguss", "Oedem"])
    assert both.records[0].labels == (POSITIVE, MASKED)
    assert both.records[-1].labels == (MASKED, POSITIVE)
    with pytest.raises(LeakError, match=r"own .* and own-2 .*12 images have the same study"):
        read_dataset([folder, Path(shutil.copytree(folder, tmp_path / "copy"))])
    (other / "dataset.yaml").write_text(
        YAML.replace("Erguss:", "Oedem:").replace("Rundherd:", "Infiltrat:"), "utf-8"
    )
    with pytest.raises(ConfigError, match=r"own and own-2 have no label in common"):
        read_dataset([folder, other])


def test_links_out_of_the_folder_are_refused_unless_followed(tmp_path):
    folder = make_own(tmp_path / "own", patients=1)
    (folder / "bilder").rename(tmp_path / "pacs")
    (folder / "bilder").symlink_to(tmp_path / "pacs")
    with pytest.raises(DataError, match="by a symbolic link"):
        read_dataset(folder)
    assert len(read_dataset(folder, follow_links=True).records) == 3


READERS = """\
table: befund.csv
rows: majority
path: {template: "{file:stem}.png", folder: [pics, more]}
patient: who
view: {unknown: frontal}
labels: {Nodule: nodule}
boxes: {of: Nodule, x: x, y: y, width: w, height: h}
"""
BOXES = ("file", "who", "nodule", "x", "y", "w", "h")


def test_the_rows_of_an_image_are_its_readers_and_its_boxes_are_in_its_pixels(tmp_path):
    rows = [
        ["a.dcm", "x-1", "1", "2", "4", "4", "2"],
        ["a.dcm", "x-1", "1", "0", "0", "8", "8"],
        ["a.dcm", "x-1", "0", "", "", "", ""],
        ["b.dcm", "x-2", "1", "", "", "", ""],
        ["b.dcm", "x-2", "0", "", "", "", ""],
    ]
    names = ["pics/a.png", "pics/b.png"]
    folder = make_png(tmp_path / "own", rows, BOXES, READERS, names=names)
    dataset = read_dataset(folder)
    assert [(record.path, record.labels) for record in dataset.records] == [
        ("pics/a.png", (POSITIVE,)),
        ("pics/b.png", (UNCERTAIN,)),
    ]
    assert any("In 1 cells as many say one as the other" in note for note in dataset.notes)
    # of pictures of 8 × 8 pixels
    first, second = dataset.boxes
    assert (first.x, first.y, first.width, first.height) == (0.25, 0.5, 0.5, 0.25)
    assert (second.width, second.height) == (1, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            ("x-1,1,2,4,4,2", "x-1,1,2,4,40,2"),
            r"line 7 \(boxes\): the box .* is not in its picture",
        ),
        (
            ("x-1,1,2,4,4,2", "x-1,1,2,four,4,2"),
            r"line 7 \(boxes\): 1 rows .*\(row 2\) without four",
        ),
        (("x-1,0", "x-9,0"), r"line 2 \(rows\): rows 2, 3, 4 are the same image, pics/a\.png"),
    ],
)
def test_rows_and_boxes_that_contradict_are_refused_with_the_line(tmp_path, change, words):
    rows = [
        ["a.dcm", "x-1", "1", "2", "4", "4", "2"],
        ["a.dcm", "x-1", "1", "0", "0", "8", "8"],
        ["a.dcm", "x-1", "0", "", "", "", ""],
    ]
    folder = make_png(tmp_path / "own", rows, BOXES, READERS, names=["pics/a.png"])
    table = folder / "befund.csv"
    table.write_text(table.read_text("utf-8").replace(*change), "utf-8")
    with pytest.raises(DataError, match=words) as told:
        read_dataset(folder)
    assert told.value.exit_code == 3


def test_an_image_in_two_of_the_named_folders_is_refused_with_both(tmp_path):
    rows = [["a.dcm", "x-1", "1", "", "", "", ""]]
    names = ["pics/a.png", "more/a.png"]  # a folder of masks, say
    folder = make_png(tmp_path / "own", rows, BOXES, READERS, names=names)
    words = (
        r"line 3 \(path\.folder\): a\.png is in pics/ and more/, and which is meant cannot be told"
    )
    with pytest.raises(DataError, match=words):
        read_dataset(folder)


JOINED = PLAIN + "join: [{table: more.csv, on: [who]}]\nage: years\n"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("who,years\nx-1,50\n", r"line 7 \(join\): 1 rows of befund\.csv \(row 3\) have none with"),
        (
            "who,years\nx-1,50\nx-1,51\n",
            r"line 7 \(join\): rows 2 and 3 of more\.csv have the same",
        ),
        (None, r"line 7 \(join\): there is no .*more\.csv"),
        ("who,year\nx-1,50\nx-2,51\n", r"line 8 \(age\): .*no column 'years' \(did you mean 'year"),
    ],
)
def test_a_table_that_does_not_join_is_refused_with_the_line(tmp_path, more, words):
    folder = make_png(tmp_path / "own", ROWS, HEADER, JOINED)
    if more is not None:
        (folder / "more.csv").write_text(more, "utf-8")
    with pytest.raises(DataError, match=words) as told:
        read_dataset(folder)
    assert told.value.exit_code == 3


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("path: file", "path: '{file'", r"a template has columns in braces"),
        ("path: file", "path: {suffix: .png}", r"name either the column or a template"),
        ("table: befund.csv", "table: {fold: befund.csv}", r"line 1: table"),
        ("  Nodule: nodule", "  Nodule: nodule\nboxes: {x: x, y: y}", r"boxes: name either"),
        ("  Nodule: nodule", "  Nodule: nodule\njoin: [{table: b.csv, no: [x]}]", r"no such key"),
    ],
)
def test_new_keys_that_are_wrong_are_faults_of_the_file(tmp_path, old, new, words):
    folder = make_png(tmp_path / "own", ROWS, HEADER, PLAIN.replace(old, new))
    with pytest.raises(ConfigError, match=words) as told:
        read_dataset(folder)
    assert told.value.exit_code == 2
