"""What `client start` and `run` check and pass on before any process or message is made."""

import io
import os
import subprocess
import sys
import time
import tomllib
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import pytest
from flwr.common.config import parse_config_args
from typer.testing import CliRunner

from fedcxr.cli.main import cli
from fedcxr.config.load import load_config, read_config
from fedcxr.deploy import child, follow, join, submit
from fedcxr.deploy import kit_files as k
from fedcxr.deploy.bundle import bundle
from fedcxr.deploy.control import RunState
from fedcxr.deploy.provision import new_deployment
from fedcxr.deploy.refusal_trial import Trial
from fedcxr.deploy.site_data import SiteData, prepare_site
from fedcxr.errors import ConfigError, DataError, LeakError, NetworkError, RunError
from fedcxr.runs.folder import RunFolder
from partitions.overlap import Comparison, Shared, write_comparison


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "deploy"
    return new_deployment(folder, "127.0.0.1:1", ["site-00", "site-01"])


def state(*, has_begun=True, is_over=False, is_good=False, why=""):
    return RunState(has_begun, is_over, is_good, why)


class FakeControl:
    """A SuperLink whose run goes through `states`."""

    def __init__(self, states):
        self.states, self.given, self.stopped, self.asked = iter(states), None, [], []
        self.starts = 0

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

    def start_run(self, run_config):
        self.given = {**run_config, "text": read_config_of(run_config)}
        self.starts += 1
        return 6 + self.starts

    def find_run(self, run_id):
        self.asked.append(run_id)
        found = next(self.states)
        if isinstance(found, Exception):
            raise found
        return found

    def stop_run(self, run_id):
        self.stopped.append(run_id)


def read_config_of(run_config):
    from pathlib import Path

    return read_config(Path(run_config["config"]))


@pytest.fixture
def submitted(made, tmp_path, monkeypatch):
    """Start a run at a SuperLink that says these states."""

    def start(*states, folder=None, sites=("site-00",), ids=(7,), status="running", overlap=None):
        control = FakeControl(states)
        monkeypatch.setattr(follow, "POLL_S", 0.0)
        monkeypatch.setattr(follow, "BEGIN_S", 0.0)
        monkeypatch.setattr(submit.Control, "of_kit", lambda folder, config: control)
        named = [SimpleNamespace(site_id=name) for name in sites]
        plan = SimpleNamespace(sites=named, folder=tmp_path)
        monkeypatch.setattr(submit, "read_plan", lambda data: plan)
        known = [SimpleNamespace(flower_run_id=str(n), path=folder) for n in ids if folder]
        if folder:
            folder.mkdir()
            RunFolder(folder).write_json("manifest.json", {"status": status})
        monkeypatch.setattr(follow, "known_runs", lambda: known)
        config = load_config("chexpert", overrides={"server.rounds": 3, "runs_dir": "runs"})
        seen = []
        try:
            run = submit.run_deployed(
                made.server,
                tmp_path,
                config,
                preset="chexpert",
                on_start=seen.append,
                overlap=overlap,
            )
        finally:
            start.control, start.seen = control, seen
        return run

    return start


def test_a_run_is_started_with_the_whole_configuration_and_the_sites_keys(
    submitted, made, tmp_path, fedcxr_home
):
    run = submitted(state(), state(is_over=True, is_good=True), folder=tmp_path / "a-run")
    assert run == RunFolder(tmp_path / "a-run")
    assert submitted.seen == [run]
    given = submitted.control.given
    assert given["text"].server.rounds == 3
    assert given["text"].runs_dir == str(tmp_path.cwd() / "runs")
    assert given["preset"] == "chexpert"
    assert given["site-keys"] == str(made.server / k.SITES)
    assert given["global-dir"] == str(tmp_path)
    assert list((fedcxr_home / "submitted").iterdir()) == []
    # Flower refuses a run that says what its bundle does not name
    with zipfile.ZipFile(io.BytesIO(bundle())) as packed:
        app = tomllib.loads(packed.read("pyproject.toml").decode())["tool"]["flwr"]["app"]
    assert given.keys() - {"text"} <= app["config"].keys()


def test_a_comparison_of_patients_goes_with_the_run_and_a_bad_one_starts_none(submitted, tmp_path):
    file = tmp_path / "overlap.json"
    found = Comparison("0a1b2c3d", "2030-01-01", {"site-00": 5, "site-01": 6}, ())
    write_comparison(found, file)
    submitted(state(), state(is_over=True, is_good=True), folder=tmp_path / "a", overlap=file)
    assert submitted.control.given["overlap"] == str(file)
    shared = replace(found, shared=(Shared("site-00", "site-01", 1),))
    write_comparison(shared, file)
    with pytest.raises(LeakError, match="site-00 and site-01: 1"):
        submitted(sites=["site-00", "site-01"], overlap=file)
    assert submitted.control.given is None


def test_a_run_that_failed_says_why(submitted, tmp_path):
    failed = state(is_over=True, why="site-01 builds another model")
    with pytest.raises(RunError, match=r"end: site-01 builds another model Its folder: .*a-run"):
        submitted(state(), failed, folder=tmp_path / "a-run")


def test_a_busy_superlink_is_asked_again(submitted, tmp_path):
    busy = NetworkError("busy")
    submitted(busy, busy, state(is_over=True, is_good=True), folder=tmp_path / "a-run")


def test_a_run_that_is_not_begun_is_stopped(submitted):
    with pytest.raises(NetworkError, match="has not begun with the run within"):
        submitted(state(has_begun=False), state(has_begun=False))
    assert submitted.control.stopped == [7]


def test_ctrl_c_stops_the_run(submitted, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(follow, "raise_if_interrupted", interrupted)
    with pytest.raises(KeyboardInterrupt):
        submitted(state())
    assert submitted.control.stopped == [7]


STOPPED = RunState(True, True, False, "stopped", is_stopped=True, is_lost=True)


def test_a_run_that_goes_on_under_another_id_is_followed(submitted, tmp_path):
    good = state(is_over=True, is_good=True)
    run = submitted(state(), None, state(), good, folder=tmp_path / "a-run", ids=(7, 9))
    assert run.path == tmp_path / "a-run"
    assert submitted.control.asked == [7, 7, 9, 9]
    assert submitted.control.starts == 1


def test_one_whose_process_died_is_followed_too(submitted, tmp_path):
    good = state(is_over=True, is_good=True)
    submitted(state(), STOPPED, good, folder=tmp_path / "a-run", ids=(7, 9))
    assert submitted.control.asked == [7, 7, 9]


def test_one_that_the_user_stopped_is_over(submitted, tmp_path, monkeypatch):
    run = tmp_path / "a-run"

    def stopping(self):
        RunFolder(run).update_manifest(stopped="2026-11-28T03:00:00+00:00")

    monkeypatch.setattr(follow.Pursuit, "_submit", stopping)
    monkeypatch.setattr(follow, "folder_of", lambda run_id: RunFolder(run))
    with pytest.raises(RunError, match="did not come to its end: stopped"):
        submitted(STOPPED, folder=run)


def test_one_that_finished_before_the_server_died_is_finished(submitted, tmp_path):
    submitted(state(), None, folder=tmp_path / "a-run", status="finished")


def test_one_that_finished_without_the_server_hearing_of_it_is_finished(submitted, tmp_path):
    unheard = RunState(True, True, False, "No heartbeat received from the task", is_lost=True)
    run = submitted(state(), unheard, folder=tmp_path / "a-run", status="finished")
    assert run.path == tmp_path / "a-run"


def test_one_that_nobody_goes_on_with_says_how(submitted, tmp_path, monkeypatch):
    monkeypatch.setattr(follow, "LOST_S", 0.0)
    with pytest.raises(RunError, match=r"The server of this run died\. .*--keep.*fedcxr resume /"):
        submitted(state(), None, None, folder=tmp_path / "a-run")


def test_one_that_had_no_folder_yet_is_submitted_again_a_few_times(submitted, monkeypatch):
    monkeypatch.setattr(follow, "LOST_S", 0.0)
    with pytest.raises(RunError, match="start the server and the run again"):
        submitted(*[None] * 20)
    assert submitted.control.starts == follow.MOST_STARTS


def test_a_silent_superlink_is_given_up_with_how_to_go_on(submitted, tmp_path, monkeypatch):
    monkeypatch.setattr(follow, "SILENT_S", 0.0)
    with pytest.raises(NetworkError, match=r"no answer A server that was started with --keep"):
        submitted(state(), NetworkError("no answer"), folder=tmp_path / "a-run")


def test_a_site_of_the_plan_without_a_kit_is_named_before_anything_is_sent(submitted):
    with pytest.raises(
        ConfigError, match=r"no kit at .*: site-07\. It knows site-00, site-01\. Ma"
    ):
        submitted(sites=["site-00", "site-07"])
    assert submitted.control.given is None


def test_flower_reads_the_node_config_as_it_was_meant(made, tmp_path):
    folder = tmp_path / "my data, 2026 = new"
    config = join.SiteKitConfig(site="site-00", server="127.0.0.1:1")
    data, note = SiteData(folder, folder, None), tmp_path / "activity.json"
    words = join.supernode_arguments(made.folder / "site-00", config, data, note)
    assert "--insecure" not in words
    given = parse_config_args([words[words.index("--node-config") + 1]])
    own = {"site-dir": str(folder), "kit": str(made.folder / "site-00"), "activity": str(note)}
    assert given == own
    data = SiteData(folder, tmp_path / "cxr", None)
    words = join.supernode_arguments(made.folder / "site-00", config, data, note)
    given = parse_config_args([words[words.index("--node-config") + 1]])
    assert given == {**own, "images-dir": str(tmp_path / "cxr")}
    data = SiteData(tmp_path / 'a "b', folder, None)
    with pytest.raises(ConfigError, match="holds no path with quotation marks"):
        join.supernode_arguments(made.folder, config, data, note)


def test_wrong_data_is_told_before_the_server_is_asked(made, tmp_path):
    kit = made.folder / "site-00"
    words = r"no site\.csv \(docs/data-formats\.md.*neither CheXpert \(train\.csv\) nor NIH"
    with pytest.raises(DataError, match=words):
        join.join(kit, lambda site: prepare_site(site, tmp_path), lambda event: None)


def test_a_client_gives_up_on_a_server_that_does_not_come(made, monkeypatch):
    monkeypatch.setattr(join, "KNOCK_S", 0.01)

    def nobody(folder, config, leftover):
        raise NetworkError("no connection")

    monkeypatch.setattr(join, "knock", nobody)
    events, data = [], SiteData(made.folder, made.folder, None)
    with pytest.raises(NetworkError, match="no connection"):
        join.join(made.folder / "site-00", lambda site: data, events.append, wait_s=0.2)
    assert [type(event) for event in events] == [join.Joining, join.Waiting]


def test_flowers_programs_get_none_of_the_users_settings(monkeypatch, fedcxr_home):
    monkeypatch.setenv("FLWR_INTERNAL_GRPC_CONTROL_API", "1")
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    monkeypatch.setenv("no_proxy", "intranet")
    given = child.flower_environment("site-00", ONE="1")
    assert "FLWR_INTERNAL_GRPC_CONTROL_API" not in given
    assert "FORWARDED_ALLOW_IPS" not in given
    assert given["no_proxy"] == "intranet,127.0.0.1,localhost,::1"
    assert given["FLWR_HOME"] == str(fedcxr_home / "flower" / "site-00")
    assert given["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] == given["ONE"] == "1"


def test_a_trial_in_which_somebody_got_in_ends_with_code_5(monkeypatch):
    def run_trial(on_trial):
        on_trial(Trial("a key that was revoked", is_right=False, said=""))
        return False

    monkeypatch.setattr("fedcxr.deploy.refusal_trial.run_trial", run_trial)
    done = CliRunner().invoke(cli, ["deploy", "selftest"])
    assert done.output == "✗ a key that was revoked: let in\n"
    assert done.exception.exit_code == 5


CHILD = """
import time
from fedcxr.deploy.orphans import end_with_parent
end_with_parent()
print("here", flush=True)
time.sleep(60)
"""
PARENT = """
import subprocess, sys
command = [sys.executable, "-c", sys.argv[1]]
child = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""


def test_a_program_ends_when_its_parent_is_killed():
    command = [sys.executable, "-c", PARENT, CHILD]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    assert parent.stdout.readline() == "here\n"
    parent.kill()
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + 10
    while is_there(pid):
        assert time.monotonic() < end, "it is still there"
        time.sleep(0.02)


def test_a_program_that_ends_by_itself_ends_well():
    # Python aborts (-6) where a thread holds the lock of sys.stdin at the end.
    command = [sys.executable, "-c", CHILD.replace("sleep(60)", "sleep(0.1)")]
    ended = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert ended.wait(30) == 0
    ended.stdin.close()


def test_the_last_words_of_a_program_are_told_without_colours(tmp_path):
    (tmp_path / "log").write_text("before\n\x1b[91mERROR \x1b[0m: one\n\ntwo\n")
    assert child.Child(None, tmp_path / "log", 7).last_lines(2) == "ERROR : one\ntwo"


def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().split()[2] != "Z"
