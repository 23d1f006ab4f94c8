import csv
from pathlib import Path

import pytest

from fedcxr.data.readers.csv_file import MAX_FIELD_CHARS, read_header, read_rows
from fedcxr.errors import RecordError


def write(folder: Path, data: str | bytes) -> Path:
    path = folder / "a.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize(
    "data",
    [
        "a,b\n1,2\n",
        "a,b\n1,2",
        "a,b\r\n1,2\r\n",
        "\ufeffa,b\r\n1,2\r\n",
        "a,b,,\n1,2,,\n",
        "a,b,\n1,2\n\n\n",
        '"a","b"\n"1","2"\n',
    ],
)
def test_what_spreadsheets_leave_in_a_file_is_accepted(tmp_path, data):
    # row 11 of the bad-input table
    rows = read_rows(write(tmp_path, data))
    assert rows[0] == ["a", "b"]
    assert rows[1][:2] == ["1", "2"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("a,b\n1,2\n".encode("utf-16"), "row 1: UTF-16 or binary.*Save it again as CSV in UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), "UTF-16 or binary"),
        (b"a,b\n1,2\n3,\xe9\n", "row 3: byte 10 is not UTF-8. Save it again"),
        ("", "the file is empty"),
        ("\n\n,,\n", "the file is empty"),
        ("\na,b\n1,2\n", "row 1 is empty; the header must stand there"),
        ("a,b\n1,2\n3\n", r"1 row \(row 3\) without exactly 2 fields.*the first has 1"),
        ("a,b\n1,2\n\n3,4\n", r"1 row \(row 3\) without exactly 2 fields.*the first has 0"),
        ("a,b\n1,2,3\n", r"\(row 2\) without exactly 2 fields.*the first has 3"),
        ('a,b\n1,"2\n3,4\n', "row 2: not a readable CSV file: unexpected end of data"),
        ('a,b\n1,2\n3,"4"5\n', "row 3: not a readable CSV file"),
    ],
)
def test_a_file_that_is_no_rectangle_of_utf8_is_refused_with_its_row(tmp_path, data, words):
    # row 11 of the bad-input table
    with pytest.raises(RecordError, match=words) as caught:
        read_rows(write(tmp_path, data))
    assert caught.value.exit_code == 3


# 100,001 and 131,072 pass csv's own limit, 131,073 does not
@pytest.mark.parametrize("length", [MAX_FIELD_CHARS + 1, 131_072, 131_073, 1_000_000])
def test_a_field_of_too_many_characters_is_refused_with_its_row(tmp_path, length):
    # row 11 of the bad-input table
    limit = csv.field_size_limit()
    with pytest.raises(RecordError, match="row 3: a field of more than 100,000 characters"):
        read_rows(write(tmp_path, f"a,b\n1,2\n3,{'x' * length}\n5,6\n"))
    assert csv.field_size_limit() == limit


def test_the_longest_field_that_is_allowed_is_read(tmp_path):
    rows = read_rows(write(tmp_path, f"a\n{'x' * MAX_FIELD_CHARS}\n"))
    assert len(rows[1][0]) == MAX_FIELD_CHARS


FORMULAS = [
    "=1+1",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "@SUM(A1:A9)",
    "\t=1",
    '"\r=1"',
    '"=HYPERLINK(""http://a.b"",""c"")"',
    "-1+cmd|' /C calc'!A0",
    "-A1",
    "--1",
    "-1,5".join('""'),
]


@pytest.mark.parametrize("cell", FORMULAS)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_formula_is_refused_wherever_it_stands(tmp_path, cell, line_end):
    # row 11 of the bad-input table
    for place, column in ((f"{cell},2,3", "a"), (f"1,{cell},3", "b"), (f"1,2,{cell}", "c")):
        path = write(tmp_path, line_end.join(["a,b,c", "4,5,6", place, "7,8,9"]))
        with pytest.raises(RecordError, match=r"1 cell that a .* formula \(row 3\)") as caught:
            read_rows(path)
        assert f"row 3, column '{column}'. Put the value itself there" in str(caught.value)


def test_a_formula_in_the_header_is_refused(tmp_path):
    with pytest.raises(RecordError, match=r"1 cell that .* \(row 1\)"):
        read_rows(write(tmp_path, "=a,b\n1,2\n"))


def test_of_many_formulas_ten_rows_are_named(tmp_path):
    path = write(tmp_path, "a,b\n" + "=1,=2\n" * 12)
    with pytest.raises(RecordError, match=r"24 cells .*row 2, 3, 4, .*, 11 and 2 more"):
        read_rows(path)


@pytest.mark.parametrize(
    "cell",
    [
        "-1",
        "-1.0",
        "-.5",
        "-1e-3",
        "-",
        "",
        "a=b",
        "1-2",
        "x@y",
        "a,=1",
        "a\n=1",
        "1\t2",
        "Follow-up #",
    ],
)
def test_a_number_below_zero_and_a_sign_inside_a_cell_are_values(tmp_path, cell):
    path = tmp_path / "a.csv"
    for line_end in ("\n", "\r\n"):
        with path.open("w", newline="") as file:
            csv.writer(file, lineterminator=line_end).writerows(["abcd", [cell, cell, cell, "1"]])
        assert read_rows(path)[1] == [cell, cell, cell, "1"]


def test_a_file_that_cannot_be_read_is_refused(tmp_path, monkeypatch):
    with pytest.raises(RecordError, match=r"cannot be read \(No such file"):
        read_rows(tmp_path / "absent.csv")
    monkeypatch.setattr("fedcxr.data.readers.csv_file.MAX_TABLE_BYTES", 3)
    with pytest.raises(RecordError, match="larger than 1 GiB"):
        read_rows(write(tmp_path, "a,b\n"))


def test_a_header_is_read_alone_and_never_fails(tmp_path):
    assert read_header(write(tmp_path, "\ufeffa, b ,c\r\n1,2,3")) == ("a", "b", "c")
    assert read_header(write(tmp_path, b"")) == ()
    assert read_header(write(tmp_path, b"\xff\0" * 100_000))[0].startswith("\ufffd\0")
    assert read_header(write(tmp_path, "a,b\n" + "x" * 200_000)) == ("a", "b")
    assert read_header(tmp_path / "absent.csv") == ()
