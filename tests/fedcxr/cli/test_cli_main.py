"""What the user sees: exit codes, one line of what is wrong, and no traceback."""

import errno
import importlib
import inspect
import os
import signal
import subprocess
import sys

import pytest
from fake_run import change, write_run

import fedcxr
from fedcxr import errors
from fedcxr.cli.main import main
from fedcxr.errors import StoppedError
from fedcxr.experiments.simulate import FinishedRun
from fedcxr.interrupts import interrupt
from fedcxr.runs.folder import RunFolder

OURS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
CODES = {
    "FedCxrError": 6,
    "ConfigError": 2,
    "LimitError": 2,
    "DataError": 3,
    "RecordError": 3,
    "ImageError": 3,
    "LeakError": 3,
    "ArtefactError": 4,
    "NetworkError": 5,
    "RunError": 6,
    "StorageError": 6,
    "QuorumError": 6,
    "DivergedError": 6,
    "StoppedError": 130,
}
SUMMARY = {
    "macro_auroc": 0.8123,
    "macro_auroc_ci": [0.7, 0.9],
    "macro_labels": 12,
    "test_images": 100,
    "test_patients": 50,
    "heat_maps": {
        "methods": {"gradcam": {"title": "Grad-CAM", "cells": None}},
        "hit_rate": {"gradcam": 0.5},
        "center_hit_rate": 0.25,
        "num_findings": 40,
        "files": [],
        "by_label": {},
        "left_out": {},
    },
    "seconds": 12.1,
    "collapsed_labels": [],
    "refused_rounds": [],
    "participation": {},
}


@pytest.fixture
def simulation(monkeypatch, tmp_path):
    """Put something in the place of the simulation; what it was called with is kept."""
    calls = []

    def put(err=None, run=None, **summary):
        def simulate(config, on_start=None):
            calls.append(config)
            if run is not None:
                on_start(run)
            if err is not None:
                raise err
            folder = write_run(tmp_path / "a-run", gradcam=False)
            change(folder / "summary.json", **{**SUMMARY, **summary})
            return FinishedRun(folder, {})

        # by name, since the package re-exports the function under the module's name
        module = importlib.import_module("fedcxr.experiments.simulate")
        monkeypatch.setattr(module, "simulate", simulate)
        return calls

    return put


def in_a_process(code, *arguments, cwd):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "100"},
    )


def test_a_wrong_key_is_exit_2_with_the_right_one_and_no_traceback(tmp_path):
    # row 29 of the bad-input table
    code = "from fedcxr.cli.main import main; main()"
    done = in_a_process(code, "simulate", "--set", "train.lerning_rate=1", cwd=tmp_path)
    assert done.returncode == 2
    assert "did you mean 'learning_rate'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []  # no run folder was begun


def test_help_answers_without_torch_and_flwr_and_lists_the_verbs(tmp_path):
    code = """
import sys
from fedcxr.cli.main import main
sys.argv = ["fedcxr", "--help"]
try:
    main()
except SystemExit as err:
    heavy = [m for m in ("torch", "flwr", "ray", "pandas", "matplotlib") if m in sys.modules]
    print("exit", err.code, "heavy", heavy)
"""
    done = in_a_process(code, cwd=tmp_path)
    assert "exit 0 heavy []" in done.stdout
    for verb in ("simulate", "resume", "evaluate", "predict", "report", "synth", "plan-study"):
        assert f" {verb} " in done.stdout


def test_each_error_has_the_exit_code_of_its_kind():
    assert {kind.__name__: kind.exit_code for kind in OURS} == CODES


@pytest.mark.parametrize(
    "kind", [kind for kind in OURS if kind is not StoppedError], ids=lambda kind: kind.__name__
)
def test_an_error_is_one_line_and_its_code(kind, run_main, simulation):
    simulation(kind("site.csv: row 3: wrong. Mend it."))
    code, out, err = run_main("simulate")
    assert code == CODES[kind.__name__]
    assert out == ""
    assert err.endswith("fedcxr: site.csv: row 3: wrong. Mend it.\n")
    assert "Traceback" not in err


@pytest.mark.parametrize("where", [0, 1])
def test_debug_shows_the_traceback_wherever_it_stands(
    where, run_main, simulation, monkeypatch, capsys
):
    simulation(errors.DataError("row 3"))
    arguments = ["simulate"]
    arguments.insert(where, "--debug")
    monkeypatch.setattr(sys, "argv", ["fedcxr", *arguments])
    with pytest.raises(errors.DataError, match="row 3"):
        main()


@pytest.mark.parametrize("stopped", [KeyboardInterrupt(), StoppedError("stopped by the user")])
@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_ctrl_c_is_exit_130_and_says_how_to_go_on(stopped, quiet, run_main, simulation, tmp_path):
    run = RunFolder.create(tmp_path / "runs", "x")
    (run.path / "checkpoints" / "round-00000.safetensors").touch()
    simulation(stopped, run)
    code, _, err = run_main("simulate", *quiet)
    assert code == 130
    assert f"Interrupted. What was reached is kept; go on with: fedcxr resume {run.path}" in err
    assert "Traceback" not in err


def test_ctrl_c_before_anything_was_reached_says_so(run_main, simulation):
    simulation(KeyboardInterrupt())
    code, _, err = run_main("simulate")
    assert code == 130
    assert "Interrupted. Nothing was reached yet." in err


def test_a_run_that_failed_midway_says_how_to_go_on(run_main, simulation, tmp_path):
    run = RunFolder.create(tmp_path / "runs", "x")
    (run.path / "checkpoints" / "round-00000.safetensors").touch()
    simulation(errors.QuorumError("Round 3: too few"), run)
    code, _, err = run_main("simulate", "--quiet")
    assert code == 6
    assert f"go on with: fedcxr resume {run.path}" in err
    assert "fedcxr: Round 3: too few" in err


def test_an_error_that_nobody_foresaw_is_one_line_too(run_main, simulation):
    simulation(ZeroDivisionError("division by zero"))
    code, _, err = run_main("simulate", "--quiet")
    assert code == 6
    assert "unexpected ZeroDivisionError: division by zero. Run it again with --debug" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_command_ends_on_every_signal_that_asks_for_it(run_main, number):
    signal.signal(number, signal.SIG_DFL)  # whatever the shell that runs the tests has set
    run_main("--version")
    assert signal.getsignal(number) is interrupt


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line_with_what_to_do(run_main, simulation, number):
    # row 23 of the bad-input table
    simulation(OSError(number, os.strerror(number), "/runs/x"))
    code, _, err = run_main("simulate")
    assert code == 6
    assert f"fedcxr: /runs/x: cannot be written ({os.strerror(number)}). Make room, or" in err
    assert "Traceback" not in err


def test_what_cannot_be_reached_in_the_home_folder_names_it(run_main, simulation, fedcxr_home):
    simulation(PermissionError(13, "Permission denied", str(fedcxr_home / "logs")))
    code, _, err = run_main("simulate")
    assert code == 6
    assert f"{fedcxr_home}/logs: " in err
    assert "set FEDCXR_HOME to a folder that can be written." in err


def test_a_broken_pipe_to_a_worker_is_not_taken_for_one_of_the_output(run_main, simulation):
    simulation(BrokenPipeError(32, "Broken pipe"))
    code, _, err = run_main("simulate", "--quiet")
    assert code == 6
    assert "fedcxr: Broken pipe" in err


def test_a_finished_run_prints_its_figure_and_its_page(run_main, simulation, tmp_path):
    simulation()
    code, out, err = run_main("simulate", "--quiet")
    assert (code, err) == (0, "")
    assert "Global macro AUROC: 0.812 (95 % CI 0.700–0.900), 12 of 14 labels" in out
    assert f"Report: {tmp_path / 'a-run' / 'report.html'}" in out


def test_the_version_is_printed(run_main):
    assert run_main("--version")[:2] == (0, f"fedcxr {fedcxr.__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["simulate", "--clints", "5"],
        ["simulate", "--clients", "five"],
        ["simulat"],
        ["resume"],
        ["evaluate", "run"],
        ["simulate", "--clients", "0"],
        ["simulate", "--learning-rate", "-1"],
        ["simulate", "--config", "none.yaml"],
        ["simulate", "--preset", "quickstat"],
        ["simulate", "--set", "seed"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_is_exit_2_without_a_traceback(arguments, run_main, simulation):
    # row 29 of the bad-input table
    calls = simulation()
    code, _, err = run_main(*arguments)
    assert code == 2
    assert err
    assert "Traceback" not in err
    assert calls == []


@pytest.mark.parametrize("verb", ["resume", "report"])
def test_a_folder_that_is_no_run_is_exit_4(verb, run_main, tmp_path):
    code, _, err = run_main(verb, str(tmp_path))
    assert code == 4
    assert "not a run folder" in err
    assert "Traceback" not in err


def test_a_data_folder_that_is_none_is_exit_3_and_leaves_nothing(run_main, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = run_main("simulate", "--data", "empty", "--quiet", "--workers", "1")
    assert code == 3
    assert str(tmp_path / "empty") in err
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_runs_folder_that_is_a_file_is_told_without_a_traceback(run_main, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = run_main("simulate", "--runs-dir", "file", "--quiet")
    assert code == 6
    assert "Not a directory" in err


def test_no_verb_shows_the_help(run_main):
    code, out, err = run_main()
    assert code in (0, 2)  # click counts it as a usage error, older versions do not
    assert "simulate" in out + err


def test_the_end_says_who_was_missing_what_was_refused_and_what_collapsed(run_main, simulation):
    absent = {"asked": 4, "counted": 2, "missing": [2, 3], "refused": [], "skipped": []}
    whole = {**absent, "counted": 4, "missing": []}
    simulation(
        participation={"site-00": whole, "site-02": absent},
        refused_rounds=[1],
        collapsed_labels=["Edema"],
    )
    _, out, _ = run_main("simulate")
    assert "site-02 took part in 2 of 4 rounds: missing in 2, 3" in out
    assert "site-00" not in out
    assert "Rounds whose new model was not taken: 1 (see rounds.jsonl)" in out
    assert "the same probability of Edema: it has collapsed" in out
