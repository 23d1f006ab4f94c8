import csv
import io

import pytest
from comparison_example import by_study, make_comparison, put, write_comparison_file

from fedcxr.report.comparison import tables_details, tables_scores
from fedcxr.report.comparison.csv_tables import to_csv
from fedcxr.report.comparison.page import all_tables
from fedcxr.report.comparison.read_comparison import Estimate, read_comparison
from fedcxr.report.comparison.table import Column, Table
from fedcxr.report.comparison.tables_sites import site_differences
from fedcxr.report.comparison.wording import signed, signed_interval

LABELS = ("Atelectasis", "Edema", "Pleural Other")


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    return read_comparison(write_comparison_file(tmp_path_factory.mktemp("c"), labels=LABELS))


def lines(table):
    return list(csv.DictReader(io.StringIO(to_csv(table))))


def test_csv_holds_every_digit_with_bounds_and_reason(comparison):
    told = comparison.arms[0].tree["by_label"]["Edema"]["auroc"]
    rows = {row["label"]: row for row in lines(tables_scores.labels(comparison))}
    assert float(rows["Edema"]["auroc_federated"]) == told["value"]
    assert float(rows["Edema"]["auroc_federated_low"]) == told["ci"][0]
    assert rows["Pleural Other"]["auroc_federated"] == ""
    assert rows["Pleural Other"]["auroc_federated_reason"] == "no known positive"
    assert rows["Pleural Other"]["positives"] == "0"


def test_a_comma_or_quote_in_a_name_stays_one_cell():
    table = Table("x", (Column("a", "A"), Column("b", "B")), (('one, "two"', None),))
    assert lines(table) == [{"a": 'one, "two"', "b": ""}]


def test_the_main_table_has_the_difference_beside_its_arm(comparison):
    federated, centralized, local = lines(tables_scores.arms(comparison))
    told = comparison.tree["differences"][0]
    assert float(federated["difference"]) == told["macro_auroc"]["value"]
    assert federated["verdict"] == "inconclusive"
    assert (centralized["difference"], centralized["verdict"]) == ("", "reference")
    assert local["against"] == "centralized"


def test_the_page_rounds_what_csv_does_not():
    columns = (Column("arm", "Arm", "head"), Column("d", "D", "signed"), Column("h", "", "hidden"))
    table = Table("x", columns, (("a", Estimate(-0.01234, (-0.02, 0.001)), 7),))
    ((head, cell),) = table.shown()
    assert (head.text, head.is_number) == ("a", False)
    assert (cell.text, cell.interval) == ("−0.012", "−0.020 to +0.001")
    assert "-0.01234" in to_csv(table)


def test_a_column_without_anything_is_left_off_the_page_but_not_out_of_the_csv():
    columns = (Column("a", "A", "head"), Column("b", "B", "estimate"), Column("c", "C", "estimate"))
    table = Table("x", columns, (("r", Estimate(), Estimate(reason="one class")),))
    assert [column.key for column in table.page_columns] == ["a", "c"]
    assert table.shown()[0][1].mark == "a"
    assert table.reasons() == [("a", "one class")]
    assert to_csv(table).splitlines()[0].startswith("a,b,b_low")


def test_a_reason_stands_once_below_the_table_however_often_it_holds():
    columns = (Column("a", "A", "head"), Column("b", "B", "estimate"), Column("c", "", "reason"))
    none = Estimate(reason="one class")
    some = Estimate(0.5, (0.4, 0.6))
    table = Table("x", columns, (("r", none, "known"), ("s", none, None), ("t", some, "too few")))
    # the row's own reason is told only where no cell has one
    assert table.reasons() == [("a", "one class"), ("b", "too few")]
    marks = [[cell.mark for cell in row] for row in table.shown()]
    assert marks == [["", "a"], ["", "a"], ["b", ""]]


def test_a_cut_keeps_the_rows_and_drops_the_column(comparison):
    whole = tables_details.operating_points(comparison)
    cut = whole.only("arm", "local").only("point", "youden")
    assert len(cut.rows) == len(LABELS)
    assert {column.key for column in whole.columns} - {c.key for c in cut.columns} == {
        "arm",
        "point",
    }


def test_accuracy_precision_recall_and_f1_of_every_point_are_written(comparison):
    told = comparison.arms[0].tree["operating_points"][0]
    row = lines(tables_details.operating_points(comparison))[0]
    for key in ("accuracy", "f1", "sensitivity", "specificity", "ppv_at_prevalence"):
        assert float(row[key]) == told[key]["value"]
        assert float(row[f"{key}_low"]) == told[key]["ci"][0]
    assert float(row["precision"]) == told["precision"]["value"]
    assert [row[key] for key in ("tp", "fn", "fp", "tn")] == [
        str(told[key]) for key in ("tp", "fn", "fp", "tn")
    ]


def test_calibration_has_its_intervals_in_csv_and_the_reasons_where_there_is_none(comparison):
    rows = {row["label"]: row for row in lines(tables_details.calibration(comparison))[:3]}
    told = comparison.arms[0].tree["calibration"]["by_label"]["Edema"]
    for key in ("brier", "ece", "slope", "intercept"):
        for name, found in ((key, told[key]), (f"tempered_{key}", told["tempered"][key])):
            assert float(rows["Edema"][name]) == found["value"]
            assert float(rows["Edema"][f"{name}_low"]) == found["ci"][0]
            assert float(rows["Edema"][f"{name}_high"]) == found["ci"][1]
    other = rows["Pleural Other"]
    assert (other["brier_low"], other["slope"]) == ("", "")
    assert other["brier_reason"] == "no interval: no known positive"
    assert other["intercept_reason"] == "no intercept: no known positive"


def test_calibration_on_the_page_has_its_intervals_and_its_signs(comparison):
    table = tables_details.calibration(comparison).only("arm", "federated")
    cells = {cell.heading: cell for cell in table.shown()[1]}
    assert {"Brier", "ECE", "Slope", "Intercept at slope 1"} < set(cells)
    told = comparison.arms[0].tree["calibration"]["by_label"]["Edema"]["intercept"]
    assert cells["Intercept at slope 1"].text == signed(told["value"])
    assert cells["Intercept at slope 1"].interval == signed_interval(told["ci"])
    assert "–" in cells["ECE"].interval
    assert [why for _, why in table.reasons()] == [
        "no interval: no known positive",
        "no slope: no known positive",
        "no intercept: no known positive",
    ]


def test_an_interval_below_zero_is_told_with_signs_in_every_column():
    columns = (Column("arm", "Arm", "head"), Column("slope", "Slope", "estimate"))
    table = Table("x", columns, (("a", Estimate(-0.05, (-0.2, 0.1))), ("b", Estimate(0.5, (0, 1)))))
    shown = [row[1] for row in table.shown()]
    assert [cell.text for cell in shown] == ["−0.050", "0.500"]
    assert [cell.interval for cell in shown] == ["−0.200 to +0.100", "0.000–1.000"]


def test_a_row_says_what_the_federation_changed_at_a_site_and_over_which_labels(tmp_path):
    tree = make_comparison(labels=LABELS, clients=2)
    table = site_differences(read_comparison(put(tmp_path, tree)))
    first = table.rows[0]
    assert first[:4] == ("site-00", "its own training", 40.0, 2)
    assert first[4] == Estimate(0.02, (-0.05, 0.09))
    assert first[5:] == (", ".join(LABELS[:2]), "methods")
    assert len(table.rows) == 2


def test_the_site_matrix_is_filled_up_where_a_row_is_short(tmp_path):
    tree = make_comparison(labels=LABELS, clients=2)
    tree["site_matrix"]["macro_auroc"] = [[0.7]]
    table = tables_details.site_matrix(read_comparison(put(tmp_path, tree)))
    models = len(tree["site_matrix"]["models"])
    assert table.rows[0][3 : 3 + models] == (0.7, *[None] * (models - 1))
    assert table.rows[1][3 : 3 + models] == (None,) * models


def test_shares_are_positives_among_the_known(comparison):
    row = lines(tables_details.label_frequencies(comparison))[0]
    told = comparison.tree["label_frequencies"]["Atelectasis"]["test"]
    assert [int(row["test_positive"]), int(row["test_known"])] == told
    assert float(row["test_share"]) == pytest.approx(told[0] / told[1])


def test_arms_whose_names_become_alike_keep_columns_of_their_own(tmp_path):
    names = ("a b", "a-b")
    comparison = read_comparison(write_comparison_file(tmp_path, arms=names, labels=LABELS))
    keys = [column.key for column in tables_scores.labels(comparison).columns]
    assert len(keys) == len(set(keys))


def test_every_table_has_a_header_of_its_own_and_rows_as_long(comparison):
    for table in all_tables(comparison).values():
        keys, *rows = list(csv.reader(io.StringIO(to_csv(table))))
        assert len(keys) == len(set(keys)), table.name
        assert all(len(row) == len(keys) for row in rows), table.name
        assert rows, table.name


def test_learning_curves_are_written_point_by_point(comparison):
    rows = lines(tables_scores.learning(comparison))
    first = comparison.arms[0].tree["learning"][0]
    assert rows[0]["train_loss"] == ""
    assert float(rows[3]["val_loss"]) == first["val_loss"][3]
    # 3 seeds of 9 rounds for two arms, and of 5 sites for the third
    assert len(rows) == 3 * 9 * (1 + 1 + 5)


def test_tables_call_studies_studies(tmp_path):
    whole = read_comparison(put(tmp_path, by_study(make_comparison(labels=LABELS, clients=2))))
    bins = tables_details.calibration_bins(whole).columns
    assert bins[-1].heading == "Studies"
    row = lines(tables_details.subgroups(whole))[0]
    assert int(row["studies"]) == whole.arms[0].tree["subgroups"]["rows"][0]["images"]
    # a site's size is of images whatever is scored
    assert tables_details.site_matrix(whole).columns[1].heading == "Images"


def test_the_table_of_arms_has_the_number_of_labels_in_its_means(comparison):
    rows = lines(tables_scores.arms(comparison))
    assert [row["macro_labels"] for row in rows] == ["2", "2", "2"]  # of three labels
