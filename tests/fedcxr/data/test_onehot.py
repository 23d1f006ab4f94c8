import pytest

from fedcxr.data.labels import NEGATIVE, NIH14_LABELS, POSITIVE
from fedcxr.data.leaks import has_leak
from fedcxr.data.read import read_dataset
from fedcxr.data.readers.nih14_onehot import read_onehot, read_onehot_tables
from fedcxr.data.records import OfficialSet
from fedcxr.errors import ConfigError, DataError, LeakError, RecordError

# As the course has them: the columns stand in another order in test.csv.
TRAIN_HEADER = ["Image", *NIH14_LABELS[:11], "PatientId", *NIH14_LABELS[11:]]
TEST_HEADER = ["Image", "PatientId", *NIH14_LABELS[::-1]]


@pytest.fixture
def write(tmp_path):
    """Write a table of (image, patient, findings) rows."""

    def make(name, *rows, header=TRAIN_HEADER, one="1"):
        lines = [",".join(header)]
        for image, patient, *findings in rows:
            known = {"Image": image, "PatientId": patient}
            lines.append(",".join(known.get(c) or (one if c in findings else "0") for c in header))
        (tmp_path / name).write_text("\n".join(lines) + "\n")
        return tmp_path

    return make


@pytest.fixture
def folder(write):
    write("train-small.csv", ("00000001_000.png", "1", "Mass", "Edema"), ("00000001_001.png", "1"))
    write("valid-small.csv", ("00000002_000.png", "2", "Hernia"))
    return write("test.csv", ("00000003_000.png", "00000003", "Mass"), header=TEST_HEADER)


def test_columns_are_chosen_by_name_and_splits_by_file(folder):
    dataset = read_dataset(folder, labels=["Mass", "Edema"])
    assert (dataset.layout, dataset.root) == ("nih14-onehot", folder)
    assert [record.split for record in dataset.records] == ["train", "train", "val", "test"]
    assert [record.labels for record in dataset.records] == [
        (POSITIVE, POSITIVE),
        (NEGATIVE, NEGATIVE),
        (NEGATIVE, NEGATIVE),
        (POSITIVE, NEGATIVE),
    ]
    assert read_dataset(folder).labels == NIH14_LABELS


def test_a_record_says_what_little_the_tables_know(folder):
    record = read_dataset(folder).records[-1]
    assert (record.patient_id, record.study_id) == ("3", "00000003_000")
    assert (record.path, record.source) == ("images/00000003_000.png", "nih14")
    assert (record.view, record.projection, record.sex, record.age) == ("frontal", "", "", None)


def test_the_notes_credit_nih_and_the_held_out_tables_are_named(write, folder):
    dataset = read_dataset(folder)
    assert "NIH Clinical Center" in " ".join(dataset.notes)
    assert dataset.official == (
        OfficialSet("val", "table", ("valid-small.csv",), "nih14"),
        OfficialSet("test", "table", ("test.csv",), "nih14"),
    )
    write("test.csv")  # a header and no rows
    assert [one.split for one in read_dataset(folder).official] == ["val"]
    (folder / "test.csv").unlink()
    (folder / "valid-small.csv").unlink()
    assert read_dataset(folder).official == ()


@pytest.mark.parametrize("place", ["", "images-small/", "images/"])
def test_images_lie_beside_the_tables_or_in_a_folder(folder, place):
    (folder / place).mkdir(exist_ok=True)
    (folder / f"{place}00000002_000.png").touch()
    assert read_dataset(folder).records[2].path == f"{place}00000002_000.png"


def test_an_image_beside_the_tables_and_in_a_folder_is_refused(folder):
    (folder / "images-small").mkdir()
    for place in ("", "images-small/"):
        (folder / f"{place}00000002_000.png").write_text(place)
    words = r"1 image is there twice.*: the first is 00000002_000.png or images-small/00000002_000"
    with pytest.raises(DataError, match=words):
        read_dataset(folder)


def test_a_patient_of_two_splits_is_refused_with_counts_and_hashes(write, folder):
    write("valid-small.csv", ("00000001_000.png", "00000001"), ("00000001_007.png", "1"))
    with pytest.raises(LeakError) as caught:
        read_dataset(folder)
    # sha256 of "1" begins with 6b86b273
    assert "1 patients and 1 images are in train-small.csv and in valid-small.csv: #6b86b273" in (
        str(caught.value)
    )
    assert "Move valid-small.csv to another folder" in str(caught.value)
    assert caught.value.exit_code == 3


def test_the_tables_themselves_can_still_be_read_and_compared(write, folder):
    write("valid-small.csv", ("00000001_000.png", "00000001"))
    tables = read_onehot_tables(folder)
    assert [*tables] == ["train-small.csv", "valid-small.csv", "test.csv"]
    assert tables["valid-small.csv"]["PatientId"] == ("1",)  # unpadded
    assert has_leak(tables["train-small.csv"], tables["valid-small.csv"], "PatientId")
    assert not has_leak(tables["train-small.csv"], tables["test.csv"], "PatientId")


def test_a_single_table_of_any_name_has_no_split(write, tmp_path):
    write("nih.csv", ("a.png", "1", "Mass"), ("b.png", "2"))
    assert [record.split for record in read_dataset(tmp_path).records] == ["", ""]


def test_a_table_whose_name_says_no_split_is_left_out_beside_those_that_do(write, folder):
    write("everything.csv", ("00000001_000.png", "1"), ("00000009_000.png", "9"))
    dataset = read_dataset(folder)
    assert len(dataset.records) == 4
    assert "everything.csv: left out, since the name does not say the split." in dataset.notes


@pytest.mark.parametrize(
    "name", ["nih_test.csv", "my-test-small.csv", "2024 Test.csv", "nihTest.csv", "testing.csv"]
)
def test_a_table_named_test_somewhere_is_tested_on(write, folder, name):
    (folder / "test.csv").rename(folder / name)
    records = read_dataset(folder).records
    assert [record.split for record in records] == ["train", "train", "val", "test"]
    assert records[3].patient_id == "3"


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("nih_train_val.csv", "train"),
        ("train-valid-small.csv", "train"),
        ("dev.csv", "val"),
        ("NIH_VALIDATION.csv", "val"),
        ("latest.csv", ""),
        ("contest-values.csv", ""),
        ("detrain.csv", ""),
    ],
)
def test_the_words_of_a_name_say_its_split(write, tmp_path, name, split):
    write(name, ("a.png", "1", "Mass"))
    assert read_dataset(tmp_path).records[0].split == split


@pytest.mark.parametrize("name", ["train_test.csv", "test-valid.csv", "train_val_test.csv"])
def test_a_name_that_says_two_splits_is_refused(write, folder, name):
    write(name, ("a.png", "9", "Mass"))
    with pytest.raises(DataError, match=rf"{name}: its name says .* and .*Rename it so that"):
        read_dataset(folder)


def test_one_image_under_two_patients_in_two_splits_is_refused(write, folder):
    write("test.csv", ("00000001_000.png", "3", "Mass"), header=TEST_HEADER)
    words = (
        r"1 images are in two tables: the first, 00000001_000.png, is in train-small.csv and in te"
    )
    with pytest.raises(RecordError, match=words):
        read_dataset(folder)


def test_train_csv_with_these_columns_is_no_chexpert(write, tmp_path):
    write("train.csv", ("a.png", "1", "Mass"))
    assert read_dataset(tmp_path).layout == "nih14-onehot"


@pytest.mark.parametrize("value", ["2", "-1", "", "yes"])
def test_a_label_is_one_or_zero(write, folder, value):
    header = [*TRAIN_HEADER, "Note"]  # a line that ends with a blank would look too short
    if value:
        write("train-small.csv", ("a.png", "1", "Mass"), header=header, one=value)
    else:
        text = (folder / "train-small.csv").read_text().replace("000.png,0,", "000.png,,")
        (folder / "train-small.csv").write_text(text)
    with pytest.raises(RecordError, match=r"train-small.csv: 1 row with a wrong.*expected 1 or 0"):
        read_dataset(folder)


def test_integer_and_decimal_cells_mean_the_same(write, folder):
    plain = read_dataset(folder).records
    text = (folder / "test.csv").read_text().replace(",0", ",0.0").replace(",1", ",1.0")
    (folder / "test.csv").write_text(text.replace("0.00000003", "00000003"))
    assert read_dataset(folder).records == plain


def test_a_missing_label_is_named_with_the_nearest(write, folder):
    header = [name.replace("Edema", "Oedema") for name in TRAIN_HEADER]
    write("train-small.csv", ("a.png", "1"), header=header)
    with pytest.raises(RecordError, match=r"missing column 'Edema' .did you mean 'Oedema'"):
        read_dataset(folder)
    assert read_dataset(folder, labels=["Mass"]).labels == ("Mass",)


@pytest.mark.parametrize(
    ("image", "patient", "words"),
    [
        ("../../etc/passwd", "1", r"\(row 2\) would leave the data folder"),
        ("/a.png", "1", "would leave the data folder"),
        ("a.png", "p1", "wrong 'PatientId'.*a whole number"),
    ],
)
def test_wrong_images_and_patients_are_refused(write, folder, image, patient, words):
    write("train-small.csv", (image, patient))
    with pytest.raises(DataError, match=words):
        read_dataset(folder)


def test_one_image_in_two_tables_of_a_split_is_refused(write, folder):
    write("train-more.csv", ("00000001_000.png", "1"))
    with pytest.raises(
        RecordError, match=r"1 images are in two tables: .* is in train-more.csv and in tr"
    ):
        read_dataset(folder)


def test_a_repeated_row_is_left_out_and_counted(write, folder):
    write("valid-small.csv", ("v.png", "2"), ("v.png", "2"))
    assert "valid-small.csv: 1 repeated rows left out." in read_dataset(folder).notes


def test_a_column_of_the_training_table_is_kept_as_the_attribute(write, folder):
    assert read_dataset(folder, column="PatientId").records[0].attribute == "1"
    with pytest.raises(RecordError, match="missing column 'Hospital'"):
        read_dataset(folder, column="Hospital")


def test_there_are_no_tables_of_labels_to_choose_from(folder):
    with pytest.raises(ConfigError, match=r"only CheXpert has several tables of training labels"):
        read_dataset(folder, label_table="train_cheXbert.csv")


def test_a_folder_without_such_a_table_is_refused(tmp_path):
    with pytest.raises(RecordError, match="no table with the columns Image, PatientId and find"):
        read_onehot(tmp_path)


@pytest.mark.real
def test_the_sample_tables_share_75_of_the_77_patients(sample_data):
    folder = sample_data / "nih_onehot_csv"
    tables = read_onehot_tables(folder)
    train, valid, test = (set(table["PatientId"]) for table in tables.values())
    assert [len(table) for table in tables.values()] == [425, 77, 174]
    assert (len(valid), len(train & valid), len(test & (train | valid))) == (77, 75, 0)
    with pytest.raises(
        LeakError, match=r"75 patients and 75 images are in train-small.csv and in v"
    ):
        read_dataset(folder)
