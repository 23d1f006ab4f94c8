"""Tables as the page and a paper show them."""

from fedcxr.report.latex import to_latex
from fedcxr.report.page_files import write_table_files
from fedcxr.report.page_table import PageTable
from fedcxr.results.score import Score
from fedcxr.results.tables.result_table import Column, Table


def shown_table(columns, *rows, title="Arms"):
    return PageTable(Table("arms", columns, rows, title))


def test_the_page_rounds_and_shows_signs():
    columns = (Column("arm", "Arm", "head"), Column("d", "D", "signed"), Column("h", "", "hidden"))
    table = shown_table(columns, ("a", Score(value=-0.01234, ci=(-0.02, 0.001)), 7))
    ((head, cell),) = table.shown()
    assert (head.text, head.is_number) == ("a", False)
    assert (cell.text, cell.interval) == ("−0.012", "−0.020 to +0.001")


def test_an_interval_below_zero_is_told_with_signs_in_every_column():
    columns = (Column("arm", "Arm", "head"), Column("slope", "Slope", "estimate"))
    below, above = Score(value=-0.05, ci=(-0.2, 0.1)), Score(value=0.5, ci=(0, 1))
    shown = [row[1] for row in shown_table(columns, ("a", below), ("b", above)).shown()]
    assert [cell.text for cell in shown] == ["−0.050", "0.500"]
    assert [cell.interval for cell in shown] == ["−0.200 to +0.100", "0.000–1.000"]


def test_a_column_without_anything_is_left_off_the_page_but_not_out_of_the_csv():
    columns = (Column("a", "A", "head"), Column("b", "B", "estimate"), Column("c", "C", "estimate"))
    table = shown_table(columns, ("r", Score(value=None), Score(value=None, reason="one class")))
    assert [column.heading for column in table.page_columns] == ["A", "C"]
    assert table.shown()[0][1].mark == "a"
    assert table.reasons() == [("a", "one class")]
    assert table.table.to_csv().splitlines()[0].startswith("a,b,b_low")


def test_a_reason_stands_once_below_the_table_however_often_it_holds():
    columns = (Column("a", "A", "head"), Column("b", "B", "estimate"), Column("c", "", "reason"))
    none, some = Score(value=None, reason="one class"), Score(value=0.5, ci=(0.4, 0.6))
    table = shown_table(columns, ("r", none, "known"), ("s", none, None), ("t", some, "too few"))
    # the row's own reason is told only where no cell has one
    assert table.reasons() == [("a", "one class"), ("b", "too few")]
    marks = [[cell.mark for cell in row] for row in table.shown()]
    assert marks == [["", "a"], ["", "a"], ["b", ""]]


def test_latex_has_booktabs_caption_intervals_and_reasons_and_nothing_unescaped():
    columns = (Column("a", "Label", "head"), Column("b", "AUROC, 50 %", "estimate"))
    table = shown_table(
        columns,
        ("Pleural_Thickening & {x}", Score(value=0.8123, ci=(0.7, 0.9))),
        ("Edema", Score(value=None, reason="2 patients have it; < 10")),
    )
    text = to_latex(table, "95 %")
    assert r"\caption{Arms, with 95 \% intervals.}" in text
    assert r"Label & AUROC, 50 \% \\" in text
    assert r"Pleural\_Thickening \& \{x\} & 0.812 (0.700--0.900) \\" in text
    assert r"Edema & --\textsuperscript{a} \\" in text
    assert r"\textsuperscript{a} 2 patients have it; $<$ 10." in text
    for part in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}{lr}"):
        assert part in text


def test_a_wide_table_has_its_intervals_below_and_wraps_its_texts():
    keys = [Column(f"k{n}", "Mean average precision", "estimate") for n in range(5)]
    columns = (Column("a", "Arm", "head"), Column("b", "Budget"), *keys)
    score = Score(value=0.5, ci=(0.4, 0.6))
    text = to_latex(
        shown_table(columns, ("a", "as many images as all sites", *[score] * 5)), "95 %"
    )
    assert r"\begin{tabular}[t]{@{}r@{}}0.500\\ \footnotesize (0.400--0.600)\end{tabular}" in text
    assert r"\begin{tabular}[b]{@{}r@{}}Mean average\\ precision\end{tabular}" in text


def test_what_does_not_fit_a_page_is_written_as_csv_alone(tmp_path):
    columns = (Column("a", "A", "head"),)
    tables = {
        "short": shown_table(columns, ("x",)),
        "long": shown_table(columns, *[(str(n),) for n in range(61)]),
        "empty": shown_table(columns),
    }
    paths = write_table_files(tables, tmp_path, "95 %")
    names = ["short.csv", "short.tex", "long.csv", "empty.csv"]
    assert [path.name for path in paths] == names
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
