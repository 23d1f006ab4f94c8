"""Folders and files of any name, from the data set to the page."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fedcxr.config.load import read_config
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.runs.folder import RunFolder
from partitions.plan import read_plan

LATIN = os.fsdecode(b"Thorax-Kl\xe4ren")  # as an old archive or Windows share has it
ODD = 'two\nlines [bold]it\'s "q" $x$ <i>&'
LONG = "ä" * 122 + "xxxxxx"  # 250 bytes
NAMES = pytest.mark.parametrize("name", [LATIN, ODD, LONG], ids=["latin", "odd", "long"])
SMALL = ["--clients", "2", "--rounds", "1", "--image-size", "32", "--precision", "fp32"]
SMALL += ["--set", "explain.labels=1"]


def fedcxr(*arguments, cwd):
    command = [sys.executable, "-m", "fedcxr", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, timeout=120)


@pytest.fixture
def folder(tmp_path, name):
    """A working folder of the name, with a data set of the name in it."""
    (tmp_path / name).mkdir()
    write_synthetic(
        tmp_path / name / name, patients=60, size_px=48, layout="nih14", seed=3, workers=1
    )
    return tmp_path / name


@NAMES
def test_data_are_checked_and_partitioned_under_any_name(folder, name):
    page, tree = f"{name}.html"[-250:], f"{name}.json"[-250:]
    done = fedcxr("check-data", name, "--html", page, "--json", tree, cwd=folder)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (folder / page).read_text("utf-8").startswith("<!DOCTYPE html>")
    assert json.loads((folder / tree).read_text("utf-8"))["root"] == name
    done = fedcxr("partition", name, "--out", f"P{name}", "--clients", 2, cwd=folder)
    assert (done.returncode, done.stderr) == (0, b"")
    assert read_plan(folder / f"P{name}").source == name
    # the command that it prints can be copied: a shell takes it for the very names
    told = re.search(r"Use it: fedcxr (.*)", done.stdout.decode("utf-8"))[1]
    shell = ["bash", "-c", f"printf '%s\\0' {told}"]
    words = subprocess.run(shell, capture_output=True, check=True).stdout.split(b"\0")
    assert os.fsencode(folder / name) in words
    assert os.fsencode(folder / f"P{name}") in words


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [LATIN, ODD, pytest.param(LONG, marks=pytest.mark.long)],
    ids=["latin", "odd", "long"],
)
def test_a_run_goes_from_data_to_report_under_any_name(folder, name):
    runs = f"R{name}"
    done = fedcxr(
        *("simulate", "--data", name, "--runs-dir", runs, *SMALL, "--workers", 2), cwd=folder
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b"Report: " in done.stdout
    (run,) = map(RunFolder.open, (folder / runs).iterdir())
    assert run.read_json("manifest.json")["status"] == "finished"
    config = read_config(run.path / "config.yaml")
    assert Path(config.data.roots[0]) == folder / name
    for file in ("report.html", "manifest.json", "config.yaml", "events.jsonl", "summary.json"):
        (run.path / file).read_bytes().decode("utf-8")
    done = fedcxr("report", run.path, cwd=folder)
    assert done.returncode == 0, done.stderr.decode()
