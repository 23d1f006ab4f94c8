import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from fedcxr.config import load_config
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.train import TrainConfig
from fedcxr.errors import RunError
from fedcxr.parameters import Parameters
from fedcxr.training.precision import Precision
from server.checkpoint import Checkpoint
from server.finish import times
from server.job import ComputePlan, Job
from server.roster import Card
from server.rounds import _better, learning_rate
from server.run import with_pooled_moments

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


def test_a_constant_rate_stays():
    config = TrainConfig(learning_rate=3e-4)
    assert {learning_rate(config, r, 10) for r in range(1, 11)} == {3e-4}


def test_the_cosine_starts_at_the_rate_falls_and_ends_near_a_twentieth():
    config = TrainConfig(learning_rate=2.0, lr_schedule="cosine")
    rates = [learning_rate(config, r, 10) for r in range(1, 11)]
    assert rates[0] == 2.0
    assert rates == sorted(rates, reverse=True)
    # halfway (round 6 of 10) the cosine is 0: 2 · (0.05 + 0.95 · 0.5) = 1.05
    assert rates[5] == pytest.approx(1.05)
    # round 10: cos(0.9 π) = −0.95106 → 2 · (0.05 + 0.95 · 0.02447) = 0.14649
    assert rates[9] == pytest.approx(0.14649, abs=1e-5)


def test_one_round_of_a_cosine_has_the_full_rate():
    assert learning_rate(TrainConfig(learning_rate=0.5, lr_schedule="cosine"), 1, 1) == 0.5


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
        "server.bootstrap=200",
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
