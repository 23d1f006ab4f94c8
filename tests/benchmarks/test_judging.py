"""A comparison of made-up predictions, through the benchmark's own folder."""

import json
import re

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from benchmarks.judging import fill, guess, make_comparison
from fedcxr.errors import ArtefactError
from fedcxr.experiments.judge import judge
from fedcxr.runs.folder import RunFolder
from fedcxr.runs.predictions import read_predictions, write_predictions
from partitions.table import read_table

LABEL = "Support Devices"
"""The most frequent one of what the benchmark makes up."""


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judging") / "comparison"
    config = make_comparison(folder, 400, 150, resamples=100)
    arms, trainings = fill(folder, config)
    return folder, arms, trainings, judge(folder, arms, trainings)


def test_values_are_means_over_models_and_scikit_learns(judged):
    _, _, trainings, tree = judged
    for arm in tree["arms"]:
        own = [t for t in trainings if t.arm == arm["name"]]
        found = [read_predictions(t.folder / "predictions.npz")[0] for t in own]
        column = found[0].labels.index(LABEL)
        pairs = [(p.target[:, column], p.probs[:, column]) for p in found]
        row = arm["by_label"][LABEL]
        aurocs = [roc_auc_score(*pair) for pair in pairs]
        assert row["auroc"]["value"] == pytest.approx(np.mean(aurocs), abs=1e-12)
        aps = [average_precision_score(*pair) for pair in pairs]
        assert row["ap"]["value"] == pytest.approx(np.mean(aps), abs=1e-12)
        brier = arm["calibration"]["by_label"][LABEL]["brier"]
        assert brier == pytest.approx(brier_score_loss(*pairs[0]), abs=1e-7)  # float32 scores
        points = [p for p in arm["operating_points"] if p["label"] == LABEL]
        called = {p["point"]: p["tp"] + p["fp"] + p["tn"] + p["fn"] for p in points}
        assert called == dict.fromkeys(("youden", "sens90", "spec90"), 400)


def test_a_difference_is_one_arm_minus_the_other_by_the_same_draws(judged):
    tree = judged[3]
    arms = {arm["name"]: arm for arm in tree["arms"]}
    assert [(d["arm"], d["against"]) for d in tree["differences"]] == [
        ("federated", "centralized"),
        ("federated", "centralized-steps"),
        ("local", "centralized"),
        ("centralized-steps", "centralized"),
    ]
    for gap in tree["differences"]:
        values = [arms[gap[side]]["macro_auroc"]["value"] for side in ("arm", "against")]
        assert gap["macro_auroc"]["value"] == pytest.approx(values[0] - values[1], abs=1e-12)
        low, high = gap["macro_auroc"]["ci"]
        assert low < gap["macro_auroc"]["value"] < high
        # two ways to the same interval, of 100 draws only
        bca_low, bca_high = gap["macro_auroc_bca"]["ci"]
        assert 0.6 < (bca_high - bca_low) / (high - low) < 1.5
        rows = gap["by_label"].values()
        assert all(row["p_holm"] >= row["p"] for row in rows if row["p"] is not None)


def test_the_local_arm_counts_each_seed_once(judged):
    _, _, _trainings, tree = judged
    arm = next(arm for arm in tree["arms"] if arm["name"] == "local")
    assert (arm["models"], len(arm["macro_by_seed"])) == (15, 3)
    assert np.mean(arm["macro_by_seed"]) == pytest.approx(arm["macro_auroc"]["value"])


def test_the_verdict_is_withheld_on_few_patients_and_the_size_is_told(judged):
    gap = judged[3]["differences"][0]
    assert gap["verdict"]["word"] == "withheld"
    assert re.search(r"\d+ patients have the rarest finding", gap["verdict"]["reason"])
    assert gap["power"].startswith("The test set is too small to decide: with 150 patients")


def test_every_model_is_judged_at_every_site(judged):
    _folder, _, _trainings, tree = judged
    matrix = tree["site_matrix"]
    assert np.shape(matrix["macro_auroc"]) == (5, 3 + 5)
    for row, site in zip(matrix["sites"], tree["site_matrix"]["macro_auroc"], strict=True):
        assert row["images"] >= row["patients"] > 0
        assert len(site) == len(matrix["models"])
    worst = matrix["worst"]["federated"]
    column = [row[0] for row in matrix["macro_auroc"] if row[0] is not None]
    assert worst["value"] == min(column)


def test_the_same_predictions_give_the_same_figures(judged):
    folder, arms, trainings, tree = judged
    again = judge(folder, arms, trainings)
    assert json.dumps({**again, "created": ""}) == json.dumps({**tree, "created": ""})


def test_predictions_of_other_patients_are_refused(judged):
    folder, arms, trainings, _ = judged
    file = trainings[-1].folder / "predictions.npz"
    kept = file.read_bytes()
    table = read_table(folder / "partition/global/val.csv")
    write_predictions(file, {"test": guess(table, 0), "val": guess(table, 0)}, "image")
    try:
        with pytest.raises(ArtefactError, match="was judged on other images or labels than"):
            judge(folder, arms, trainings)
    finally:
        file.write_bytes(kept)
    assert RunFolder(folder).read_json("comparison.json")["format"] == 1
