"""Whole runs: three tiny sites on synthetic data, looked at from outside."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fedcxr.config import load_config
from fedcxr.data.synthetic.write import embedded_dataset
from fedcxr.errors import ArtefactError, LeakError, NetworkError
from fedcxr.experiments import resume, simulate
from fedcxr.experiments.apply import evaluate_run
from fedcxr.experiments.predict import predict_images
from fedcxr.home import home_folder
from partitions.table import read_table

TINY = {
    "data.synthetic.patients": 90,
    "data.synthetic.size_px": 48,
    "model.image_size": 32,
    "partition.clients": 3,
    "server.rounds": 2,
    "explain.labels": 1,
    "explain.images_per_outcome": 1,
    "engine.workers": 1,
    "engine.precision": "fp32",
}

MIXED = {
    "Edema": "multi_class",
    "Pleural Effusion": "multi_class",
    "Consolidation": "self_trained",
    "Pneumonia": "self_trained",
    "Atelectasis": "smoothed",
    "Cardiomegaly": "ones",
    "Pneumothorax": "zeros",
}
"""Every policy for uncertain labels at once; the other labels ignore them."""

FILES = (
    "manifest.json",
    "config.yaml",
    "rounds.jsonl",
    "events.jsonl",
    "predictions.npz",
    "summary.json",
    "report.html",
    "partition/plan.json",
    "partition/global/test.csv",
)


def tiny(folder: Path, **changes):
    keys = {key.replace("__", "."): value for key, value in changes.items()}
    return load_config(overrides={**TINY, "runs_dir": str(folder), "name": "tiny", **keys})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return simulate(tiny(tmp_path_factory.mktemp("runs")))


def command(folder: Path, *more: str) -> list[str]:
    own = {key: value for key, value in TINY.items() if key != "engine.workers"}
    settings = [x for key, value in own.items() for x in ("--set", f"{key}={value}")]
    cli = [sys.executable, "-m", "fedcxr", "simulate", "--runs-dir", str(folder)]
    return [*cli, *settings, *more]


def sha256_of(run: Path) -> str:
    return json.loads((run / "summary.json").read_text())["parameters_sha256"]


def wait_for(file: Path, text: str, limit_s: float = 90.0) -> None:
    end = time.monotonic() + limit_s
    while not (file.exists() and text in file.read_text()):
        assert time.monotonic() < end, f"{text!r} did not come into {file.name} in {limit_s} s"
        time.sleep(0.02)


def test_a_run_leaves_every_file_that_the_guide_names(finished):
    for name in (*FILES, "partition/sites/site-02.csv"):
        assert (finished.path / name).stat().st_size > 0
    assert list((finished.path / "checkpoints").glob("*.safetensors"))
    assert json.loads((finished.path / "manifest.json").read_text())["status"] == "finished"


def test_the_summary_has_what_the_guide_promises(finished):
    summary = finished.summary
    assert summary["num_rounds"] == 2
    assert summary["best_round"] in (1, 2)
    assert [site["site_id"] for site in summary["sites"]] == ["site-00", "site-01", "site-02"]
    # 2 sets at each of 3 sites, and the server's val and test: 8 sets, 8·7/2 = 28 pairs
    assert (summary["disjoint"]["verified"], summary["disjoint"]["pairs_checked"]) == (True, 28)
    assert summary["train_images_per_second"] > 0
    assert summary["seconds"] == pytest.approx(sum(summary["phases"].values()))


def test_the_manifest_counts_states_and_targets_of_all_training_images(finished):
    counts = json.loads((finished.path / "manifest.json").read_text())["label_counts"]
    tables = [read_table(file) for file in (finished.path / "partition/sites").glob("*.csv")]
    states = np.concatenate([table.states[table.rows("train")] for table in tables])
    assert counts["images"] == len(states) > 0
    for column, label in enumerate(tables[0].labels):
        now = {state: int((states[:, column] == state).sum()) for state in (1, 0, -1, -2)}
        before, after = counts["before"][label], counts["after"][label]
        assert list(before.values()) == [now[1], now[0], now[-1], now[-2], 0]
        # the quickstart: blank is zero, uncertain is ignored
        assert list(after.values()) == [now[1], now[0] + now[-2], 0, 0, now[-1]]
    assert "Labels before and after the policies" in finished.report.read_text("utf-8")


def test_auroc_can_be_computed_again_from_the_predictions_alone(finished):
    from sklearn.metrics import roc_auc_score

    with np.load(finished.path / "predictions.npz", allow_pickle=False) as kept:
        for column, label in enumerate(kept["labels"]):
            said = finished.summary["auroc"][str(label)]
            known = ~np.isnan(kept["target"][:, column])
            truth, probs = kept["target"][known, column], kept["probs"][known, column]
            if len(set(truth)) < 2:
                assert said["value"] is None
                assert said["reason"]
            else:
                assert said["value"] == pytest.approx(roc_auc_score(truth, probs), abs=1e-12)


def test_the_manifest_says_where_the_test_patients_came_from(finished):
    manifest, plan = (
        json.loads((finished.path / name).read_text())
        for name in ("manifest.json", "partition/plan.json")
    )
    (part,) = manifest["data"]["test_set"]["parts"]
    assert manifest["data"]["test_set"] == plan["test_set"]
    assert (part["origin"], part["official"]["kind"]) == ("official", "chexpert-valid")
    assert part["patients"] == finished.summary["test_patients"]
    told = "The test set is valid.csv, the official valid set; it is never used to choose."
    assert told in manifest["data"]["notes"]
    assert told in (finished.path / "report.html").read_text()


def test_nothing_in_a_run_names_a_patient_of_the_source(finished):
    for file in finished.path.rglob("*"):
        if file.is_file():
            assert not re.search(rb"patient[0-9]", file.read_bytes()), file.name


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(finished, tmp_path):
    assert simulate(tiny(tmp_path)).summary["parameters_sha256"] == sha256_of(finished.path)
    other = simulate(tiny(tmp_path, seed=1))
    assert other.summary["parameters_sha256"] != sha256_of(finished.path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ["--workers", "2"],
        pytest.param(["--engine", "ray", "--workers", "2"], marks=pytest.mark.long),
    ],
)
def test_workers_and_ray_give_the_same_bits_as_one_process(finished, tmp_path, flags):
    # as a command: Ray leaves files of its own open in the process that used it
    done = subprocess.run(
        [*command(tmp_path), *flags], check=True, timeout=120, capture_output=True, text=True
    )
    run = next(tmp_path.iterdir())
    assert str(run / "report.html") in done.stdout
    assert sha256_of(run) == sha256_of(finished.path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {},
        {
            "server.batch_norm": "local",
            "train.normalization": "pooled",
            # killed in the round that fills labels; the run that is not killed has one worker
            "data.uncertain_by_label": MIXED,
            "data.self_train_after": 1,
        },
        pytest.param({"algorithm.name": "fedadam"}, marks=pytest.mark.long),
        {
            "algorithm.name": "scaffold",
            "train.optimizer": "sgd",
            "train.momentum": 0.0,
            "train.learning_rate": 0.05,
        },
        pytest.param({"algorithm.name": "fedbn"}, marks=pytest.mark.long),
    ],
    ids=["fedavg", "sites' own state", "fedadam", "scaffold", "fedbn"],
)
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, more):
    # row 22 of the bad-input table
    settings = {"server.rounds": 4, **more}
    flags = [x for key, value in settings.items() for x in ("--set", f"{key}={value}")]
    killed = subprocess.Popen(command(tmp_path / "killed", *flags), start_new_session=True)
    try:
        while not list((tmp_path / "killed").glob("*/events.jsonl")):
            assert killed.poll() is None
            time.sleep(0.02)
        run = next((tmp_path / "killed").iterdir())
        while '"round": 2, "cohort"' not in (run / "events.jsonl").read_text():
            assert killed.poll() is None
            time.sleep(0.005)
        assert not (run / "summary.json").exists()
    finally:
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait(30)
    went_on = resume(run)
    keys = {key.replace(".", "__"): value for key, value in settings.items()}
    whole = simulate(tiny(tmp_path / "whole", **keys))
    assert went_on.summary["parameters_sha256"] == whole.summary["parameters_sha256"]
    rounds = [json.loads(x)["round"] for x in (run / "rounds.jsonl").read_text().splitlines()]
    assert rounds == [0, 1, 2, 3, 4]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupted_run_exits_130_and_keeps_what_it_has(tmp_path, number):
    flags = ["--set", "server.rounds=50", "--set", "engine.workers=2"]
    process = subprocess.Popen(command(tmp_path, *flags), stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("*/rounds.jsonl")):
        assert process.poll() is None
        time.sleep(0.05)
    run = next(tmp_path.iterdir())
    wait_for(run / "rounds.jsonl", '{"round": 1,')
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"fedcxr resume {run}" in told
    assert "Traceback" not in told
    assert json.loads((run / "manifest.json").read_text())["status"] == "interrupted"
    assert len(list((run / "checkpoints").glob("*.safetensors"))) >= 1


def test_a_finished_run_is_not_resumed(finished):
    with pytest.raises(ArtefactError, match="this run is finished"):
        resume(finished.path)


def test_a_partition_folder_is_used_again_as_it_is(finished, tmp_path):
    folder = str(finished.path / "partition")
    again = simulate(tiny(tmp_path, partition__folder=folder, partition__clients=7))
    assert again.summary["parameters_sha256"] == sha256_of(finished.path)
    assert len(again.summary["sites"]) == 3


def test_a_run_refuses_a_partition_with_a_patient_at_two_sites(finished, tmp_path):
    # row 4 of the bad-input table
    import shutil

    folder = tmp_path / "partition"
    shutil.copytree(finished.path / "partition", folder)
    first, second = folder / "sites" / "site-00.csv", folder / "sites" / "site-01.csv"
    row = first.read_text().splitlines()[1]
    second.write_text(second.read_text() + row + "\n")
    with pytest.raises((LeakError, ArtefactError), match=r"changed|two"):
        simulate(tiny(tmp_path / "runs", partition__folder=str(folder)))
    assert not list((tmp_path / "runs").glob("*")), "a run that cannot start leaves nothing"


def test_one_disease_scored_by_study_over_all_views(tmp_path):
    keys = {"data.labels": ["Pleural Effusion"], "data.views": "all", "data.score_by": "study"}
    run = simulate(tiny(tmp_path, **keys, data__uncertain="multi_class"))
    assert list(run.summary["auroc"]) == ["Pleural Effusion"]
    assert run.summary["score_by"] == "study"
    # its model has an output for "uncertain", which is no probability of a label
    image = next((home_folder() / "synthetic").glob("*/*/valid/*/*/*.jpg"))
    found = predict_images(run.path, [image], tmp_path / "out")
    head, row = found.table.read_text().splitlines()
    assert head == "image,Pleural Effusion,gradcam_label,gradcam_file,error"
    assert row.split(",")[2] == "Pleural Effusion"


def test_the_model_of_a_run_scores_other_data_without_its_own_patients(finished, tmp_path):
    # the run's own data set: other tests keep theirs in the same home folder
    data = embedded_dataset(tiny(tmp_path).data.synthetic)
    scores = evaluate_run(finished.path, data)
    # its official test images are those of the run, so the figures are the run's
    assert scores["macro_auroc"] == pytest.approx(finished.summary["macro_auroc"], abs=1e-12)
    everything = evaluate_run(finished.path, data, split="all")
    assert everything["left_out_images"] > 0
    assert everything["test_patients"] == scores["test_patients"]
    assert (scores["split"], everything["split"]) == ("test", "all")
    alone = Path(shutil.copytree(data, tmp_path / "alone"))
    (alone / "train.csv").write_bytes((alone / "valid.csv").read_bytes())
    (alone / "valid.csv").unlink()
    # without an official test set every image is scored, and that is what is said
    assert evaluate_run(finished.path, alone)["split"] == "all"


def test_predict_writes_a_probability_for_each_label_and_an_overlay(finished, tmp_path):
    image = next((home_folder() / "synthetic").glob("*/*/valid/*/*/*.jpg"))
    found = predict_images(finished.path, [image], tmp_path / "out")
    head, row = found.table.read_text().splitlines()
    assert head.split(",")[1:15] == list(finished.summary["auroc"])
    assert all(0 <= float(p) <= 1 for p in row.split(",")[1:15])
    assert (tmp_path / "out" / row.split(",")[-2]).stat().st_size > 1000


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", ["nih14", "nih14_64px", "chexpert_layout_nih_pixels"])
def test_real_radiographs_go_through(sample_data, tmp_path, name):
    run = simulate(tiny(tmp_path, data__root=str(sample_data / name), server__rounds=1))
    assert run.report.stat().st_size > 10_000
    assert run.summary["test_images"] > 0


def test_a_ray_cluster_that_is_not_there_is_said_at_once_and_leaves_no_run(tmp_path):
    keys = {"engine__kind": "ray", "engine__ray_address": "127.0.0.1:1"}
    with pytest.raises(NetworkError, match="no Ray cluster answers there"):
        simulate(tiny(tmp_path / "runs", **keys))
    assert not (tmp_path / "runs").exists()
