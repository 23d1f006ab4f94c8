import csv

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fedcxr.cli.main import cli
from fedcxr.errors import ConfigError


@pytest.fixture
def folder(tmp_path):
    rows = [["file", "pid", "view", "nodule"], ["a.png", "x1", "PA", "yes"]]
    rows.append(["b.png", "x2", "LL", "no"])
    for name in ("a", "b"):
        Image.fromarray(np.full((8, 8), 90, dtype=np.uint8)).save(tmp_path / f"{name}.png")
    with (tmp_path / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path


def init(folder):
    return CliRunner().invoke(cli, ["init-data", str(folder)])


def test_it_writes_the_file_and_shows_the_first_rows_as_they_are_read(folder):
    done = init(folder)
    assert done.exit_code == 0, done.output
    text = (folder / "dataset.yaml").read_text("utf-8")
    assert text in done.output
    assert "2 images of 2 patients" in done.output
    assert "nodule positive" in done.output
    assert f"fedcxr check-data {folder}" in done.output


def test_it_writes_nothing_over_what_is_there(folder):
    (folder / "dataset.yaml").write_text("mine\n")
    done = init(folder)
    assert isinstance(done.exception, ConfigError)
    assert "is there already and stays as it is" in str(done.exception)
    assert (folder / "dataset.yaml").read_text() == "mine\n"


def test_a_proposal_that_cannot_be_read_yet_says_which_line(folder):
    text = (folder / "list.csv").read_text()
    (folder / "list.csv").write_text(text.replace("LL", "oblique"))
    done = init(folder)
    assert done.exit_code == 3
    assert "As it stands it would be refused" in done.output
    assert "ADD what these mean: 'oblique'" in done.output
    assert (folder / "dataset.yaml").is_file()


def test_a_hospitals_folder_needs_none(folder):
    (folder / "list.csv").rename(folder / "site.csv")
    assert isinstance(init(folder).exception, ConfigError)
    assert not (folder / "dataset.yaml").exists()
