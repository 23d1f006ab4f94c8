"""A kept server's runs: which go on, which do not, and when the server is given up."""

import json
import signal
import subprocess
from types import SimpleNamespace

import pytest

from fedcxr.config.kit import ServerKitConfig
from fedcxr.deploy import keep, serve
from fedcxr.deploy.control import ListedRun, RunState
from fedcxr.deploy.keep import BadServerError, Deaths, Keeper, RunChange
from fedcxr.errors import ArtefactError, NetworkError
from fedcxr.runs.folder import RunFolder

UNDER_WAY = RunState(True, False, False, "")
STOPPED = RunState(True, True, False, "stopped", is_stopped=True, is_lost=True)
NOT_HEARD_OF = RunState(True, True, False, "No heartbeat", is_lost=True)
FAILED = RunState(True, True, False, "site-01 builds another model")
FINISHED = RunState(True, True, True, "")


class SuperLink:
    """Says how its runs are; each that is submitted gets the next number."""

    def __init__(self):
        self.states, self.stopped = {}, []

    def runs(self):
        return [ListedRun(run_id, state, "") for run_id, state in self.states.items()]

    def stop_run(self, run_id):
        self.stopped.append(run_id)
        self.states[run_id] = STOPPED


@pytest.fixture
def kept(tmp_path, monkeypatch, fedcxr_home):
    """A run that is under way as number 1, and its keeper that has seen it."""
    run = RunFolder.at(tmp_path / "a-run")
    run.write_json("manifest.json", {"status": "running", "deployment": {"data": "data"}})
    (run.path / "checkpoints" / "round-00002.safetensors").touch()
    control, known, held = SuperLink(), [], [True]
    control.states[1] = UNDER_WAY

    def submit(control, path, place):
        number = max(control.states, default=1) + 1
        control.states[number] = RunState(False, False, False, "")
        return number

    def begin(number):
        known.append(SimpleNamespace(folder=str(run.path), flower_run_id=str(number)))

    monkeypatch.setattr(keep, "known_runs", lambda: known)
    monkeypatch.setattr(keep, "is_locked", lambda path: held[0])
    monkeypatch.setattr("fedcxr.deploy.submit.check_can_go_on", lambda path, place: None)
    monkeypatch.setattr("fedcxr.deploy.submit.submit_resume", submit)
    begin(1)
    keeper = Keeper.of_kit(tmp_path / "kit", 9092)
    assert keeper.look(control) == []
    return SimpleNamespace(
        keeper=keeper, control=control, run=run, held=held, begin=begin, home=fedcxr_home
    )


def gone_on(kept):
    return [RunChange(kept.run.path, goes_on=True, why="after round 2")]


def test_a_run_whose_process_lives_is_left_alone(kept):
    assert kept.keeper.look(kept.control) == []
    assert kept.keeper.runs == {str(kept.run.path): "1"}


def test_a_run_whose_process_is_gone_is_stopped_at_flower_and_goes_on(kept):
    kept.held[0] = False
    assert kept.keeper.look(kept.control) == gone_on(kept)
    assert kept.control.stopped == [1]
    # Its folder is nobody's until the new process has it: that is no second death.
    assert kept.keeper.look(kept.control) == []
    kept.begin(2)
    kept.control.states[2], kept.held[0] = UNDER_WAY, True
    assert kept.keeper.look(kept.control) == []
    assert kept.keeper.runs == {str(kept.run.path): "2"}


@pytest.mark.parametrize("status", ["running", "failed", "interrupted"])
def test_what_ran_goes_on_at_a_superlink_that_was_started_anew(kept, status):
    kept.run.update_manifest(status=status)  # what its process still wrote, as it lost the server
    kept.held[0], kept.control.states = False, {}
    assert kept.keeper.look(kept.control) == gone_on(kept)
    assert kept.control.stopped == []


def test_a_process_that_outlives_its_superlink_is_ended(kept, monkeypatch):
    process = subprocess.Popen(["sleep", "60"])
    process.send_signal(signal.SIGSTOP)  # it would not end by itself
    monkeypatch.setattr(keep, "lock_holder", lambda path: process.pid)
    monkeypatch.setattr(keep, "is_locked", lambda path: process.poll() is None)
    kept.control.states = {}
    assert kept.keeper.look(kept.control) == gone_on(kept)
    assert process.wait(10) == -signal.SIGKILL


def test_one_that_cannot_be_told_is_waited_for(kept, monkeypatch):
    monkeypatch.setattr(keep, "LET_GO_S", 0.0)
    monkeypatch.setattr(keep, "lock_holder", lambda path: None)
    kept.control.states = {}
    assert kept.keeper.look(kept.control) == []
    assert kept.keeper.runs == {str(kept.run.path): "1"}


def test_a_server_that_is_started_again_knows_what_its_last_start_left(kept):
    assert json.loads(kept.keeper.file.read_text()) == {str(kept.run.path): "1"}
    kept.held[0], kept.control.states = False, {}
    assert Keeper.of_kit(kept.run.path, 9092).look(kept.control) == gone_on(kept)
    assert Keeper.of_kit(kept.run.path, 9093).look(SuperLink()) == []
    kept.keeper.file.write_text("[1")
    assert Keeper.of_kit(kept.run.path, 9092).runs == {}


@pytest.mark.parametrize(
    ("state", "manifest"),
    [
        (FINISHED, {"status": "finished"}),
        (FAILED, {"status": "failed"}),
        (STOPPED, {"status": "running"}),
        (None, {"status": "finished"}),
        (None, {"status": "interrupted", "stopped": "2026-11-28T03:00:00+00:00"}),
    ],
)
def test_a_run_that_ended_by_itself_or_was_stopped_does_not_go_on(kept, state, manifest):
    kept.run.update_manifest(**manifest)
    kept.held[0], kept.control.states = False, {1: state} if state else {}
    assert kept.keeper.look(kept.control) == []
    assert kept.keeper.runs == {}


def test_a_run_that_cannot_go_on_is_told_and_not_tried_again(kept, monkeypatch):
    def damaged(path, place):
        raise ArtefactError("the checkpoint is damaged")

    monkeypatch.setattr("fedcxr.deploy.submit.check_can_go_on", damaged)
    kept.held[0] = False
    told = RunChange(kept.run.path, goes_on=False, why="the checkpoint is damaged")
    assert kept.keeper.look(kept.control) == [told]
    assert kept.keeper.look(kept.control) == []


def test_a_run_that_fails_before_it_has_its_folder_is_told(kept):
    kept.held[0] = False
    kept.keeper.look(kept.control)
    kept.control.states[2] = FAILED
    told = RunChange(kept.run.path, goes_on=False, why="site-01 builds another model")
    assert kept.keeper.look(kept.control) == [told]


def test_one_that_is_killed_before_it_has_its_folder_goes_on(kept):
    kept.held[0] = False
    kept.keeper.look(kept.control)
    kept.control.states[2] = NOT_HEARD_OF
    assert kept.keeper.look(kept.control) == gone_on(kept)


def test_a_process_that_flower_does_not_hear_of_and_that_lives_has_the_server_started_anew(kept):
    kept.control.states[1] = NOT_HEARD_OF
    with pytest.raises(BadServerError, match=r"a-run: the process of this run's server hangs"):
        kept.keeper.look(kept.control)


def test_a_run_that_dies_without_a_round_in_between_is_given_up(kept):
    for number in range(2, 2 + keep.MOST_DEATHS):
        kept.held[0] = False
        assert kept.keeper.look(kept.control) == gone_on(kept)
        kept.begin(number)
        kept.control.states[number] = UNDER_WAY
    with pytest.raises(BadServerError, match=r"died 6 times within 10 minutes, with no round"):
        kept.keeper.look(kept.control)


def test_a_round_in_between_is_a_new_beginning(kept):
    for number in range(2, 12):
        kept.held[0] = False
        assert kept.keeper.look(kept.control)[0].goes_on
        (kept.run.path / "checkpoints" / f"round-{number + 1:05d}.safetensors").touch()
        kept.begin(number)
        kept.control.states[number] = UNDER_WAY


def test_deaths_of_long_ago_do_not_count(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(keep.time, "monotonic", lambda: now[0])
    deaths = Deaths()
    for _ in range(20):
        now[0] += keep.WITHIN_S / keep.MOST_DEATHS + 1
        deaths.note("")
    assert not deaths.are_too_many


class TestServe:
    """A server whose SuperLink ends each time that it is started."""

    @pytest.fixture
    def starts(self, tmp_path, monkeypatch, fedcxr_home):
        import contextlib

        made = []
        config = ServerKitConfig(address="127.0.0.1:9092")
        monkeypatch.setattr(serve, "server_kit", lambda folder: ("a kit", config))
        monkeypatch.setattr(serve, "_CHILD_POLL_S", 0.0)
        monkeypatch.setattr(serve, "_ended", lambda child: NetworkError("The SuperLink ended."))

        @contextlib.contextmanager
        def started(folder, config, log):
            made.append(folder)
            control = SimpleNamespace(runs=list)
            yield SimpleNamespace(exit_code=-9), SimpleNamespace(update=list, control=control)

        monkeypatch.setattr(serve, "started_server", started)
        return made

    def test_it_ends_where_it_is_not_kept(self, starts, tmp_path):
        with pytest.raises(NetworkError, match="The SuperLink ended"):
            serve.serve(tmp_path, lambda event: None)
        assert len(starts) == 1

    def test_a_kept_one_is_started_again_a_few_times(self, starts, tmp_path):
        events = []
        with pytest.raises(NetworkError, match=r"died 6 times .* is not started again") as caught:
            serve.serve(tmp_path, events.append, keep=True)
        assert caught.value.exit_code == 5
        assert len(starts) == 6
        again = [event.number for event in events if isinstance(event, serve.Restarting)]
        assert again == [1, 2, 3, 4, 5]

    def test_one_that_never_was_up_is_not_started_again(self, starts, tmp_path, monkeypatch):
        def taken(folder, config, log):
            starts.append(folder)
            raise NetworkError("Port 9092 cannot be opened")

        monkeypatch.setattr(serve, "started_server", taken)
        with pytest.raises(NetworkError, match="Port 9092"):
            serve.serve(tmp_path, lambda event: None, keep=True)
        assert len(starts) == 1
