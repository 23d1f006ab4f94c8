"""Whole runs of each algorithm and aggregator: the same bits however they are carried."""

import json
import subprocess
import sys

import numpy as np
import pytest

from fedcxr.algorithms.fedavg import ALGORITHMS
from fedcxr.algorithms.known_algorithms import algorithm_registry
from fedcxr.algorithms.protocol import Algorithm, mean_step
from fedcxr.config import load_config
from fedcxr.errors import ConfigError
from fedcxr.experiments import simulate
from fedcxr.parameters import load_with_vectors
from server.aggregate.aggregator import AggregatorKind
from server.aggregate.known_aggregators import aggregator_registry
from server.aggregate.mean import RunningMean

pytestmark = pytest.mark.usefixtures("no_page")

TINY = {
    "data.synthetic.patients": 90,
    "data.synthetic.size_px": 48,
    "model.image_size": 32,
    "partition.clients": 3,
    "server.rounds": 2,
    "explain.labels": 1,
    "explain.images_per_outcome": 0,
    "explain.max_boxes": 0,
    "engine.workers": 1,
    "engine.precision": "fp32",
}
DESCENT = {"train.optimizer": "sgd", "train.momentum": 0.0, "train.learning_rate": 0.05}
RUNS = {
    "fedavg": {},
    "fedprox": {"algorithm.mu": 0.1},
    "fedavgm": {},
    "fedadagrad": {},
    "fedadam": {},
    "fedyogi": {},
    "scaffold": DESCENT,
    "fedbn": {},
}
STATE = {
    "fedavgm": {"momentum"},
    "fedadagrad": {"momentum", "variance"},
    "fedadam": {"momentum", "variance"},
    "fedyogi": {"momentum", "variance"},
    "scaffold": {"control"},
}
"""What a checkpoint holds beside the parameters."""


def settings_of(name, **changes):
    keys = {key.replace("__", "."): value for key, value in changes.items()}
    return {**TINY, "algorithm.name": name, **RUNS.get(name, {}), **keys}


@pytest.fixture(scope="module")
def run_of(tmp_path_factory):
    """Run an algorithm once, in this process."""
    done = {}

    def run(name):
        if name not in done:
            folder = tmp_path_factory.mktemp(name)
            config = load_config(overrides={**settings_of(name), "runs_dir": str(folder)})
            done[name] = simulate(config)
        return done[name]

    return run


@pytest.mark.parametrize("name", RUNS)
def test_a_run_says_which_algorithm_it_had_and_keeps_its_state(run_of, name):
    run = run_of(name)
    manifest = json.loads((run.path / "manifest.json").read_text())
    assert manifest["algorithm"]["name"] == name
    assert manifest["aggregator"] == "mean"
    newest = sorted((run.path / "checkpoints").glob("*.safetensors"))[-1]
    assert load_with_vectors(newest)[2].keys() == STATE.get(name, set())
    assert np.isfinite(run.summary["macro_auroc"])


def test_every_algorithm_gives_another_model(run_of):
    digests = {run_of(name).summary["parameters_sha256"] for name in RUNS}
    assert len(digests) == len(RUNS)


def test_every_algorithm_is_run_here():
    assert set(algorithm_registry().names()) == set(RUNS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("fedadam", ["--workers", "2"]),
        ("scaffold", ["--workers", "2"]),
        ("fedbn", ["--workers", "2"]),
    ],
)
def test_workers_give_the_same_bits_as_one_process(run_of, tmp_path, name, flags):
    own = {k: v for k, v in settings_of(name).items() if k != "engine.workers"}
    settings = [x for key, value in own.items() for x in ("--set", f"{key}={value}")]
    cli = [sys.executable, "-m", "fedcxr", "simulate", "--runs-dir", str(tmp_path), *settings]
    subprocess.run([*cli, *flags], check=True, timeout=120, capture_output=True)
    summary = json.loads((next(tmp_path.iterdir()) / "summary.json").read_text())
    assert summary["parameters_sha256"] == run_of(name).summary["parameters_sha256"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"algorithm__name": "scaffold"}, r"scaffold: needs train\.optimizer=sgd, and it is adam"),
        (
            {"algorithm__name": "scaffold", **{k.replace(".", "__"): v for k, v in DESCENT.items()}}
            | {"train__momentum": 0.9},
            r"needs train\.momentum=0\.0, and it is 0\.9",
        ),
        (
            {"algorithm__name": "scaffold", **{k.replace(".", "__"): v for k, v in DESCENT.items()}}
            | {"server__aggregator": "median"},
            "must weigh as the updates do, by images; server.aggregator=median weighs otherwise",
        ),
        (
            {"algorithm__name": "scaffold", **{k.replace(".", "__"): v for k, v in DESCENT.items()}}
            | {"server__aggregator": "label-mean"},
            "server.aggregator=label-mean weighs otherwise",
        ),
        (
            {"algorithm__name": "scaffold", **{k.replace(".", "__"): v for k, v in DESCENT.items()}}
            | {"server__aggregator": "multi-krum", "server__byzantine": 0},
            "server.aggregator=multi-krum weighs otherwise",
        ),
        (
            {"server__aggregator": "krum"},
            r"server.aggregator: krum with server.byzantine=1 needs at least 2·1 \+ 3 = 5 updates",
        ),
        (
            {"server__aggregator": "krum", "server__fraction": 0.5, "server__byzantine": 0},
            r"needs at least 2·0 \+ 3 = 3 updates a round, and there are 2",
        ),
        (
            {"server__aggregator": "trimmed-mean", "server__trim": 0.4},
            r"trimmed-mean leaves out 2 of 3 updates at each end \(server.trim=0.4, rounded up\)",
        ),
        ({"server__aggregator": "meen"}, r"there is no aggregator 'meen' \(did you mean 'mean'\?"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_made(tmp_path, changes, words):
    keys = {key.replace("__", "."): value for key, value in changes.items()}
    config = load_config(overrides={**TINY, "runs_dir": str(tmp_path / "runs"), **keys})
    with pytest.raises(ConfigError, match=words):
        simulate(config)
    assert not (tmp_path / "runs").exists()


def test_an_algorithm_is_added_by_one_value(run_of, tmp_path):
    def half_step(parameters, found):
        return found.update / 2, {}

    algorithm_registry().add("half", Algorithm("half of FedAvg", half_step))
    try:
        settings = settings_of("half", server__rounds=1)  # its checkpoint of round 0 is kept
        half = simulate(load_config(overrides={**settings, "runs_dir": str(tmp_path)}))
    finally:
        algorithm_registry().remove("half")
    # both start from the same weights and train the same in round 1
    rounds = {
        name: load_with_vectors(run.path / "checkpoints" / f"round-0000{number}.safetensors")[0]
        for name, run, number in (
            ("start", half, 0),
            ("half", half, 1),
            ("full", run_of("fedavg"), 1),
        )
    }
    size = 1000  # of the first weights, which are trained
    moved = {n: p.vector[:size] - rounds["start"].vector[:size] for n, p in rounds.items()}
    np.testing.assert_allclose(moved["half"], moved["full"] / 2, atol=1e-6)
    assert np.abs(moved["full"]).max() > 1e-5


def test_an_aggregator_is_added_by_one_value(run_of, tmp_path):
    class CountingMean(RunningMean):
        sites = 0

        def add(self, update):
            CountingMean.sites += 1
            super().add(update)

    aggregator_registry().add("counting", AggregatorKind("a mean that counts", CountingMean))
    try:
        settings = {**settings_of("fedavg"), "server.aggregator": "counting"}
        counted = simulate(load_config(overrides={**settings, "runs_dir": str(tmp_path)}))
    finally:
        aggregator_registry().remove("counting")
    assert CountingMean.sites == 3 * 2
    fedavg = run_of("fedavg").summary["parameters_sha256"]
    assert counted.summary["parameters_sha256"] == fedavg


@pytest.mark.parametrize(
    "aggregator", ["label-mean", "median", "trimmed-mean", "krum", "multi-krum"]
)
def test_other_aggregators_give_other_models(run_of, tmp_path, aggregator):
    settings = {**settings_of("fedavg"), "server.aggregator": aggregator, "server.byzantine": 0}
    if aggregator == "label-mean":  # where all labels are known it is the mean
        settings["data.blank"] = "ignore"
    run = simulate(load_config(overrides={**settings, "runs_dir": str(tmp_path)}))
    assert np.isfinite(run.summary["macro_auroc"])
    fedavg = run_of("fedavg").summary["parameters_sha256"]
    assert run.summary["parameters_sha256"] != fedavg
    assert not (run.path / "spool").exists()


def test_fedavg_is_what_is_run_where_nothing_is_said():
    assert load_config().algorithm.algorithm is ALGORITHMS["fedavg"]
    assert ALGORITHMS["fedavg"].step is mean_step
