import time

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
)

from fedcxr.errors import RunError
from fedcxr.metrics.operating_point import (
    MEASURES,
    POINTS,
    Threshold,
    apply,
    apply_all,
    ppv_at,
    thresholds,
)
from fedcxr.metrics.resampling import draw_patients
from fedcxr.seeding import derive_rng

NAN = float("nan")
DRAWS = {"resamples": 40, "seed": 3}


def make_case(seed=0, num=150, num_patients=50, num_labels=3):
    """Images of patients who share their findings, so that images of one are alike."""
    rng = np.random.default_rng(seed)
    patient = rng.integers(0, num_patients, num)
    target = (rng.random((num_patients, num_labels)) < 0.35)[patient].astype(np.float32)
    probs = np.clip(rng.normal(0.4 + 0.2 * target, 0.2), 0, 1).round(2).astype(np.float32)
    return target, probs, np.array([f"p{p}" for p in patient])


def sklearn_measures(target, called):
    specificity = recall_score(target, called, pos_label=0)
    return {
        "sensitivity": recall_score(target, called),
        "specificity": specificity,
        "ppv": precision_score(target, called),
        "npv": precision_score(target, called, pos_label=0),
        "accuracy": accuracy_score(target, called),
        "f1": f1_score(target, called),
        "ppv_at_prevalence": float(ppv_at(recall_score(target, called), specificity, 0.05)),
    }


@pytest.mark.parametrize("cut", [0.3, 0.5, 0.62])
@pytest.mark.parametrize("seed", range(3))
def test_every_number_equals_sklearn(seed, cut):
    target, probs, patient = make_case(seed, num_labels=1)
    target[::7] = NAN
    found = apply(target[:, 0], probs[:, 0], patient, Threshold(cut), prevalence=0.05, **DRAWS)
    known = ~np.isnan(target[:, 0])
    truth, called = target[known, 0], probs[known, 0].astype(np.float64) >= cut
    values = {name: getattr(found, name).value for name in MEASURES}
    assert values == pytest.approx(sklearn_measures(truth, called), abs=1e-12)
    assert [found.tn, found.fp, found.fn, found.tp] == confusion_matrix(
        truth, called
    ).ravel().tolist()
    assert (found.precision, found.recall) == (found.ppv, found.sensitivity)
    assert found.reason is None


def test_intervals_equal_a_slow_loop_over_duplicated_rows():
    target, probs, patient = make_case(num_labels=1)
    found = apply(target[:, 0], probs[:, 0], patient, Threshold(0.5), prevalence=0.05, **DRAWS)
    names = np.unique(patient)
    drawn = draw_patients(derive_rng(3, "bootstrap"), 40, len(names))
    slow = []
    for one in drawn:
        rows = np.concatenate([np.flatnonzero(patient == names[p]) for p in one])
        slow.append(sklearn_measures(target[rows, 0], probs[rows, 0] >= 0.5))
    for name in MEASURES:
        expected = np.quantile([of_one[name] for of_one in slow], [0.025, 0.975])
        assert getattr(found, name).ci == pytest.approx(tuple(expected), abs=1e-12)


def test_all_labels_and_points_at_once_equal_one_at_a_time():
    target, probs, patient = make_case()
    cuts = [thresholds(target[:60, c], probs[:60, c]) for c in range(3)]
    prevalence = [0.1, None, 0.3]
    found = apply_all(target, probs, patient, cuts, prevalence=prevalence, **DRAWS)
    assert [list(of_label) for of_label in found] == [list(POINTS)] * 3
    for c, of_label in enumerate(found):
        for point, one in of_label.items():
            alone = apply(
                target[:, c],
                probs[:, c],
                patient,
                cuts[c][point],
                prevalence=prevalence[c],
                **DRAWS,
            )
            assert repr(one) == repr(alone)  # nan is not equal to itself


def test_the_ppv_at_a_prevalence_by_hand_and_at_that_of_the_test_images():
    # 1 of 100 is positive, 0.9 of them found, and 0.1 of the 99 others called: 0.9 / (0.9 + 9.9)
    assert float(ppv_at(0.9, 0.9, 0.01)) == pytest.approx(0.9 / 10.8)
    assert np.isnan(ppv_at(0.0, 1.0, 0.5))
    target, probs, patient = make_case(num_labels=1)
    own = float(target.mean(dtype=np.float64))
    found = apply(target[:, 0], probs[:, 0], patient, Threshold(0.5), prevalence=own, **DRAWS)
    assert found.ppv_at_prevalence.value == pytest.approx(found.ppv.value, abs=1e-12)


def test_alike_images_of_a_patient_do_not_narrow_an_interval():
    target, probs, _ = make_case(num=60, num_labels=1)
    one = np.arange(60)
    single = apply(target[:, 0], probs[:, 0], one, Threshold(0.5), **DRAWS)
    copies = apply(
        np.repeat(target[:, 0], 10),
        np.repeat(probs[:, 0], 10),
        np.repeat(one, 10),
        Threshold(0.5),
        **DRAWS,
    )
    for name in MEASURES[:-1]:
        assert getattr(copies, name).ci == pytest.approx(getattr(single, name).ci, abs=1e-12)


def test_without_a_threshold_there_are_no_numbers():
    target, probs, patient = make_case(num_labels=1)
    found = apply(target[:, 0], probs[:, 0], patient, Threshold(NAN, "no threshold: why"), **DRAWS)
    assert all(np.isnan(getattr(found, name).value) for name in MEASURES)
    assert (found.tp, found.fp, found.tn, found.fn) == (None,) * 4
    assert found.reason == "no threshold: why"
    assert apply(target[:, 0], probs[:, 0], patient, Threshold(NAN), **DRAWS).reason == (
        "no threshold"
    )


def test_one_class_has_no_sensitivity_and_no_f1_but_a_specificity():
    found = apply([0, 0, 0], [0.2, 0.6, 0.1], list("abc"), Threshold(0.5), prevalence=0.1, **DRAWS)
    assert np.isnan([found.sensitivity.value, found.f1.value, found.ppv_at_prevalence.value]).all()
    assert found.specificity.value == pytest.approx(2 / 3)
    assert found.ppv.value == 0  # one image is called, wrongly
    assert "sensitivity, f1, ppv at prevalence: no known positive" in found.reason
    assert "all images called positive are of one patient" in found.ppv.reason


def test_no_known_target_is_a_reason():
    found = apply([NAN, NAN], [0.2, 0.6], list("ab"), Threshold(0.5), **DRAWS)
    assert found.accuracy.reason == "no known target"
    assert (found.tp, found.fp, found.tn, found.fn) == (0, 0, 0, 0)


def test_a_threshold_that_calls_nothing_has_no_ppv_at_a_prevalence_either():
    found = apply([0, 1, 1], [0.2, 0.6, 0.1], list("abc"), Threshold(0.9), prevalence=0.1, **DRAWS)
    assert found.ppv.reason == found.ppv_at_prevalence.reason == "no image called positive"
    assert found.sensitivity.value == 0
    assert found.sensitivity.reason == "no interval: every resample gives the same value"


def test_positives_of_one_patient_give_no_interval_for_what_rests_on_them():
    target, probs, patient = make_case(num_labels=1)
    target[:, 0] = patient == patient[0]
    found = apply(target[:, 0], probs[:, 0], patient, Threshold(0.4), prevalence=0.1, **DRAWS)
    reason = "no interval: all positives are of one patient"
    for name in ("sensitivity", "f1", "ppv_at_prevalence"):
        one = getattr(found, name)
        assert not np.isnan(one.value)
        assert (one.ci, one.reason) == (None, reason)
    assert found.specificity.ci is not None


def test_the_seed_decides_the_intervals_and_the_level_their_width():
    target, probs, patient = make_case(num_labels=1)
    args = (target[:, 0], probs[:, 0], patient, Threshold(0.5))
    first = apply(*args, resamples=200, seed=1)
    assert repr(apply(*args, resamples=200, seed=1)) == repr(first)
    assert apply(*args, resamples=200, seed=2).accuracy.ci != first.accuracy.ci
    low, high = apply(*args, resamples=200, seed=1, level=0.5).accuracy.ci
    assert first.accuracy.ci[0] < low < high < first.accuracy.ci[1]


def test_bad_arguments_are_refused():
    target, probs, patient = make_case(num_labels=2)
    cut = {"a": Threshold(0.5)}
    with pytest.raises(ValueError, match="thresholds for each"):
        apply_all(target, probs, patient, [cut], **DRAWS)
    with pytest.raises(ValueError, match="every label needs the points"):
        apply_all(target, probs, patient, [cut, {"b": Threshold(0.5)}], **DRAWS)
    with pytest.raises(ValueError, match=r"in \(0, 1\)"):
        apply_all(target, probs, patient, [cut] * 2, prevalence=[0.5, 1.0], **DRAWS)
    with pytest.raises(ValueError, match="2 numbers"):
        apply_all(target, probs, patient, [cut] * 2, prevalence=[0.5], **DRAWS)
    with pytest.raises(ValueError, match="patient_id"):
        apply_all(target, probs, patient[:-1], [cut] * 2, **DRAWS)
    probs[0, 0] = NAN
    with pytest.raises(RunError, match="not finite"):
        apply_all(target, probs, patient, [cut] * 2, **DRAWS)


@pytest.mark.alone
def test_25000_images_14_labels_3_points_and_2000_resamples_take_under_ten_seconds():
    target, probs, patient = make_case(num=25_000, num_patients=12_000, num_labels=14)
    cuts = [thresholds(target[:5000, c], probs[:5000, c]) for c in range(14)]
    start = time.process_time()
    found = apply_all(target, probs, patient, cuts, prevalence=[0.1] * 14, resamples=2000, seed=0)
    assert time.process_time() - start < 10
    assert all(one.reason is None for of_label in found for one in of_label.values())
