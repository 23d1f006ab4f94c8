"""A table of a result in files and as a DataFrame: every digit, bounds and reasons beside it."""

import csv
import io

import pandas as pd

from fedcxr.results.score import Score
from fedcxr.results.tables.result_table import Column, Table

SCORE = Score(value=-0.01234, ci=(-0.02, 0.001))
NONE = Score(value=None, reason="one class")


def lines(table):
    return list(csv.DictReader(io.StringIO(table.to_csv())))


def made(*cells, kind="estimate"):
    columns = (Column("arm", "Arm", "head"), Column("d", "D", kind))
    return Table("x", columns, tuple(zip("abcdef", cells, strict=False)))


def test_csv_holds_every_digit_with_bounds_and_reason():
    assert lines(made(SCORE, NONE)) == [
        {"arm": "a", "d": "-0.01234", "d_low": "-0.02", "d_high": "0.001", "d_reason": ""},
        {"arm": "b", "d": "", "d_low": "", "d_high": "", "d_reason": "one class"},
    ]


def test_a_score_in_a_column_without_bounds_is_its_value():
    assert [line["d"] for line in lines(made(SCORE, None, kind="value"))] == ["-0.01234", ""]


def test_a_comma_or_quote_in_a_name_stays_one_cell():
    table = Table("x", (Column("a", "A"), Column("b", "B")), (('one, "two"', None),))
    assert lines(table) == [{"a": 'one, "two"', "b": ""}]


def test_counts_stay_whole_where_one_is_missing():
    assert [line["d"] for line in lines(made(3, None, 12, kind="count"))] == ["3", "", "12"]
    assert made(3, None, kind="count").frame()["d"].dtype == "Int64"


def test_a_frame_tells_its_title_units_and_notes():
    columns = (Column("t", "Time", "duration"), Column("up", "Sent", "size"), Column("n", "N"))
    table = Table("costs", columns, ((1.5, 10, 3),), "Costs", ("All trainings.",))
    frame = table.frame()
    units = {"t": "s", "up": "bytes"}
    assert frame.attrs == {"title": "Costs", "units": units, "notes": ["All trainings."]}
    assert frame.iloc[0].to_dict() == {"t": 1.5, "up": 10, "n": 3}


def test_a_column_of_scores_without_any_value_is_still_of_numbers():
    frame = made(NONE, NONE).frame()
    assert frame["d"].dtype == "float64"
    assert frame["d_reason"].tolist() == ["one class"] * 2
    assert pd.isna(frame["d_low"]).all()


def test_a_cut_keeps_the_rows_and_drops_the_column():
    cut = made(SCORE, NONE).only("arm", "b")
    assert (cut.rows, [column.key for column in cut.columns]) == (((NONE,),), ["d"])
    assert made(SCORE, NONE).values("arm") == ["a", "b"]


def test_the_csv_says_what_the_frame_would_say():
    columns = (
        Column("name", "Name", "head"),
        Column("d", "D", "signed"),
        Column("share", "Share", "share"),
        Column("n", "N", "count"),
        Column("why", "Why", "reason"),
    )
    rows = (
        ("a, b", SCORE, 1, 12, 'a "quote"\nand a line'),
        ("c", NONE, float("nan"), None, None),
        ("é", None, 0.1 + 0.2, 1e6, ""),
    )
    table = Table("x", columns, rows)
    assert table.to_csv() == table.frame().to_csv(index=False, lineterminator="\n")
