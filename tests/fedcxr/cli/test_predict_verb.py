import importlib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedcxr.cli.main import cli
from fedcxr.experiments.predict import BadImage, Predicted


@pytest.fixture
def predicted(monkeypatch):
    """Put a result in the place of predicting."""

    def put(num_bad):
        bad = tuple(BadImage(Path(f"{n}.png"), "empty file (0 bytes)") for n in range(num_bad))
        found = Predicted(Path("out/predictions.csv"), 20, bad)
        module = importlib.import_module("fedcxr.experiments.predict")
        monkeypatch.setattr(module, "predict_images", lambda *_, **__: found)

    return put


def test_good_images_are_exit_0_and_the_table_is_named(predicted):
    predicted(0)
    done = CliRunner().invoke(cli, ["predict", "RUN", "a.png"])
    assert (done.exit_code, done.stdout, done.stderr) == (0, "out/predictions.csv\n", "")


def test_bad_images_are_exit_3_and_named_on_stderr(predicted):
    predicted(2)
    done = CliRunner().invoke(cli, ["predict", "RUN", "films"])
    assert (done.exit_code, done.stdout) == (3, "out/predictions.csv\n")
    assert done.stderr.splitlines() == [
        "fedcxr: 2 of 20 images cannot be read:",
        "  0.png: empty file (0 bytes)",
        "  1.png: empty file (0 bytes)",
    ]


def test_of_many_bad_images_ten_are_named(predicted):
    predicted(12)
    lines = CliRunner().invoke(cli, ["predict", "RUN", "films"]).stderr.splitlines()
    assert len(lines) == 12
    assert lines[-1] == "  and 2 more; all in out/predictions.csv, column error"
