import numpy as np
import pytest
from own_folder import make_own, write_rows
from PIL import Image

from fedcxr.data.proposal.propose import propose
from fedcxr.data.read import read_dataset
from fedcxr.errors import DataError


def picture(file):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), 90, dtype=np.uint8)).save(file)


def proposed(folder, **options):
    """Return the proposal's lines without reasons, and the data set as it reads it."""
    text = propose(folder, **options)
    (folder / "dataset.yaml").write_text(text, "utf-8")
    return [line.partition("  # ")[0].rstrip() for line in text.splitlines()], text


def test_of_dicom_files_the_headers_fill_in_what_the_table_lacks(tmp_path):
    folder = make_own(tmp_path / "klinik", patients=4, yaml="")
    lines, text = proposed(folder)
    assert "table: befund.csv" in lines
    assert "path: {column: datei, folder: bilder}" in lines
    assert "site: haus" in lines
    assert lines[-7:] == [
        "  rundherd: rundherd",
        "  erguss: erguss",
        "values:",
        "  present: [ja]",
        "  absent: [nein]",
        "  uncertain: []",
        "  blank: []",
    ]
    assert "# patient: no column; of the DICOM headers, PatientID, which 12 of 12" in text
    assert "which 12 of 12 looked at have (frontal 8, lateral 4)" in text
    assert all("  # " in line or line.startswith("#") for line in text.splitlines())
    dataset = read_dataset(folder)
    assert dataset.labels == ("rundherd", "erguss")
    assert len(dataset.records) == 12


def test_columns_are_known_by_their_names_and_cells(tmp_path):
    header = ("ImageID", "Patient ID", "ViewPosition", "Gender", "Age", "Set", "Nodule", "Comment")
    rows = [
        ["a", "P 1", "PA", "w", "40", "train", "yes", "x"],
        ["b", "P 1", "LATERAL", "w", "40", "train", "no", "y"],
        ["c", "P 2", "AP", "m", "", "test", "maybe", "z"],
    ]
    for name in "abc":
        picture(tmp_path / f"own/img/{name}.png")
    write_rows(tmp_path / "own", rows, header)
    lines, _ = proposed(tmp_path / "own")
    assert "path: {column: ImageID, folder: img, suffix: .png}" in lines
    assert "patient: Patient ID" in lines
    assert "view: {column: ViewPosition, frontal: [PA, AP], lateral: [LATERAL]}" in lines
    assert "sex: {column: Gender, F: [w], M: [m]}" in lines
    assert "age: Age" in lines
    assert "split: {column: Set, train: [train], test: [test]}" in lines
    assert "  Nodule: Nodule" in lines
    assert "  uncertain: [maybe]" in lines
    assert not [line for line in lines if "Comment" in line]
    dataset = read_dataset(tmp_path / "own")
    assert [record.view for record in dataset.records] == ["frontal", "lateral", "frontal"]
    assert [record.labels for record in dataset.records] == [(1,), (0,), (-1,)]


def test_one_column_of_findings(tmp_path):
    rows = [
        ["a.png", "1", "Nodule|Effusion"],
        ["b.png", "2", "No Finding"],
        ["c.png", "3", "Effusion"],
        ["d.png", "4", "Effusion"],
    ]
    for row in rows:
        picture(tmp_path / "own" / row[0])
    write_rows(tmp_path / "own", rows, ("file", "pid", "diagnoses"))
    lines, text = proposed(tmp_path / "own")
    assert "  Effusion: [Effusion]" in lines
    assert 'findings: {column: diagnoses, separator: "|", none: [No Finding]}' in lines
    assert "view: {unknown: frontal}" in lines
    assert "NOTHING SAYS IT" in text
    states = [record.labels for record in read_dataset(tmp_path / "own").records]
    assert states == [(1, 1), (0, 0), (1, 0), (1, 0)]


def test_what_is_not_understood_is_said_at_its_line(tmp_path):
    rows = [["a.png", "1", "PA", "yes"], ["b.png", "2", "schräg", "no"]]
    for row in rows:
        picture(tmp_path / "own" / row[0])
    write_rows(tmp_path / "own", rows, ("file", "pid", "view", "nodule"))
    _, text = proposed(tmp_path / "own")
    assert "ADD what these mean: 'schräg'" in text
    with pytest.raises(DataError, match=r"\(view\): befund\.csv has 1 row \(row 3\)"):
        read_dataset(tmp_path / "own")


def test_images_of_the_same_names_in_two_folders_are_refused_with_both(tmp_path):
    rows = [["a.png", "1", "yes"], ["b.png", "2", "no"]]
    for row in rows:
        picture(tmp_path / "own/images" / row[0])
        picture(tmp_path / "own/masks" / row[0])
    write_rows(tmp_path / "own", rows, ("file", "pid", "nodule"))
    with pytest.raises(DataError, match=r"files that are in images/, masks/.*--images"):
        propose(tmp_path / "own")
    lines, _ = proposed(tmp_path / "own", images="images")
    assert "path: {column: file, folder: images}" in lines


def test_the_folder_itself_can_be_that_of_the_images(tmp_path):
    rows = [["a.png", "1", "yes"], ["b.png", "2", "no"]]
    for row in rows:
        picture(tmp_path / "own" / row[0])
        picture(tmp_path / "own/masks" / row[0])
    write_rows(tmp_path / "own", rows, ("file", "pid", "nodule"))
    with pytest.raises(DataError, match=r"files that are in \./, masks/"):
        propose(tmp_path / "own")
    assert "path: {column: file}" in proposed(tmp_path / "own", images=".")[0]


def test_two_tables_of_the_same_images_are_refused_with_both(tmp_path):
    folder = make_own(tmp_path / "own", patients=1, yaml="")
    (folder / "copy.csv").write_bytes((folder / "befund.csv").read_bytes())
    with pytest.raises(DataError, match=r"befund\.csv, copy\.csv name the same number of images"):
        propose(folder)
    assert "table: copy.csv" in proposed(folder, table_name="copy.csv")[0]


@pytest.mark.parametrize("lacking", ["table", "images", "names"])
def test_a_folder_without_a_table_or_images_is_refused(tmp_path, lacking):
    folder = make_own(tmp_path / "own", patients=1, yaml="")
    if lacking == "table":
        (folder / "befund.csv").unlink()
        words = "no CSV table is here"
    elif lacking == "images":
        for file in (folder / "bilder").iterdir():
            file.unlink()
        words = "no image file is below it"
    else:
        write_rows(folder, [["x.dcm", "ja", "nein", "Nord"]])
        words = r"no column of befund\.csv names one of the 3 image files, such as bilder/000\.dcm"
    with pytest.raises(DataError, match=words):
        propose(folder)
