"""What a run says beside its AUROC, as a comparison does of an arm: from its predictions."""

import numpy as np
import pytest
from fake_run import write_run
from sklearn.metrics import average_precision_score, precision_score, recall_score, roc_auc_score

import fedcxr.results
from fedcxr.metrics.thresholds import thresholds
from fedcxr.results.reading import read_run
from fedcxr.runs.predictions import read_prediction_sets, read_predictions, write_predictions

LABELS = ("Edema", "Fracture")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one-arm") / "run"
    return write_run(folder, labels=LABELS, undefined=(), num_sites=2, rounds=1, gradcam=False)


@pytest.fixture(scope="module")
def arm(run):
    return read_run(run).main_arm


def known(run, label):
    """Return the known targets of a label and what the model says of them."""
    found, _ = read_predictions(run / "predictions.npz")
    column = found.labels.index(label)
    rows = ~np.isnan(found.target[:, column])
    return found.target[rows, column], found.probs[rows, column].astype(float), found, rows


@pytest.mark.parametrize("label", LABELS)
def test_average_precision_is_scikit_learns_and_has_an_interval(run, arm, label):
    target, probs, _, _ = known(run, label)
    found = arm.by_label[label].ap
    assert found.value == pytest.approx(average_precision_score(target, probs))
    assert found.ci is None or found.ci[0] < found.value < found.ci[1]
    assert found.ci or found.reason
    mean = np.mean([each.ap.value for each in arm.by_label.values()])
    assert arm.macro_ap.value == pytest.approx(mean)


@pytest.mark.parametrize("label", LABELS)
def test_operating_points_are_at_thresholds_of_the_validation_patients(run, arm, label):
    target, probs, _, _ = known(run, label)
    cut = thresholds(target, probs)["youden"].value  # the made-up run has the same in both sets
    (row,) = [r for r in arm.operating_points if (r.label, r.point) == (label, "youden")]
    assert row.threshold == pytest.approx(cut)
    assert row.sensitivity.value == pytest.approx(recall_score(target, probs >= cut))
    assert row.ppv.value == pytest.approx(precision_score(target, probs >= cut))
    assert row.tp + row.fn == arm.by_label[label].positives
    low, high = row.specificity.ci
    assert low < row.specificity.value < high


def test_calibration_net_benefit_and_groups_are_there_with_intervals(run, arm):
    target, _, found, rows = known(run, "Edema")
    calibration = arm.calibration.by_label["Edema"]
    assert arm.calibration.temperature_range == (arm.calibration.temperature,) * 2
    assert calibration.brier.ci[0] < calibration.brier.value < calibration.brier.ci[1]
    assert sum(one.count for one in calibration.bins) == len(target)
    assert arm.decision_curves["Edema"].net_benefit[0].value is not None
    women = (found.attributes["sex"] == "F") & rows
    column = found.labels.index("Edema")
    expected = roc_auc_score(found.target[women, column], found.probs[women, column])
    cells = {(row.attribute, row.group, row.label): row for row in arm.subgroups.rows}
    assert cells["sex", "F", "Edema"].auroc.value == pytest.approx(expected)
    assert {attribute for attribute, _, _ in cells} == {"sex", "age band", "view"}


def test_tables_of_a_run_have_them_too(run):
    tables = fedcxr.results.open(run).tables
    for name in ("operating_points", "calibration", "decision_curves", "subgroups"):
        assert set(tables[name]["arm"]) == {"federated"}
    assert len(tables["operating_points"]) == 3 * len(LABELS)
    assert tables["operating_point_differences"].empty


def test_a_run_whose_predictions_are_gone_says_what_cannot_be_computed(run, tmp_path):
    there = write_run(tmp_path / "run", labels=LABELS, undefined=(), num_sites=1, rounds=1)
    (there / "predictions.npz").unlink()
    found = read_run(there)
    assert found.main_arm.macro_auroc.value is not None
    assert found.main_arm.operating_points == ()
    assert "has no predictions.npz: curves, average precision, operating points" in found.notes[-1]


def test_a_run_that_kept_no_attributes_has_no_groups(run, tmp_path):
    there = write_run(tmp_path / "run", labels=LABELS, undefined=(), num_sites=1, rounds=1)
    sets, score_by = read_prediction_sets(there / "predictions.npz", ["test", "val"])
    bare = {
        split: type(each)(each.labels, each.probs, each.target, *ids_of(each))
        for split, each in sets.items()
    }
    write_predictions(there / "predictions.npz", bare, score_by)
    arm = read_run(there).main_arm
    assert arm.subgroups.rows == ()
    assert "A group is left out of a label unless" in arm.subgroups.rule
    assert arm.operating_points


def ids_of(found):
    return found.image_id, found.study_id, found.patient_id
