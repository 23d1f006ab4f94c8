import time

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fedcxr.errors import RunError
from fedcxr.metrics import bootstrap
from fedcxr.metrics.auroc import macro, score_labels
from fedcxr.metrics.bootstrap import bootstrap_auroc
from fedcxr.metrics.resampling import draw_patients
from fedcxr.seeding import derive_rng


def make_case(seed=0, num=90, num_patients=30, num_labels=3, prevalence=0.3):
    """Images of patients who share their findings, so that images of one are alike."""
    rng = np.random.default_rng(seed)
    patient = rng.integers(0, num_patients, num)
    truth = rng.random((num_patients, num_labels)) < prevalence
    target = truth[patient].astype(np.float32)
    probs = np.clip(rng.normal(0.4 + 0.2 * target, 0.2), 0, 1).round(2).astype(np.float32)
    return target, probs, np.array([f"p{p}" for p in patient])


def auroc_of_duplicated_rows(target, probs, rows):
    known = ~np.isnan(target[rows])
    truth = target[rows][known]
    if len(np.unique(truth)) < 2:
        return np.nan
    return roc_auc_score(truth, probs[rows][known])


def slow_draws(target, probs, patient, resamples, seed):
    """The same draws, each resample built by literally duplicating rows, scored by sklearn."""
    names = np.unique(patient)
    drawn = draw_patients(derive_rng(seed, "bootstrap"), resamples, len(names))
    out = np.empty((resamples, target.shape[1]))
    for number, one in enumerate(drawn):
        rows = np.concatenate([np.flatnonzero(patient == names[p]) for p in one])
        for label in range(target.shape[1]):
            out[number, label] = auroc_of_duplicated_rows(target[:, label], probs[:, label], rows)
    return out


def test_intervals_equal_a_slow_loop_over_duplicated_rows():
    target, probs, patient = make_case()
    target[::5, 0] = np.nan
    result = bootstrap_auroc(target, probs, ["a", "b", "c"], patient, resamples=60, seed=7)
    slow = slow_draws(target, probs, patient, 60, 7)
    assert not np.isnan(slow).any()
    for column, score in enumerate(result.scores):
        expected = np.quantile(slow[:, column], [0.025, 0.975])
        assert score.ci == pytest.approx(tuple(expected), abs=1e-12)
    expected = np.quantile(slow.mean(axis=1), [0.025, 0.975])
    assert result.macro_ci == pytest.approx(tuple(expected), abs=1e-12)


def test_a_lost_label_is_left_out_of_its_interval_and_stands_in_for_the_macro():
    target, probs, patient = make_case(seed=3, num_labels=2)
    names = np.unique(patient)
    target[:, 1] = np.isin(patient, names[:2])  # two positive patients: often drawn not at all
    result = bootstrap_auroc(target, probs, ["a", "rare"], patient, resamples=80, seed=1)
    slow = slow_draws(target, probs, patient, 80, 1)
    lost = np.isnan(slow[:, 1])
    assert 0 < lost.sum() == result.lost["rare"]
    assert result.lost["a"] == 0
    expected = np.quantile(slow[~lost, 1], [0.025, 0.975])
    assert result.scores[1].ci == pytest.approx(tuple(expected), abs=1e-12)
    full = roc_auc_score(target[:, 1], probs[:, 1])
    means = (slow[:, 0] + np.where(lost, full, slow[:, 1])) / 2
    assert result.macro_ci == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=1e-12)


def test_values_are_those_of_the_full_set():
    target, probs, patient = make_case()
    result = bootstrap_auroc(target, probs, ["a", "b", "c"], patient, resamples=10, seed=0)
    plain = score_labels(target, probs, ["a", "b", "c"])
    assert [s.value for s in result.scores] == [s.value for s in plain]
    assert (result.macro, result.macro_labels) == macro(plain)


def test_an_undefined_label_keeps_its_reason_and_leaves_the_macro():
    target, probs, patient = make_case()
    target[:, 1] = 0
    result = bootstrap_auroc(target, probs, ["a", "b", "c"], patient, resamples=20, seed=0)
    assert result.scores[1].value is None
    assert result.scores[1].ci is None
    assert result.scores[1].reason == "no known positive"
    assert result.macro_labels == 2
    assert "b" not in result.lost


def test_no_defined_label_gives_no_macro_and_no_interval():
    _, probs, patient = make_case(num_labels=1)
    result = bootstrap_auroc(np.ones_like(probs), probs, ["a"], patient, resamples=5, seed=0)
    assert (result.macro, result.macro_ci, result.macro_labels) == (None, None, 0)


def test_positives_of_one_patient_give_no_interval():
    target, probs, patient = make_case(num_labels=2)
    target[:, 1] = patient == patient[0]
    result = bootstrap_auroc(target, probs, ["a", "one"], patient, resamples=20, seed=0)
    assert result.scores[1].value is not None
    assert result.scores[1].ci is None
    assert result.scores[1].reason == "no interval: all positives are of one patient"
    assert result.macro_ci is not None


def test_one_patient_alone_gives_values_without_intervals():
    target = np.array([[0.0], [1.0]])
    result = bootstrap_auroc(target, [[0.2], [0.9]], ["a"], ["p", "p"], resamples=5, seed=0)
    assert result.macro == 1.0
    assert result.macro_ci is None
    assert result.scores[0].ci is None


def test_alike_images_of_a_patient_do_not_narrow_the_interval():
    # Ten copies of every image under the same patient hold no more than one image each.
    target, probs, _ = make_case(num=60, num_labels=1)
    one = np.arange(60)
    single = bootstrap_auroc(target, probs, ["a"], one, resamples=200, seed=0)
    copies = bootstrap_auroc(
        np.repeat(target, 10, axis=0),
        np.repeat(probs, 10, axis=0),
        ["a"],
        np.repeat(one, 10),
        resamples=200,
        seed=0,
    )
    assert copies.scores[0].ci == pytest.approx(single.scores[0].ci, abs=1e-12)


def test_same_seed_same_interval_and_chunks_do_not_matter(monkeypatch):
    target, probs, patient = make_case()
    kwargs = {"resamples": 50, "seed": 5}
    whole = bootstrap_auroc(target, probs, ["a", "b", "c"], patient, **kwargs)
    monkeypatch.setattr(bootstrap, "CHUNK_ELEMENTS", 7 * len(patient))
    assert bootstrap_auroc(target, probs, ["a", "b", "c"], patient, **kwargs) == whole
    other = bootstrap_auroc(target, probs, ["a", "b", "c"], patient, resamples=50, seed=6)
    assert other.macro_ci != whole.macro_ci


def test_a_higher_level_gives_a_wider_interval():
    target, probs, patient = make_case(num_labels=1)
    low, high = (
        bootstrap_auroc(target, probs, ["a"], patient, resamples=200, seed=0, level=level).macro_ci
        for level in (0.5, 0.99)
    )
    assert high[0] < low[0] < low[1] < high[1]


def test_bad_arguments_are_refused():
    target, probs, patient = make_case(num_labels=1)
    with pytest.raises(ValueError, match="patient_id"):
        bootstrap_auroc(target, probs, ["a"], patient[:-1], resamples=5, seed=0)
    with pytest.raises(ValueError, match="resamples"):
        bootstrap_auroc(target, probs, ["a"], patient, resamples=0, seed=0)
    with pytest.raises(ValueError, match="level"):
        bootstrap_auroc(target, probs, ["a"], patient, resamples=5, seed=0, level=1.0)
    probs[0] = np.nan
    with pytest.raises(RunError, match="not finite"):
        bootstrap_auroc(target, probs, ["a"], patient, resamples=5, seed=0)


@pytest.mark.alone
def test_a_thousand_resamples_of_600_images_and_14_labels_take_under_two_seconds():
    labels = [f"label {n}" for n in range(14)]
    target, probs, patient = make_case(num=600, num_patients=250, num_labels=14)
    start = time.process_time()
    result = bootstrap_auroc(target, probs, labels, patient, resamples=1000, seed=0)
    assert time.process_time() - start < 2
    assert result.macro_labels == 14
