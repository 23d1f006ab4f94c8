"""All that a tracker is ever told: never an image, a path or a token."""

import json

from fake_run import write_run

from fedcxr.config import load_config
from fedcxr.config.load import check_config
from fedcxr.trackers.told import round_numbers, run_end, run_start, settings_of

LINE = {
    "round": 3,
    "train_loss": 0.5,
    "val_loss": 0.25,
    "val_macro_auroc": None,
    "val_accuracy": 0.75,
    "sites": [{"site_id": "St-Mary"}, {"site_id": "St-John"}],
    "refused": [],
    "missing": [{"site_id": "St-Luke", "reason": "…"}],
    "seconds": 2.0,
    "bytes_up": 10,
    "parameters_sha256": "a" * 64,
}


def test_a_round_is_told_in_numbers_of_the_whole_federation():
    told = round_numbers(LINE, at=5.0)
    assert told.round_num == 3
    assert told.time == 5.0
    assert told.metrics == {
        "train_loss": 0.5,
        "val_loss": 0.25,
        "val_accuracy": 0.75,
        "seconds": 2.0,
        "bytes_up": 10.0,
        "sites_counted": 2.0,
        "sites_refused": 0.0,
        "sites_missing": 1.0,
    }


def test_settings_hold_no_path(tmp_path):
    config = load_config(
        overrides={
            "data.root": "/hospital/data",
            "partition.folder": "/hospital/plan",
            "model.weights": "mine.safetensors",
            "runs_dir": "/hospital/runs",
            "track.tensorboard": "/hospital/logs",
            "engine.ray_address": "10.0.0.1:6379",
            "train.loss": "focal",
        }
    )
    told = settings_of(config)
    assert told["train.loss"] == "focal"
    assert told["server.rounds"] == config.server.rounds
    for word in ("hospital", "safetensors", "10.0.0.1"):
        assert word not in json.dumps(told)


def test_a_training_of_a_comparison_is_named_with_it(tmp_path):
    config = check_config({})
    folder = tmp_path / "20260101-x-compare" / "arms" / "federated-seed-0"
    assert run_start(config, folder, sites=3).run == "20260101-x-compare-federated-seed-0"
    assert run_start(config, tmp_path / "20260101-x", sites=3).run == "20260101-x"


def test_the_result_is_told_by_label(tmp_path):
    folder = write_run(tmp_path / "run", labels=("Edema", "Mass"), undefined=("Mass",), rounds=2)
    summary = json.loads((folder / "summary.json").read_text())
    told = run_end(summary, at=1.0)
    assert told.status == "finished"
    assert told.metrics["test_macro_auroc"] == summary["macro_auroc"]
    assert told.metrics["test_macro_auroc_low"] == summary["macro_auroc_ci"][0]
    assert told.metrics["test_auroc/Edema"] == summary["auroc"]["Edema"]["value"]
    assert "test_auroc/Mass" not in told.metrics
