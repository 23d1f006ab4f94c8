import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fedcxr.cli import check_data as verb
from fedcxr.cli.bar import progress_bar
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.errors import ConfigError, DataError

cli = typer.Typer(pretty_exceptions_enable=False)
cli.command()(verb.check_data)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_synthetic(tmp_path_factory.mktemp("cli"), patients=30, size_px=64, workers=1)


@pytest.fixture
def damaged(tree, tmp_path):
    copy = Path(shutil.copytree(tree, tmp_path / tree.name))
    images = sorted((copy / "train").rglob("*frontal.jpg"))
    images[0].unlink()
    shutil.copy(images[3], images[9])
    return copy


def check(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_clean_data_exit_with_0(tree):
    done = check(tree, "--workers", 1)
    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"CheXpert: {tree}"[:70])
    assert "Clean: no problem was found." in done.output
    assert "No Finding is never negative" in done.output
    assert "Problems" not in done.output


def test_unclean_data_exit_with_3_and_say_why(damaged):
    done = check(damaged, "--workers", 1)
    assert done.exit_code == 3
    assert "Not clean: 2 problems." in done.output
    assert "✗ Missing images: 1" in done.output
    assert "- train/patient" in done.output
    assert "✗ Same file of two patients: 1" in done.output
    assert "To mend: Fetch the rest of the download" in done.output


def test_links_out_of_the_folder_are_followed_where_that_is_asked_for(tree, tmp_path):
    copy = Path(shutil.copytree(tree, tmp_path / tree.name))
    (copy / "train").rename(tmp_path / "large-disk")
    (copy / "train").symlink_to(tmp_path / "large-disk")
    assert check(copy, "--workers", 1).exit_code == 3
    done = check(copy, "--workers", 1, "--follow-links")
    assert done.exit_code == 0, done.output


def test_text_fits_80_columns(damaged):
    lines = check(damaged, "--workers", 1).output.splitlines()
    # a path is not broken: it is to be copied
    assert max(len(line) for line in lines if "/" not in line) <= 80


def test_the_text_has_every_part(tree):
    text = check(tree, "--workers", 1).output
    for words in (
        "Enlarged Cardiomediastinum ",
        "positive  negative  uncertain",
        "train / test (official splits)",
        "Images a patient",
        "Sexes (patients)",
        "Ages               median",
        "MB/s",
        "Cache              ",
        "at 320 px",
        "To prepare 320 px  about",
    ):
        assert words in text


def test_json_goes_to_a_file_or_to_the_terminal(damaged, tmp_path):
    file = tmp_path / "check.json"
    done = check(damaged, "--workers", 1, "--json", file)
    assert done.exit_code == 3
    tree = json.loads(file.read_text())
    assert tree["is_clean"] is False
    assert "Not clean" in done.output
    done = check(damaged, "--workers", 1, "--json", "-")
    assert done.exit_code == 3
    printed = json.loads(done.stdout)
    assert [f["kind"] for f in printed["findings"]] == [f["kind"] for f in tree["findings"]]


def test_the_page_is_written_where_asked(damaged, tmp_path):
    page = tmp_path / "pages" / "check.html"
    done = check(damaged, "--workers", 1, "--html", page, "--json", "-")
    assert page.read_text("utf-8").startswith("<!DOCTYPE html>")
    json.loads(done.stdout)
    assert f"Page: {page}" in done.stderr


def test_labels_only_looks_at_no_image(damaged):
    done = check(damaged, "--labels-only")
    assert done.exit_code == 0
    assert "Images not looked at" in done.output


def test_splits_are_given_one_by_one(tree, tmp_path):
    name = next((tree / "train").rglob("*.jpg")).relative_to(tree).as_posix()
    for number in (1, 2):
        (tmp_path / f"{number}.txt").write_text(f"{tree.name}/{name}\n")
    given = ["--splits", tmp_path / "1.txt", "--splits", tmp_path / "2.txt"]
    done = check(tree, "--labels-only", *given)
    assert done.exit_code == 3
    assert "1.txt and 2.txt share 1 of 2.txt's 1 patients." in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["--workers", "0"], ConfigError, "--workers 0: give at least 1"),
        (["--sample", "0"], ConfigError, "--sample 0: give at least 1 image"),
        (["--splits", "none.csv"], DataError, "none.csv: cannot be read"),
    ],
)
def test_wrong_options_are_refused(tree, arguments, error, words):
    done = check(tree, *arguments)
    assert isinstance(done.exception, error)
    assert words in str(done.exception)


def test_a_folder_that_is_none_is_refused(tmp_path):
    done = check(tmp_path / "none")
    assert isinstance(done.exception, DataError)
    assert "there is no such folder" in str(done.exception)


def test_progress_is_shown_on_a_terminal_alone(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    with progress_bar("Reading") as show:
        assert show is None
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress_bar("Reading") as show:
        show("Decoding images", 1, 2)
    told = capsys.readouterr()
    assert told.out == ""
    assert "Decoding images" in told.err
