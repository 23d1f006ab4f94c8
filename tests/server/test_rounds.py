import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from fedcxr.config import load_config
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.server import ServerConfig
from fedcxr.config.train import TrainConfig
from fedcxr.errors import RunError
from fedcxr.parameters import Parameters
from fedcxr.runs.folder import RunFolder
from fedcxr.training.precision import Precision
from fedcxr.training.schedules import learning_rate
from server import rounds
from server.agreement import with_pooled_moments
from server.checkpoint import Checkpoint
from server.finish import times
from server.job import ComputePlan, Job
from server.roster import Card
from server.rounds import _better

PRECISION = Precision("fp32", False, "a test")
LOCAL = ComputePlan("local", 1, 2)


def after(best_round, best_auroc):
    nothing = Parameters(np.zeros(0, np.float32), np.zeros(0, np.int64))
    return Checkpoint(best_round, nothing, best_round, best_auroc, {})


def job_of(**train):
    config = ExperimentConfig(train=TrainConfig(**train))
    return Job(config, None, SimpleNamespace(), None, "cpu", LOCAL)


def card(count, total, squares):
    keys = ("pixel-count", "pixel-sum", "pixel-sum-of-squares")
    return Card("site", 1, dict(zip(keys, (count, total, squares), strict=True)), {})


@pytest.mark.parametrize(
    ("state", "auroc", "expected"),
    [
        ((0, None), 0.6, (5, 0.6)),  # the first that is defined
        ((3, 0.7), 0.8, (5, 0.8)),  # better
        ((3, 0.7), 0.7, (3, 0.7)),  # as good: the earlier stays
        ((3, 0.7), 0.6, (3, 0.7)),  # worse
        ((3, 0.7), None, (3, 0.7)),  # not defined this time
        ((4, None), None, (5, None)),  # never defined: the newest
    ],
)
def test_the_best_round_is_the_first_of_the_highest_auroc(state, auroc, expected):
    assert _better(after(*state), 5, auroc) == expected


def test_pooled_moments_are_those_of_all_pixels_together():
    # Site 1: pixels 0, 1; site 2: pixels 0.5, 0.5, 1, 1. Six pixels with sum 4 and squares 3.5:
    # mean 2/3, variance 3.5/6 − 4/9 = 5/36
    cards = {"a": card(2, 1.0, 1.0), "b": card(4, 3.0, 2.5)}
    train = with_pooled_moments(job_of(normalization="pooled"), cards).config.train
    assert train.mean == pytest.approx(2 / 3)
    assert train.std == pytest.approx(math.sqrt(5) / 6)
    assert train.normalization == "pooled"


def test_pooling_weighs_sites_by_their_pixels_and_not_each_the_same():
    cards = {"large": card(99, 99.0, 99.0), "small": card(1, 0.0, 0.0)}
    assert with_pooled_moments(job_of(), cards).config.train.mean == pytest.approx(0.99)


def test_flat_images_give_a_small_deviation_and_not_zero():
    cards = {"a": card(10, 5.0, 2.5)}
    assert with_pooled_moments(job_of(), cards).config.train.std == 1e-3


def test_pooling_over_no_pixels_is_an_error():
    with pytest.raises(RunError, match=r"No site has training pixels.*normalization=preset"):
        with_pooled_moments(job_of(), {"a": card(0, 0.0, 0.0)})


def test_pooled_moments_of_a_resumed_run_do_not_change_its_digest():
    job = job_of(normalization="pooled")
    job = replace(
        job,
        prepared=SimpleNamespace(plan=SimpleNamespace(digest="p", lineage="p")),
        precision=PRECISION,
    )
    pooled = with_pooled_moments(job, {"a": card(2, 1.0, 1.0)})
    assert pooled.arithmetic().digest == job.arithmetic().digest


def test_what_decides_the_weights_decides_the_digest_and_nothing_else():
    prepared = SimpleNamespace(plan=SimpleNamespace(digest="p", lineage="p"))

    def digest(*settings, threads=1):
        config = load_config(settings=settings)
        job = Job(config, None, prepared, PRECISION, "cpu", replace(LOCAL, threads=threads))
        return job.arithmetic().digest

    same = [
        "name=other",
        "runs_dir=/elsewhere",
        "engine.workers=2",
        "data.root=/moved",
        "engine.kind=ray",
        "server.quorum=0.1",
        "server.deadline_s=5",
        "explain.labels=2",
    ]
    other = ["seed=1", "train.learning_rate=1e-5", "server.rounds=3"]
    assert {digest(setting) for setting in same} == {digest()}
    assert len({digest(), digest(threads=2), *(digest(setting) for setting in other)}) == 5


def test_the_task_names_no_path_of_the_server():
    config = load_config(
        settings=["model.weights=/secret/weights.safetensors", "data.root=/secret"]
    )
    run = SimpleNamespace(name="a-run")
    prepared = SimpleNamespace(plan=SimpleNamespace(labels=("Edema",)))
    task = Job(config, run, prepared, PRECISION, "cpu", LOCAL).task()
    assert "secret" not in task.to_text()
    assert task.labels == ("Edema",)


def test_times_add_up_over_an_interruption():
    # Round 0 was judged in 1 s; rounds 1 and 2 trained 6 and 8 s and were judged in 2 s each
    lines = [
        {"seconds": 1.0},
        {"seconds": 8.0, "seconds_train": 6.0, "images": 70},
        {"seconds": 10.0, "seconds_train": 8.0, "images": 70},
    ]
    begun = {"prepare_seconds": 3.0, "join_seconds": 0.5}
    found = times(lines, begun, {"evaluate": 4.0, "explain": 5.0})
    assert found["phases"] == {
        "prepare": 3.0,
        "join": 0.5,
        "train": 14.0,
        "evaluate": 9.0,
        "explain": 5.0,
    }
    assert found["seconds"] == 31.5
    assert found["train_images_per_second"] == 10.0
    assert times([], begun, {"evaluate": 0.0})["train_images_per_second"] is None


def rounds_of(monkeypatch, run, aurocs, *, resume=False, **server):
    """Run rounds that only write their line, with these AUROCs of round 0 and on."""
    config = ExperimentConfig(server=ServerConfig(**server), train=TrainConfig(**PLATEAU))
    job = Job(config, run, SimpleNamespace(), PRECISION, "cpu", LOCAL, resume=resume)
    rates = []

    def keep(round_num):
        line = {"round": round_num, "val_macro_auroc": aurocs[round_num], "sites": []}
        run.append("rounds.jsonl", line)
        return replace(after(0, None), round_num=round_num, line=line)

    def one_round(session, state, round_num, val_aurocs):
        rates.append(learning_rate(config.train, round_num, 10, val_aurocs))
        return keep(round_num)

    monkeypatch.setattr(rounds, "_begin", lambda session: keep(0))
    newest = [line["round"] for line in run.read_lines("rounds.jsonl")][-1:]
    monkeypatch.setattr(rounds, "_resume", lambda *_: replace(after(0, None), round_num=newest[0]))
    monkeypatch.setattr(rounds, "_one_round", one_round)
    session = SimpleNamespace(job=job, model=None, book=SimpleNamespace(last_rounds={}))
    return rounds.run_rounds(session).round_num, rates


PLATEAU = {"learning_rate": 1.0, "lr_schedule": "plateau", "lr_factor": 0.5}
AUROCS = [0.5, 0.6, 0.55, 0.7, 0.65, 0.66, 0.9, 0.9, 0.9]


def run_folder(path):
    run = RunFolder.at(path)
    run.write_json("manifest.json", {})
    return run


def test_a_run_ends_early_and_says_why(monkeypatch, tmp_path):
    run = run_folder(tmp_path / "run")
    # round 3 is the best; rounds 4 and 5 are not better
    assert rounds_of(monkeypatch, run, AUROCS, rounds=8, stop_after=2)[0] == 5
    grounds = {"round": 5, "best_round": 0, "stop_after": 2, "min_improvement": 0.0}
    assert run.read_json("manifest.json")["stopped_early"] == grounds
    assert run.read_lines("events.jsonl")[-1].items() >= grounds.items()


def test_the_last_round_ends_no_run_early(monkeypatch, tmp_path):
    run = run_folder(tmp_path / "run")
    assert rounds_of(monkeypatch, run, AUROCS, rounds=5, stop_after=2)[0] == 5
    assert "stopped_early" not in run.read_json("manifest.json")


@pytest.mark.parametrize("halted_after", [1, 2, 4, 5])
def test_a_resumed_run_has_the_rates_and_the_end_of_one_that_never_halted(
    halted_after, monkeypatch, tmp_path
):
    whole = run_folder(tmp_path / "whole")
    end, rates = rounds_of(monkeypatch, whole, AUROCS, rounds=8, stop_after=2)
    assert rates == [1.0, 1.0, 0.5, 0.5, 0.25]  # after rounds 2 and 4
    halted = run_folder(tmp_path / "halted")
    _, first = rounds_of(monkeypatch, halted, AUROCS, rounds=halted_after)
    then, second = rounds_of(monkeypatch, halted, AUROCS, resume=True, rounds=8, stop_after=2)
    assert (then, first + second) == (end, rates)
    assert halted.read_json("manifest.json") == whole.read_json("manifest.json")
