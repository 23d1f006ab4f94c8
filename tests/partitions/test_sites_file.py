import pytest

from fedcxr.errors import DataError, LeakError, RecordError
from partitions.sites_file import assign_by_file, site_names


@pytest.fixture
def write(tmp_path):
    def write(*rows, header="patient_id,site"):
        path = tmp_path / "sites.csv"
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    return write


def test_sites_are_named_by_the_file(write):
    path = write("p2,north", "p1,south", "p3,north", "p9,east")
    site_of, names = assign_by_file(path, ["p1", "p2", "p3"])
    assert names == site_names(path) == ("east", "north", "south")
    assert site_of.tolist() == [2, 1, 1]  # p9 is not in the data set: that harms nobody


def test_sites_are_in_the_order_of_their_files(write):
    # Simulated clients are numbered along the sorted files: a-b.csv comes before a.csv.
    assert site_names(write("p1,a", "p2,a-b")) == ("a-b", "a")


def test_columns_are_chosen_by_name_and_a_repeated_row_is_harmless(write):
    path = write("7,x,p1", "8,y,p2", "9,x,p1", header="age,site,patient_id")
    assert assign_by_file(path, ["p1", "p2"])[0].tolist() == [0, 1]


def test_a_patient_at_two_sites_is_a_leak_and_is_not_named(write):
    with pytest.raises(LeakError, match=r"1 patients are at two sites: #\w+ in row 4 ") as caught:
        site_names(write("patient00001,a", "patient00002,b", "patient00001,b"))
    assert "patient" not in str(caught.value).partition("#")[2].partition("(")[0]


def test_a_patient_in_two_spellings_is_one_patient(write):
    with pytest.raises(LeakError, match="1 patients are at two sites"):
        site_names(write("patient00013,a", "Patient13,b"))
    path = write("00000013,a", "14.0,b", " 15 ,a", "PATIENT 016,b")
    assert assign_by_file(path, ["13", "14", "15", "patient16"])[0].tolist() == [0, 1, 0, 1]
    path = write("nih14/00000013,a", "CheXpert/patient00013,b")
    assert assign_by_file(path, ["nih14/13", "chexpert/patient13"])[0].tolist() == [0, 1]


def test_a_patient_that_the_file_forgets_is_an_error_and_is_not_named(write):
    path = write("patient00001,a", "patient00020,b", "patient00003,b")
    with pytest.raises(
        DataError, match="1 of 3 patients to share are not in the file: #"
    ) as caught:
        assign_by_file(path, ["patient00001", "patient00002", "patient00003"])
    assert "and 1 of its patients are not among them" in str(caught.value)
    assert "patient2" not in str(caught.value).replace("patient00001", "")


@pytest.mark.parametrize("name", ["", "../up", "a/b", "ward 3", "global", "Global", "x" * 65])
def test_a_name_that_is_no_name_of_a_site_is_refused(write, name):
    with pytest.raises(RecordError, match=r"wrong 'site' \(row 3\).*letters, digits"):
        site_names(write("p1,a", f"p2,{name}"))


def test_names_that_differ_only_in_case_are_refused(write):
    with pytest.raises(RecordError, match="differ only in upper and lower case"):
        site_names(write("p1,North", "p2,north"))


@pytest.mark.parametrize("patient", ["", " ", "nan", "None"])
def test_a_blank_patient_is_refused(write, patient):
    with pytest.raises(RecordError, match=r"wrong 'patient_id' \(row 2\)"):
        site_names(write(f"{patient},a"))


def test_a_file_without_patients_is_refused(write):
    with pytest.raises(DataError, match="the file names no patient"):
        site_names(write())


def test_a_column_of_another_name_is_refused_with_the_nearest(write):
    with pytest.raises(RecordError, match=r"'patient_id' .did you mean 'PatientId'"):
        site_names(write("p1,a", header="PatientId,site"))
