import numpy as np
import pytest

from fedcxr.data.labels import BLANK, NEGATIVE, POSITIVE, UNCERTAIN
from fedcxr.data.readers.tables import (
    nearest,
    read_table_file,
    without_duplicates,
)
from fedcxr.data.records import Record
from fedcxr.errors import RecordError


@pytest.fixture
def table(tmp_path):
    """Read a table of this text."""

    def make(text, aliases=None):
        (tmp_path / "a.csv").write_text(text)
        return read_table_file(tmp_path / "a.csv", aliases)

    return make


def test_columns_are_chosen_by_name_wherever_they_stand(table):
    one = table("Path,Edema\nx,1\ny,0\n")
    other = table("Edema,Note,Path\n1,n,x\n0,m,y\n")
    assert one["Path"] == other["Path"] == ("x", "y")
    assert (one.states(["Edema"]) == other.states(["Edema"])).all()
    assert len(one) == 2


def test_a_column_has_other_spellings(table):
    assert table("No_Finding,b\n1,2\n", {"No_Finding": "No Finding"})["No Finding"] == ("1",)


def test_columns_without_a_name_are_left_out(table):
    # pandas writes its index under no name
    assert [*table(",Path,,Edema,\n0,x,,1,\n").columns] == ["Path", "Edema"]


def test_missing_columns_are_listed_with_the_nearest_ones(table):
    # row 1 of the bad-input table
    read = table("path,Oedema,Age\nx,1,2\n")
    with pytest.raises(RecordError) as caught:
        read.require(["Path", "Edema", "Sex", "Age"])
    assert (
        "row 1: missing columns 'Path' (did you mean 'path'?), 'Edema' (did you mean 'Oedema'?)"
        in (str(caught.value))
    )
    assert "'Sex'. Rename the column in the header" in str(caught.value)
    assert caught.value.exit_code == 3
    with pytest.raises(RecordError, match="missing column 'Fracture'"):
        read["Fracture"]


@pytest.mark.parametrize("sign", [";", "\t"])
def test_a_table_with_another_separator_is_told_so(table, sign):
    with pytest.raises(RecordError, match=r"not separated by commas\. Save it again as CSV with"):
        table(f"Path{sign}Edema\nx{sign}1\n").require(["Path"])


def test_a_column_that_is_there_twice_is_refused(table):
    with pytest.raises(RecordError, match=r"row 1: column 'Path' is there twice; remove one"):
        table("Path,Path\nx,y\n")
    with pytest.raises(RecordError, match="'No Finding' is there twice"):
        table("No_Finding,No Finding\n1,1\n", {"No_Finding": "No Finding"})


@pytest.mark.parametrize("twin", ["edema", "EDEMA", "No  Finding", "no finding", "NoFinding"])
def test_columns_that_differ_in_case_or_blanks_alone_are_refused(table, twin):
    read = table(f"Edema,No Finding,Notes,notes,{twin}\n1,0,a,b,0\n")
    with pytest.raises(RecordError, match=r"row 1: columns .* differ in letter case or blanks"):
        read.require(["Edema", "No Finding"])
    # of columns that nobody asks for, any may be there
    table("Edema,Notes,notes\n1,a,b\n").require(["Edema"])


def test_a_label_is_one_zero_minus_one_or_blank(table):
    text = "Edema,n\n" + "".join(
        f"{cell},x\n" for cell in ("1", "1.0", "0", "0.0", "-1", "-1.0", "")
    )
    expected = [POSITIVE, POSITIVE, NEGATIVE, NEGATIVE, UNCERTAIN, UNCERTAIN, BLANK]
    assert table(text).states(["Edema"])[:, 0].tolist() == expected


@pytest.mark.parametrize("cell", ["2", "2.0", "yes", "1e9", "nan", "1.00", " 1", "0x1", "-0"])
def test_any_other_label_is_refused_with_its_rows_and_their_count(table, cell):
    # row 2 of the bad-input table
    with pytest.raises(RecordError) as caught:
        table("Edema,n\n1,x\n" + f"{cell},x\n" * 12).states(["Edema"])
    assert "12 rows with a wrong 'Edema' (row 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 2 more)" in (
        str(caught.value)
    )
    assert f"the first is {cell!r}, expected 1, 0, -1 or blank" in str(caught.value)


def test_states_of_no_rows_have_a_shape(table):
    assert table("Edema,Fracture\n").states(["Edema", "Fracture"]).shape == (0, 2)


def test_ages_are_whole_years(table):
    assert table("Age\n68\n68.0\n068Y\n0\n150\n").ages("Age") == [68, 68, 68, 0, 150]
    for cell in ("151", "-3", "6.5", "old", "1000", "٦"):
        with pytest.raises(RecordError, match="whole years from 0 to 150"):
            table(f"Age,n\n{cell},1\n").ages("Age")


def test_numbers_are_within_their_limits(table):
    assert table("x\n0\n0.5\n1\n").numbers("x", 0, 1) == [0, 0.5, 1]
    for cell in ("1.1", "nan", "inf", "x", "", "1_0", "٠", " 1"):
        with pytest.raises(RecordError, match="a number from 0 to 1"):
            table(f"x,n\n{cell},1\n").numbers("x", 0, 1)


def test_a_column_that_a_table_lacks_is_kept_as_blanks(table):
    read = table("Path,Hospital\nx,A\ny,B\n")
    assert [*read.kept("Hospital")] == ["A", "B"]
    assert [*read.kept("Ward")] == [*read.kept(None)] == ["", ""]


def test_codes_are_small_integers(table):
    codes = table("a\nx\ny\nx\n").coded("a", {"x": 1, "y": 2}, "x or y")
    assert codes.dtype == np.int8
    assert codes.tolist() == [1, 2, 1]


def record(path, labels=(0,)):
    return Record("p", "p/s", path, "frontal", "AP", "F", 1, "train", labels)


def test_repeated_rows_are_counted_and_contradictions_refused(tmp_path):
    notes: list[str] = []
    kept = without_duplicates([record("a"), record("b"), record("a")], tmp_path / "t.csv", notes)
    assert [r.path for r in kept] == ["a", "b"]
    assert notes == ["t.csv: 1 repeated rows left out."]
    different = [record("a"), record("b"), record("a", (1,))]
    with pytest.raises(RecordError, match="rows 2, 4 are the same image with different values"):
        without_duplicates(different, tmp_path / "t.csv", [])
    with pytest.raises(RecordError, match="rows 2, 3 are the same image with different values"):
        without_duplicates(different, tmp_path / "t.csv", [], rows=[2, 2, 3])


def test_the_nearest_name_is_proposed_whatever_its_case():
    assert nearest("EDEMA", ["Fracture", "Edema"]) == " (did you mean 'Edema'?)"
    assert nearest("xyz", ["Fracture", "Edema"]) == ""
