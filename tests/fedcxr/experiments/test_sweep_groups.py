"""What protection costs each group, on made-up predictions: against sklearn, group by group."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fedcxr.config.load import load_config
from fedcxr.experiments.compare.arms import Training
from fedcxr.experiments.sweep import groups as sweep_groups
from fedcxr.experiments.sweep.groups import group_costs
from fedcxr.metrics.studies import IMAGES
from fedcxr.results.judging.all_models import AllModels
from fedcxr.runs.predictions import Predictions

LABELS = ("Edema", "Pneumonia")
PATIENTS = 300
CONFIG = load_config()


def made_up():
    """Return 300 patients, an image each: Pneumonia in three women only, nobody above 59."""
    rng = np.random.default_rng(0)
    sex = np.where(np.arange(PATIENTS) % 3 == 0, "F", "M")
    edema = rng.random(PATIENTS) < 0.4
    pneumonia = rng.random(PATIENTS) < np.where(sex == "M", 0.4, 0.0)
    pneumonia[[0, 3, 6]] = True
    target = np.stack([edema, pneumonia], axis=1).astype(np.float32)
    ids = np.array([f"{place:04d}" for place in range(PATIENTS)])
    attributes = {"sex": sex, "age": np.where(np.arange(PATIENTS) % 2 == 0, 30.0, 50.0)}
    return Predictions(LABELS, target, target, ids, ids, ids, attributes)


def probs_of(test, arm, seed):
    """Return a model's scores; the protected one sees half as much of men."""
    rng = np.random.default_rng([seed, arm == "patient-3"])
    seen = np.where((test.attributes["sex"] == "M") & (arm == "patient-3"), 0.75, 1.5)
    raw = test.target * seen[:, None] + rng.normal(size=test.target.shape)
    return (1 / (1 + np.exp(-raw))).astype(np.float32)


@pytest.fixture
def costs(monkeypatch):
    test = made_up()
    trainings = [
        Training(arm, seed, "", Path(f"{arm}-{seed}"), CONFIG, 1, Path())
        for arm in ("federated", "patient-3")
        for seed in (0, 1, 2)
    ]
    told = [
        Predictions(
            LABELS,
            probs_of(test, each.arm, each.seed),
            test.target,
            test.image_id,
            test.patient_id,
            test.study_id,
            test.attributes,
        )
        for each in trainings
    ]

    def read(config, given, pairs):
        return [], AllModels.of(trainings, told, told, pairs=pairs, units=IMAGES)

    monkeypatch.setattr(sweep_groups, "read_arms", lambda folder: (CONFIG, [], {}))
    monkeypatch.setattr(sweep_groups, "all_trainings", lambda *given: trainings)
    monkeypatch.setattr(sweep_groups, "read_models", read)
    found = group_costs(Path(), {"patient-3": "federated"})
    return test, {arm: {each.group: each for each in own} for arm, own in found.items()}


def mean_auroc(test, arm, inside, columns):
    return np.mean(
        [
            roc_auc_score(test.target[inside, c], probs_of(test, arm, seed)[inside, c])
            for seed in (0, 1, 2)
            for c in columns
        ]
    )


def test_a_groups_auroc_and_cost_are_means_over_its_findings_and_trainings(costs):
    test, found = costs
    women = test.attributes["sex"] == "F"
    for group, inside, columns in (("F", women, (0,)), ("M", ~women, (0, 1))):
        plain, private = (mean_auroc(test, arm, inside, columns) for arm in found)
        assert found["federated"][group].auroc.value == pytest.approx(plain)
        assert found["patient-3"][group].auroc.value == pytest.approx(private)
        assert found["patient-3"][group].cost.value == pytest.approx(private - plain)
        assert found["federated"][group].cost is None


def test_a_finding_that_a_group_has_too_few_of_is_left_out_of_its_mean(costs):
    _, found = costs
    assert found["patient-3"]["F"].labels == ("Edema",)  # three women have Pneumonia
    assert found["patient-3"]["M"].labels == LABELS
    assert (found["patient-3"]["F"].patients, found["patient-3"]["M"].images) == (100, 200)


def test_who_loses_more_than_the_others_is_below_zero_with_an_interval(costs):
    test, found = costs
    women = test.attributes["sex"] == "F"
    lost = {
        name: mean_auroc(test, "patient-3", inside, (0,))
        - mean_auroc(test, "federated", inside, (0,))
        for name, inside in (("F", women), ("M", ~women))
    }
    men = found["patient-3"]["M"]
    assert men.beyond.value == pytest.approx(lost["M"] - lost["F"])  # over Edema, which both have
    assert men.beyond.value < 0
    assert men.beyond.ci[0] < men.beyond.value < men.beyond.ci[1]
    assert men.cost.ci[1] < 0
    assert found["patient-3"]["F"].beyond.value == pytest.approx(-men.beyond.value)
