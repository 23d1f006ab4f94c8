import pytest

from benchmarks.page import page_text, read_results, write_page
from benchmarks.result import Result, Row, Table, save


@pytest.fixture
def folders(tmp_path):
    """A long result of `evaluation`, short ones of `evaluation` and `soak`."""
    long, short = tmp_path / "docs", tmp_path / "short"

    def result(name, title, is_short, *rows):
        return Result(name, title, f"python -m benchmarks.{name}", is_short, rows=rows)

    save(result("evaluation", "Scores", False, Row("time", "< 30 s", "1.6 s", met=True)), long)
    save(result("evaluation", "Scores", True, Row("time", "< 30 s", "1.9 s", met=True)), short)
    rows = Row("slope", "< 0.1 MB", "0.2 MB", met=False), Row("size", "", "3 MB")
    save(result("soak", "Soak", True, *rows), short)
    return long, short


def test_a_short_form_never_takes_a_long_ones_place(folders):
    long, short = (read_results(f, short=s) for f, s in zip(folders, (False, True), strict=True))
    text = page_text(long, short, picture=False)
    goals, beside = text.split("## The goals")[1].split("## Scores")[0].split("## The last short")
    assert "| [evaluation](#scores) | time | < 30 s | 1.6 s | yes |" in goals
    assert "1.9 s" not in goals
    assert "| evaluation (short form) | time | < 30 s | 1.9 s | yes |" in beside
    assert "\n## Scores\n" in text
    assert "\n## Scores (short form)\n" not in text


def test_without_a_long_form_the_short_one_stands_in_and_says_so(folders):
    write_page(folders[0].parent / "page.md", *folders)
    text = (folders[0].parent / "page.md").read_text()
    assert "| soak (short form) | slope | < 0.1 MB | 0.2 MB | **no** |" in text
    assert "\n## Soak (short form)\n" in text


def test_a_committed_short_form_stands_where_the_last_run_measured_nothing(folders):
    long, short = folders
    seen = [Table("NVIDIA H200", ["at once", "images/s"], [["1", "2000"]])]
    rows = [Row("rate", "≥ 3,500", "2000")]
    save(Result("gpu", "On a GPU", "", True, rows=rows, tables=seen), long)
    save(Result("gpu", "On a GPU", "", True, rows=[Row("rate", "≥ 3,500", "no GPU here")]), short)
    page = long.parent / "page.md"
    write_page(page, long, short)
    assert "NVIDIA H200" in page.read_text()
    assert "no GPU here" not in page.read_text()
    seen = [Table("NVIDIA H100", ["at once", "images/s"], [["1", "1900"]])]
    save(Result("gpu", "On a GPU", "", True, rows=rows, tables=seen), short)
    write_page(page, long, short)
    assert "NVIDIA H100" in page.read_text()


def test_a_figure_without_a_goal_is_in_its_section_only(folders):
    text = page_text({}, read_results(folders[1], short=True), picture=False)
    goals, section = text.split("## The goals")[1].split("## Soak (short form)")
    assert "3 MB" not in goals
    assert "| size |  | 3 MB |  |" in section


def test_a_machine_that_ran_all_is_named_once(folders):
    text = page_text({}, read_results(folders[1], short=True), picture=False)
    assert text.count(" cores, ") == 1
    assert "Where the long forms ran" not in text


def test_a_long_form_in_the_folder_of_short_ones_is_not_shown(folders):
    save(Result("soak", "Soak", "", False), folders[1])
    assert list(read_results(folders[1], short=True)) == ["evaluation"]


def test_the_page_is_the_same_when_written_again(folders):
    page = folders[0].parent / "page.md"
    write_page(page, *folders)
    first = page.read_bytes()
    write_page(page, *folders)
    assert page.read_bytes() == first
