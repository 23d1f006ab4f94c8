"""Who was tested together, and the arms over the folds of a cross-validation."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedcxr.config.load import load_config
from fedcxr.errors import ArtefactError
from fedcxr.experiments.compare.arms import Training
from fedcxr.experiments.compare.tested_folds import all_tested, by_test_set
from fedcxr.experiments.compare.verdicts import difference_of
from fedcxr.metrics.auroc import auroc
from fedcxr.results.frozen import Endpoint
from fedcxr.results.judging.scored_arms import ScoredArms
from fedcxr.runs.predictions import Predictions

PAIR = ("federated", "centralized")
CONFIG = load_config()
FOLDS, TRAININGS = 5, 2


def predicted(fold, number, patients=120):
    """What a model says of a fold's patients; every third has the finding."""
    ids = np.array([f"{fold}-{place:03d}" for place in range(patients)])
    target = (np.arange(patients) % 3 == 0)[:, None].astype(np.float32)
    rng = np.random.default_rng(number)
    raw = 1.4 * target + 0.8 * np.random.default_rng(1000 + fold).normal(size=target.shape)
    probs = 1 / (1 + np.exp(-raw - 0.6 * rng.normal(size=target.shape)))
    return Predictions(("Edema",), probs.astype(np.float32), target, ids, ids, ids)


def trained():
    names = [
        (arm, fold, 100 * fold + seed)
        for fold in range(FOLDS)
        for arm in PAIR
        for seed in range(TRAININGS)
    ]
    trainings = [
        Training(arm, seed, "", Path(f"{arm}-{seed}"), CONFIG, 1, Path(), fold)
        for arm, fold, seed in names
    ]
    scored = {t.name: predicted(t.partition, n) for n, t in enumerate(trainings)}
    return trainings, scored


def test_a_difference_over_folds_has_the_corrected_variance_of_the_folds_means():
    trainings, scored = trained()
    folds = by_test_set(scored, trainings, FOLDS)
    assert [len(each.trainings) for each in folds] == [2 * TRAININGS] * FOLDS
    probs = [
        (each.test, [(t, one.probs) for t, one in zip(each.trainings, each.scored, strict=True)])
        for each in folds
    ]
    arms = ScoredArms.of_folds(probs, 0.95, test_share=0.3)
    by_name = {n: auroc(one.target[:, 0], one.probs[:, 0]) for n, one in scored.items()}
    apart = np.array(
        [
            [
                by_name[f"federated-{100 * fold + seed}"]
                - by_name[f"centralized-{100 * fold + seed}"]
                for seed in range(TRAININGS)
            ]
            for fold in range(FOLDS)
        ]
    )
    means = apart.mean(axis=1)
    found = arms.wherever("auroc", PAIR, [0])
    assert found.value == pytest.approx(means.mean())
    assert found.parts == ((pytest.approx((1 / 5 + 0.3) * means.var(ddof=1)), 4.0),)
    test = all_tested(folds)
    endpoint = Endpoint(
        primary_labels=(), min_positives=10, patients=(), labels=test.labels, folds=FOLDS
    )
    gap = difference_of(PAIR, arms, test, margin=0.01, endpoint=endpoint)
    assert (gap.about, gap.replicated, gap.replicates) == ("methods", "folds", FOLDS)
    assert gap.by_partition == pytest.approx(means)
    assert gap.by_seed == pytest.approx(apart.ravel())
    assert gap.variance.folds == pytest.approx(means.var(ddof=1))
    assert gap.variance.trainings == pytest.approx(apart.var(axis=1, ddof=1).mean())
    assert (gap.variance.patients, gap.variance.test_share) == (None, 0.3)
    assert gap.power is None or gap.power.startswith("The study is too small to decide: with 600 ")
    assert gap.macro_ap.ci is None
    assert gap.macro_ap.reason.startswith("no interval: over folds the self-test")
    assert len(test.patient_id) == FOLDS * 120


def test_a_patient_who_is_tested_in_two_folds_is_refused():
    trainings, scored = trained()
    twice = {
        t.name: replace(scored[t.name], patient_id=predicted(0, 0).patient_id)
        for t in trainings
        if t.partition == 3
    }
    with pytest.raises(ArtefactError, match="tested in two folds"):
        by_test_set({**scored, **twice}, trainings, FOLDS)


def test_without_folds_all_are_tested_together():
    trainings = [Training(a, 0, "", Path(a), CONFIG, 1, Path()) for a in PAIR]
    scored = {t.name: predicted(0, n) for n, t in enumerate(trainings)}
    (together,) = by_test_set(scored, trainings, None)
    assert all_tested([together]) is scored["federated"]
