"""A whole study of a binary task: its sample, its curves on test, and its tables."""

import json

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
)
from test_augment_study_end_to_end import TINY, in_this_process  # noqa: F401  # a fixture

from fedcxr.cli.augment_study import STUDY
from fedcxr.config import load_config
from fedcxr.experiments.compare.comparing import compare
from fedcxr.results.reading import read_result
from fedcxr.runs.predictions import read_predictions
from server.vae_check import check_vae

pytestmark = pytest.mark.usefixtures("no_pictures", "in_this_process")

SIZES = {"train": [40, 38], "val": [10, 9], "test": [11, 12]}
SMALL = {
    **TINY,
    "data.labels": None,
    "data.synthetic.patients": 450,
    "partition.class_sizes": SIZES,
    "model.name": "densenet_small",
    "model.weights": "none",
    "compare.augmentations": ["none", "vae"],
    "compare.models": ["densenet_small"],
    "explain.images_per_outcome": 1,
}


@pytest.fixture(scope="module")
def done(tmp_path_factory, no_pictures, in_this_process):  # noqa: F811  # the fixture
    runs_dir = str(tmp_path_factory.mktemp("task"))
    config = load_config("lung_lesion", overrides={**SMALL, "runs_dir": runs_dir}, verb=STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("server.explain.write_overlay", write_nothing)
        return compare(config)


def write_nothing(path, image_u8, heat, *, title, box):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")


@pytest.fixture(scope="module")
def found(done):
    return read_result(done)


def test_every_set_has_its_classes_and_the_run_says_what_was_drawn(done, found):
    (part,) = found.data.test_set.parts
    assert {name: list(getattr(part.drawn, name)) for name in SIZES} == SIZES
    run = done / "arms" / "federated-densenet_small-vae-seed-0"
    said = json.loads((run / "manifest.json").read_text())["data"]["test_set"]["parts"][0]
    assert said["drawn"] == SIZES
    told = "train 40 / 38, validation 10 / 9, test 11 / 12"
    assert any(told in note for note in found.notes)
    assert told in (done / "report.html").read_text()
    assert found.data.labels == ("Lung Lesion",)


def test_the_table_is_what_scikit_learn_says_of_the_predictions(done, found):
    for arm in found.task.arms:
        test, _ = read_predictions(done / "arms" / f"{arm.arm}-seed-0" / "predictions.npz", "test")
        truth, called = test.target[:, 0], test.probs[:, 0] >= 0.5
        assert not np.isnan(truth).any()
        assert arm.accuracy.value == pytest.approx(accuracy_score(truth, called))
        assert arm.recall.value == pytest.approx(recall_score(truth, called))
        assert arm.f1.value == pytest.approx(f1_score(truth, called, zero_division=0))
        if called.any():
            assert arm.precision.value == pytest.approx(precision_score(truth, called))
        else:
            assert arm.precision.value is None
        tn, fp, fn, tp = confusion_matrix(truth, called, labels=[0, 1]).ravel()
        assert (arm.tp, arm.fn, arm.fp, arm.tn) == (tp, fn, fp, tn)
        assert arm.auroc == found.arm(arm.arm).by_label["Lung Lesion"].auroc
    (difference,) = found.task.differences
    vae, none = (
        next(arm for arm in found.task.arms if arm.added == kind) for kind in ("vae", "none")
    )
    assert (difference.arm, difference.against) == (vae.arm, none.arm)
    assert difference.accuracy.value == pytest.approx(vae.accuracy.value - none.accuracy.value)


def test_loss_and_accuracy_on_test_are_recorded_and_choose_nothing(done, found):
    run = done / "arms" / "federated-densenet_small-none-seed-0"
    lines = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    best = json.loads((run / "summary.json").read_text())["best_round"]
    aurocs = [line["val_macro_auroc"] for line in lines[1:]]
    assert best == 1 + aurocs.index(max(aurocs))
    # the summary's model is that of the best round: its line says the same of the same patients
    test, _ = read_predictions(run / "predictions.npz", "test")
    right = ((test.probs >= 0.5) == (test.target == 1)).mean()
    assert lines[best]["test_accuracy"] == pytest.approx(float(right))
    (curve,) = found.arm("federated-densenet_small-none").learning
    assert curve.test_loss == tuple(line["test_loss"] for line in lines)
    table = (done / "tables" / "learning.csv").read_text().splitlines()[0]
    assert table.endswith("test_loss,test_accuracy")


def test_the_page_shows_initial_and_augmented_beside_the_earlier_study(done):
    page = " ".join((done / "report.html").read_text().split())
    assert "Initial: Real images alone" in page
    assert "Augmented: VAE samples" in page
    for figure in ("68.83 %", "71.48 %", "70.53 %", "74.24 %"):
        assert figure in page
    assert "nothing was chosen by them" in page
    assert (done / "tables" / "task_scores.tex").is_file()
    assert (done / "tables" / "task_differences.csv").is_file()
    assert "68.83" not in (done / "tables" / "task_scores.csv").read_text()


def test_heat_maps_are_of_both_views_and_of_named_kinds(done, found):
    shown = [example.heat_map for example in found.task.examples]
    assert {one.view for one in shown} <= {"frontal", "lateral"}
    assert all(one.outcome == "convincing" or one.outcome.startswith("unreliable") for one in shown)
    for example in found.task.examples:
        assert (done / example.folder / example.heat_map.file).is_file()


def test_a_run_by_itself_has_the_same_rates(done, found):
    of_study = {arm.arm: arm for arm in found.task.arms}
    for name, added in (("none", "none"), ("vae", "vae")):
        arm = of_study[f"federated-densenet_small-{name}"]
        run = read_result(done / "arms" / f"{arm.arm}-seed-0")
        (own,) = run.task.arms
        assert own.added == added
        for key in ("accuracy", "precision", "recall", "f1", "tp", "fn", "fp", "tn"):
            assert getattr(own, key) == getattr(arm, key)
        assert run.task.differences == ()


def test_the_preset_by_itself_asks_for_no_vae():
    check_vae(load_config("lung_lesion"))
