from dataclasses import replace

import pytest

from fedcxr.data.tokens import Tokens
from fedcxr.errors import DataError, LeakError, RecordError
from partitions.record_table import tokenise
from partitions.table import read_table, write_table


@pytest.fixture
def table(make_dataset, key):
    dataset = make_dataset(3, images_each=2)
    return tokenise(dataset, Tokens(key), ["train"] * 4 + ["val"] * 2)


def same(one, other):
    return (
        repr(one) == repr(other) and (one.states == other.states).all() and one.path == other.path
    )


def test_what_is_written_is_read_back(tmp_path, table):
    write_table(table, tmp_path / "site.csv")
    assert same(read_table(tmp_path / "site.csv"), table)
    own = replace(table, path=tuple(f"images/{i}.jpg" for i in table.image_id), age=(None,) * 6)
    write_table(own, tmp_path / "own.csv")
    assert same(read_table(tmp_path / "own.csv"), own)


def test_the_header_is_the_contract_with_a_hospital(tmp_path, table):
    write_table(table, tmp_path / "site.csv")
    lines = (tmp_path / "site.csv").read_text().splitlines()
    assert lines[0] == ("image_id,patient_id,study_id,split,view,projection,sex,age,Edema,Fracture")
    assert lines[1].endswith(",train,frontal,AP,F,50,1,-1")  # patient 1: odd, and not 0 mod 3
    assert lines[6].endswith(",val,frontal,AP,F,50,1,")  # patient 3: Fracture not mentioned


def test_a_hospital_s_patient_in_two_spellings_is_in_one_split_only(tmp_path, table):
    paths = tuple(f"images/{i}.jpg" for i in table.image_id)
    spelled = ("P7", "P8", "P9", "P10", "p07", "P11")  # the fifth is the first, and validates
    own = replace(table, path=paths, patient_id=spelled)
    write_table(own, tmp_path / "site.csv")
    with pytest.raises(LeakError, match="1 patient is in two sets"):
        read_table(tmp_path / "site.csv")
    apart = ("P7", "P8", "P9", "P10", "p70", "P11")
    write_table(replace(own, patient_id=apart), tmp_path / "site.csv")
    assert read_table(tmp_path / "site.csv").patient_id == apart  # as the hospital spells them


def test_a_label_that_the_source_does_not_have_is_written_as_na(tmp_path, table):
    states = table.states.copy()
    states[:2, 1] = -3
    write_table(replace(table, states=states), tmp_path / "site.csv")
    assert (tmp_path / "site.csv").read_text().splitlines()[1].endswith(",1,NA")
    assert (read_table(tmp_path / "site.csv").states == states).all()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (",train,", ",training,", r"wrong 'split' \(row 2, 3, 4, 5\)"),
        (",frontal,", ",oblique,", "wrong 'view'"),
        ("Edema,Fracture\n", "Edema,Edema\n", "is there twice"),
        ("patient_id", "patient", "'patient_id' .did you mean 'patient'"),
        (",1,-1\n", ",1,2.0\n", "wrong 'Fracture'.*1, 0, -1, NA or blank"),
        (",AP,", ",AP!,", "wrong 'projection'"),
        (",50,", ",five,", "wrong 'age'"),
    ],
)
def test_a_wrong_cell_is_refused(tmp_path, table, old, new, words):
    path = tmp_path / "site.csv"
    write_table(table, path)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(RecordError, match=words):
        read_table(path)


def test_a_table_without_labels_is_refused(tmp_path, table):
    write_table(replace(table, labels=(), states=table.states[:, :0]), tmp_path / "site.csv")
    with pytest.raises(RecordError, match="no label column"):
        read_table(tmp_path / "site.csv")


def test_a_path_out_of_the_folder_is_refused(tmp_path, table):
    write_table(replace(table, path=("../x.jpg",) * 6), tmp_path / "site.csv")
    with pytest.raises(DataError, match="would leave the data folder"):
        read_table(tmp_path / "site.csv")


def test_an_image_that_is_there_twice_is_refused(tmp_path, table):
    write_table(replace(table, image_id=table.image_id[:1] * 6), tmp_path / "site.csv")
    with pytest.raises(RecordError, match="1 images are there more than once"):
        read_table(tmp_path / "site.csv")


def test_a_hospital_with_a_patient_in_its_train_and_val_is_refused(tmp_path, table):
    write_table(replace(table, patient_id=("4711",) * 6), tmp_path / "site.csv")
    with pytest.raises(LeakError, match="in site/train and site/val") as caught:
        read_table(tmp_path / "site.csv")
    assert "4711" not in str(caught.value)
