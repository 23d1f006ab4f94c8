"""Trainings side by side: which are begun anew, which go on, and when they end."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from fedcxr.atomic import write_text_atomically
from fedcxr.config import load_config
from fedcxr.config.load import to_yaml, with_values
from fedcxr.errors import ArtefactError
from fedcxr.experiments.compare import trainings as module
from fedcxr.experiments.compare.arms import Training
from fedcxr.experiments.compare.comparing import report_again, resume_comparison
from fedcxr.experiments.compare.predict_held_out import SITES_FILE
from fedcxr.experiments.compare.trainings import run_trainings
from fedcxr.experiments.simulate import simulate
from fedcxr.runs.folder import RunFolder

ROUNDS = 12
TINY = {
    "data.synthetic.patients": 120,
    "data.synthetic.size_px": 48,
    "model.image_size": 32,
    "partition.clients": 2,
    "server.rounds": ROUNDS,
    "explain.max_boxes": 0,
    "explain.images_per_outcome": 0,
    "engine.precision": "fp32",
    "engine.workers": 1,
    "compare.seeds": 1,
}


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def finished(folder, config, **keys):
    """Return a training of `config` whose run folder is that of a finished run with `keys`."""
    then = with_values(config, {key.replace("__", "."): value for key, value in keys.items()})
    run = RunFolder.at(folder / "federated-seed-0")
    write_text_atomically(run.path / "config.yaml", to_yaml(then))
    run.write_json("manifest.json", {"status": "finished"})
    (run.path / SITES_FILE).touch()
    return Training("federated", 0, "", run.path, config, 100, run.path.parent)


def do(training):
    run_trainings([training], at_once=1, on_progress=lambda progress: None)


@pytest.mark.slow
def test_a_training_killed_before_its_manifest_is_begun_anew(tmp_path):
    config = load_config(overrides={**TINY, "server.rounds": 1, "engine.workers": 1})
    run = RunFolder.at(tmp_path / "federated-seed-0")  # as far as it came
    module._train_or_resume(run.path, config.model_dump(mode="json"))
    assert manifest(run.path)["status"] == "finished"


@pytest.mark.parametrize("status", [None, "running", "interrupted", "failed"])
def test_a_training_without_a_checkpoint_is_removed_once_its_lock_is_free(
    tmp_path, monkeypatch, status
):
    run = RunFolder.at(tmp_path / "federated-seed-0")
    if status:
        run.write_json("manifest.json", {"status": status})
    free = threading.Event()
    seen = []

    def begin(config, *, folder, tampering):
        seen.append((free.is_set(), folder.exists()))

    monkeypatch.setattr(module, "simulate", create_autospec(simulate, side_effect=begin))
    held = ExitStack()
    held.enter_context(run.lock())  # of one that is still ending

    def end():
        free.set()
        held.close()

    timer = threading.Timer(0.3, end)
    timer.start()
    module._train_or_resume(run.path, load_config().model_dump(mode="json"))
    timer.join()
    assert seen == [(True, False)]


def test_a_training_that_another_process_does_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_ENDING_S", 0.2)
    run = RunFolder.at(tmp_path / "federated-seed-0")
    words = "another process is writing this run"
    with run.lock(), pytest.raises(ArtefactError, match=words):
        module._train_or_resume(run.path, load_config().model_dump(mode="json"))
    assert (run.path / "checkpoints").is_dir()


@pytest.mark.parametrize("verb", [resume_comparison, report_again])
def test_a_comparison_is_written_by_one_process_at_a_time(tmp_path, verb):
    run = RunFolder(tmp_path)
    run.write_json("manifest.json", {"kind": "comparison", "status": "running"})
    words = "another process is writing this run"
    with run.lock(), pytest.raises(ArtefactError, match=words):
        verb(tmp_path)
    assert manifest(tmp_path)["status"] == "running"


def test_a_training_of_another_configuration_is_not_mixed_in(tmp_path):
    config = load_config(overrides=TINY)
    blank = {"Edema": "ones"}
    training = finished(tmp_path, config, server__rounds=1, data__blank_by_label=blank)
    with pytest.raises(ArtefactError) as caught:
        do(training)
    assert str(caught.value) == (
        f"{training.folder / 'config.yaml'}: federated-seed-0 was begun with another configuration "
        "than the comparison has now: data.blank_by_label.Edema was 'ones', is None, "
        "server.rounds was 1, is 12. Put the comparison's config.yaml back as it was (or the file "
        "of your own arm in arms/), or start a new comparison."
    )


def test_one_that_has_not_finished_is_not_gone_on_with_under_another_configuration(tmp_path):
    training = finished(tmp_path, load_config(overrides=TINY), train__local_epochs=7)
    RunFolder(training.folder).update_manifest(status="interrupted")
    with pytest.raises(ArtefactError, match=r"train\.local_epochs was 7, is 2\."):
        do(training)


@pytest.mark.slow  # starts a process that imports PyTorch
def test_what_decides_no_result_may_change(tmp_path):
    config = load_config(overrides=TINY)
    training = finished(
        tmp_path,
        config,
        name="other",
        runs_dir="elsewhere",
        data__root="/moved",
        partition__folder="/moved/partition",
        partition__clients=1,  # as a run of a pooled partition writes it
        engine__workers=7,
        engine__device="cuda",
        compare__seeds=5,
        compare__arms=["federated"],
        compare__at_once=3,
    )
    do(training)


@pytest.mark.slow
def test_trainings_end_with_a_killed_comparison_and_go_on_when_resumed(tmp_path):
    program = (
        "import sys; from fedcxr.cli.main import command;"
        "sys.argv = ['fedcxr', 'compare', '--quiet', *sys.argv[1:]]; command()"
    )
    words = [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]
    # Ctrl-C is ignored, as in what a script starts in the background.
    deaf = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"]
    command = [sys.executable, "-c", program, "--runs-dir", str(tmp_path), "--arms", "federated"]
    process = subprocess.Popen([*deaf, *command, *words])
    try:
        end = time.monotonic() + 120
        while not list(tmp_path.glob("*-compare/arms/*/checkpoints/round-00001*")):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.01)
        (folder,) = tmp_path.glob("*-compare")
        with pytest.raises(ArtefactError, match="another process is writing this run"):
            resume_comparison(folder)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait(10)

    end = time.monotonic() + 10
    while found := holding(folder):
        assert time.monotonic() < end, found
        time.sleep(0.02)
    run = folder / "arms" / "federated-seed-0"
    reached = (run / "rounds.jsonl").read_bytes()
    assert 2 <= reached.count(b"\n") <= ROUNDS  # of ROUNDS + 1, the first is of round 0
    assert manifest(run)["status"] == "interrupted"
    time.sleep(0.5)
    assert (run / "rounds.jsonl").read_bytes() == reached

    resume_comparison(folder)
    assert manifest(folder)["status"] == manifest(run)["status"] == "finished"
    assert (run / "rounds.jsonl").read_bytes().startswith(reached)
    assert len(RunFolder(run).read_lines("rounds.jsonl")) == ROUNDS + 1


def holding(folder):
    """Return the processes that have a file of the folder open, as a training has its log."""
    found = set()
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = os.readlink(descriptor)
        except OSError:
            continue
        if str(folder) in target:
            found.add(descriptor.parts[2])
    return found


def test_trainings_with_vaes_are_begun_first_for_they_are_the_longest(tmp_path, monkeypatch):
    plain, vae = load_config(), load_config(overrides={"vae.enabled": True})
    trainings = [
        Training(name, 0, "", tmp_path / name, config, images, tmp_path)
        for name, config, images in (("short", plain, 5), ("long", plain, 9), ("vae", vae, 5))
    ]
    begun = []
    monkeypatch.setattr(module, "_start", lambda server, training: begun.append(training.arm))
    monkeypatch.setattr(module, "_collect", lambda server, running: running.clear() or [])
    monkeypatch.setattr(module, "fork_server", lambda name: None)
    run_trainings(trainings, at_once=1, on_progress=lambda progress: None)
    assert begun == ["vae", "long", "short"]
