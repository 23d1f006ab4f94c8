"""TensorBoard's files read back by TensorBoard; MLflow and W&B as far as their edge."""

import sys
from types import SimpleNamespace
from unittest.mock import create_autospec

import pytest
from fake_run import write_run

from fedcxr.cli.main import cli
from fedcxr.config import load_config
from fedcxr.config.track import TrackConfig
from fedcxr.errors import ArtefactError, ConfigError
from fedcxr.runs.folder import RunFolder
from fedcxr.trackers import chosen
from fedcxr.trackers.chosen import TRACKERS, check_trackers, chosen_trackers
from fedcxr.trackers.mlflow_tracker import MlflowTracker
from fedcxr.trackers.protocol import RoundNumbers, RunEnd, RunStart
from fedcxr.trackers.replay import replay
from fedcxr.trackers.tensorboard_tracker import TensorBoardTracker
from fedcxr.trackers.wandb_tracker import WandbTracker

START = RunStart("run", {"train.loss": "bce", "server.rounds": 1}, sites=2, rounds=1)
ROUND = RoundNumbers(1, {"train_loss": 0.5, "val_macro_auroc": 0.75}, 2.0)
END = RunEnd("finished", {"test_macro_auroc": 0.625}, 1, 3.0)


def tell(tracker):
    tracker.on_start(START)
    tracker.on_round(ROUND)
    tracker.on_end(END)


class Keeping:
    told: list[object] = []  # noqa: RUF012  # of all, as trackers are made anew

    def on_start(self, start):
        self.told.append(start)

    on_round = on_end = on_start


class Broken(Keeping):
    def __init__(self):
        raise ValueError("no")


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """What these tests let a name stand for is forgotten after each."""
    monkeypatch.setattr(TRACKERS, "_loaded", dict(TRACKERS._loaded))


@pytest.fixture
def run(tmp_path):
    folder = write_run(tmp_path / "run", labels=("Edema", "Mass"), undefined=(), rounds=3)
    for number in range(4):
        RunFolder(folder).event("round_done", round=number)
    return folder


def scalars_of(folder):
    """Return the scalars of an event file as TensorBoard reads them, by tag."""
    reason = "TensorBoard is not installed (fedcxr[tensorboard])"
    loader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_file_loader", reason=reason
    )
    (file,) = folder.glob("events.out.tfevents.*")
    found = {}
    for event in loader.LegacyEventFileLoader(str(file)).Load():
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_tensorboard_reads_back_what_was_told(tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed (fedcxr[tensorboard])")
    tell(TensorBoardTracker(tmp_path))
    assert scalars_of(tmp_path / "run") == {
        "train_loss": [(1, 0.5)],
        "val_macro_auroc": [(1, 0.75)],
        "test_macro_auroc": [(1, 0.625)],
    }


def test_a_finished_run_is_replayed_into_an_event_file(run, tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed (fedcxr[tensorboard])")
    assert replay(run, chosen_trackers(TrackConfig(tensorboard=str(tmp_path / "logs")))) == {}
    found = scalars_of(tmp_path / "logs" / "run")
    lines = RunFolder(run).read_lines("rounds.jsonl")
    wanted = [(line["round"], pytest.approx(line["val_macro_auroc"])) for line in lines]
    assert found["val_macro_auroc"] == wanted
    assert len(found["test_auroc/Edema"]) == 1


def test_a_finished_run_is_told_in_order_at_its_own_times(run):
    tracker = Keeping()
    tracker.told = []
    assert replay(run, {"mine": tracker}) == {}
    start, *rounds, end = tracker.told
    assert start.run == "run"
    assert [told.round_num for told in rounds] == [0, 1, 2, 3]
    events = RunFolder(run).read_lines("events.jsonl")
    assert [told.time for told in rounds] == [event["time"] for event in events]
    assert (
        end.metrics["test_macro_auroc"] == RunFolder(run).read_json("summary.json")["macro_auroc"]
    )


def test_what_is_not_finished_is_not_replayed(tmp_path):
    folder = write_run(tmp_path / "run", rounds=2, finished=False)
    with pytest.raises(ArtefactError, match="is not finished"):
        replay(folder, {})


def test_mlflow_is_told_by_its_client(monkeypatch):
    class Client:
        def get_experiment_by_name(self, name): ...
        def create_experiment(self, name): ...
        def create_run(self, experiment_id, run_name=None, tags=None): ...
        def log_param(self, run_id, key, value): ...
        def log_metric(self, run_id, key, value, timestamp=None, step=None): ...
        def set_terminated(self, run_id, status=None): ...

    client = create_autospec(Client, instance=True)
    client.get_experiment_by_name.return_value = None
    client.create_experiment.return_value = "7"
    client.create_run.return_value = SimpleNamespace(info=SimpleNamespace(run_id="r"))
    made = SimpleNamespace(MlflowClient=lambda tracking_uri: client)
    monkeypatch.setitem(sys.modules, "mlflow", made)
    tell(MlflowTracker("http://127.0.0.1:1"))
    assert client.create_run.call_args.kwargs["run_name"] == "run"
    client.log_param.assert_any_call("r", "train.loss", "bce")
    client.log_metric.assert_any_call("r", "val_macro_auroc", 0.75, timestamp=2000, step=1)
    client.set_terminated.assert_called_once_with("r", status="FINISHED")


def test_wandb_is_told_and_sends_nothing_of_the_machine(monkeypatch):
    class Run:
        summary: dict[str, object] = {}  # noqa: RUF012  # as W&B has it

        def log(self, data, step=None): ...
        def finish(self, exit_code=None): ...

    def init(project, name, config, reinit, settings): ...

    run = create_autospec(Run, instance=True)
    run.summary = {}
    begin = create_autospec(init, return_value=run)
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=begin, Settings=dict))
    tell(WandbTracker("study"))
    given = begin.call_args.kwargs
    assert (given["project"], given["name"], given["config"]) == (
        "study",
        "run",
        {"train.loss": "bce", "server.rounds": 1},
    )
    assert given["settings"]["x_disable_meta"]
    assert given["settings"]["console"] == "off"
    run.log.assert_called_once_with({"train_loss": 0.5, "val_macro_auroc": 0.75}, step=1)
    assert run.summary == {"test_macro_auroc": 0.625, "best_round": 1}
    run.finish.assert_called_once_with(exit_code=0)


@pytest.mark.parametrize("package", ["tensorboard", "mlflow", "wandb"])
def test_a_tracker_whose_package_is_missing_is_refused_before_anything_trains(package, monkeypatch):
    monkeypatch.setattr(chosen, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=rf"track.{package}: .*pip install 'fedcxr\[{package}\]'"):
        check_trackers(TrackConfig(**{package: "x"}))


def test_an_own_tracker_is_made_or_refused(monkeypatch):
    TRACKERS.add_here("__main__:Keeping", Keeping)
    assert isinstance(
        chosen_trackers(TrackConfig(own=("__main__:Keeping",)))["__main__:Keeping"], Keeping
    )
    with pytest.raises(ConfigError, match="lacks on_start, on_round, on_end"):
        TRACKERS.add_here("__main__:int", int)
    TRACKERS.add_here("__main__:Broken", Broken)
    with pytest.raises(ConfigError, match=r"track.own = __main__:Broken: cannot be made"):
        chosen_trackers(TrackConfig(own=("__main__:Broken",)))


def test_an_address_with_a_password_is_refused():
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_PASSWORD"):
        load_config(overrides={"track.mlflow": "https://me:secret@host"})


def test_track_says_whom_it_told(run, monkeypatch, capsys):
    from typer.testing import CliRunner

    TRACKERS.add_here("__main__:Keeping", Keeping)
    done = CliRunner().invoke(cli, ["track", str(run), "--tracker", "__main__:Keeping"])
    assert done.exit_code == 0, done.output
    assert "__main__:Keeping: told" in done.output
    done = CliRunner().invoke(cli, ["track", str(run)])
    assert isinstance(done.exception, ConfigError)
    assert "--tensorboard" in str(done.exception)
