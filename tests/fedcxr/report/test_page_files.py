"""What an older page left in the folder goes; what is not in its list stays."""

import json

import pytest
from fake_run import change, write_run

from fedcxr.report.page import write_report
from fedcxr.report.page_files import LIST, remove_older

OURS = ("tables/arms.csv", "tables/arms.tex", "figures/roc.svg")


@pytest.fixture
def folder(tmp_path):
    for name in (*OURS, "figures/mine.png", "config.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    remove_older(tmp_path, [tmp_path / name for name in OURS])
    return tmp_path


def files_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_what_is_written_no_more_is_removed_and_a_users_file_is_not(folder):
    remove_older(folder, [folder / "tables/arms.csv"])
    assert files_in(folder) == {"tables/arms.csv", "figures/mine.png", "config.yaml", LIST}
    remove_older(folder, [folder / "tables/arms.csv"])
    assert json.loads((folder / LIST).read_text()) == ["tables/arms.csv"]


@pytest.mark.parametrize("name", ["config.yaml", "tables/../config.yaml", "figures/a/b.png", 3])
def test_a_list_that_names_other_files_removes_none_of_them(folder, name):
    (folder / LIST).write_text(json.dumps([name]))
    before = files_in(folder)
    remove_older(folder, [folder / name for name in OURS])
    assert files_in(folder) == before


def test_a_damaged_list_removes_nothing_and_is_told(folder, caplog):
    (folder / LIST).write_text("not a list")
    before = files_in(folder)
    remove_older(folder, [])
    assert files_in(folder) == before
    assert "tables and figures of an older page may be left there" in caplog.text


@pytest.mark.usefixtures("undrawn")
def test_a_page_with_fewer_figures_takes_the_others_with_it(tmp_path):
    run = write_run(tmp_path / "run", num_sites=1, labels=["Edema"], undefined=(), rounds=1)
    write_report(run)
    assert (run / "figures" / "label-frequencies.svg").is_file()
    counts = json.loads((run / "manifest.json").read_text())["label_counts"]
    change(run / "manifest.json", label_counts={**counts, "after": None, "reason": "at the sites"})
    write_report(run)
    assert not list((run / "figures").glob("label-frequencies.*"))
    assert (run / "figures" / "roc.svg").is_file()
