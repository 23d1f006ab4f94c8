import time

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from fedcxr.errors import RunError
from fedcxr.metrics import resampled
from fedcxr.metrics.bca import bca, percentile
from fedcxr.metrics.bootstrap import bootstrap_auroc
from fedcxr.metrics.paired import (
    difference,
    estimate,
    macro_draws,
    macro_jackknife,
    macro_value,
    paired_bootstrap,
)
from fedcxr.metrics.resampling import draw_patients, group
from fedcxr.seeding import derive_rng

SCORES = {"auroc": roc_auc_score, "ap": average_precision_score}


def make_case(seed=0, *, num=90, num_patients=30, num_labels=3, seeds=2):
    """Images of patients who share their findings, scored by two arms of some seeds each."""
    rng = np.random.default_rng(seed)
    patient = rng.integers(0, num_patients, num)
    truth = rng.random((num_patients, num_labels)) < 0.3
    target = truth[patient].astype(np.float32)
    flip = rng.random(target.shape) < 0.1  # so that images of a patient do differ
    target = np.where(flip, 1 - target, target)
    shape = (seeds, num, num_labels)
    arms = {
        "federated": rng.normal(0.4 + 0.15 * target, 0.2, shape).round(2).astype(np.float32),
        "centralized": rng.normal(0.4 + 0.20 * target, 0.2, shape).round(2).astype(np.float32),
    }
    return target, arms, np.array([f"p{p}" for p in patient])


def score_rows(score, target, stack, rows):
    """Mean over seeds of scikit-learn's score of these rows by label, nan without both classes."""
    out = np.full(target.shape[1], np.nan)
    for label in range(target.shape[1]):
        known = rows[~np.isnan(target[rows, label])]
        if len(np.unique(target[known, label])) == 2:
            truth = target[known, label]
            out[label] = np.mean([score(truth, model[known, label]) for model in stack])
    return out


def slow_draws(score, target, stack, patient, resamples, seed):
    """The same draws, each resample built by literally repeating rows."""
    names = np.unique(patient)
    drawn = draw_patients(derive_rng(seed, "bootstrap"), resamples, len(names))
    rows = [np.concatenate([np.flatnonzero(patient == names[p]) for p in one]) for one in drawn]
    return np.array([score_rows(score, target, stack, one) for one in rows])


def slow_jackknife(score, target, stack, patient):
    rows = [np.flatnonzero(patient != name) for name in np.unique(patient)]
    return np.array([score_rows(score, target, stack, one) for one in rows])


@pytest.mark.parametrize("measure", ["auroc", "ap"])
def test_everything_equals_a_slow_loop_with_sklearn(measure):
    target, arms, patient = make_case()
    target[::5, 0] = np.nan
    found = getattr(paired_bootstrap(target, arms, patient, resamples=40, seed=7), measure)
    for name, stack in arms.items():
        case = SCORES[measure], target, stack
        every = np.arange(len(target))
        draws = slow_draws(*case, patient, 40, 7)
        without = slow_jackknife(*case, patient)
        np.testing.assert_allclose(found[name].value, score_rows(*case, every), atol=1e-12)
        np.testing.assert_allclose(found[name].draws, draws, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found[name].jackknife, without, rtol=0, atol=1e-12)
        for number, model in enumerate(stack):
            one = score_rows(SCORES[measure], target, model[None], every)
            np.testing.assert_allclose(found[name].by_seed[number], one, atol=1e-12)
        assert found[name].reasons == (None, None, None)


def test_the_interval_of_a_macro_difference_is_bca_on_the_slow_draws():
    target, arms, patient = make_case(4)
    found = paired_bootstrap(target, arms, patient, resamples=60, seed=2)

    def macro_of(stack):
        full = score_rows(roc_auc_score, target, stack, np.arange(len(target)))
        draws = slow_draws(roc_auc_score, target, stack, patient, 60, 2)
        assert np.isnan(draws).any()
        without = slow_jackknife(roc_auc_score, target, stack, patient)
        return (
            full.mean(),
            np.where(np.isnan(draws), full, draws).mean(axis=1),
            without.mean(axis=1),
        )

    one, two = (macro_of(stack) for stack in arms.values())
    value, draws, without = (a - b for a, b in zip(one, two, strict=True))
    expected, _ = bca(value, draws, without, 0.95)
    result = difference(found.auroc, "federated", "centralized", columns=[0, 1, 2], level=0.95)
    assert result.value == pytest.approx(value, abs=1e-12)
    assert result.ci == pytest.approx(expected, abs=1e-9)
    assert result.se == pytest.approx(draws.std(ddof=1), abs=1e-12)
    assert result.reason is None


def test_arms_see_the_draws_of_the_bootstrap_of_one_model():
    target, arms, patient = make_case(seeds=1)
    found = paired_bootstrap(target, arms, patient, resamples=50, seed=3).auroc["federated"]
    alone = bootstrap_auroc(
        target, arms["federated"][0], ["a", "b", "c"], patient, resamples=50, seed=3
    )
    macro = estimate(found, columns=[0, 1, 2], level=0.95)
    assert macro.value == pytest.approx(alone.macro, abs=1e-12)
    assert macro.ci == pytest.approx(alone.macro_ci, abs=1e-12)
    for column, score in enumerate(alone.scores):
        one = estimate(found, columns=[column], level=0.95)
        assert (one.value, one.ci) == (score.value, score.ci)


def test_a_difference_turned_round_turns_its_interval_round():
    target, arms, patient = make_case(1)
    found = paired_bootstrap(target, arms, patient, resamples=80, seed=0).ap
    one = difference(found, "federated", "centralized", columns=[0, 2], level=0.9)
    two = difference(found, "centralized", "federated", columns=[0, 2], level=0.9)
    assert two.value == -one.value
    assert two.ci == pytest.approx((-one.ci[1], -one.ci[0]), abs=1e-12)
    assert two.se == pytest.approx(one.se)


def test_pairing_makes_the_interval_narrower_than_the_arms_own():
    # Two arms that differ by little noise: what a draw of patients does to one it does to both.
    target, arms, patient = make_case(2, num=300, num_patients=100)
    noise = np.random.default_rng(0).normal(0, 0.02, arms["federated"].shape)
    arms["centralized"] = arms["federated"] + noise
    found = paired_bootstrap(target, arms, patient, resamples=300, seed=0).auroc
    apart = difference(found, "federated", "centralized", columns=[0, 1, 2], level=0.95)
    alone = estimate(found["federated"], columns=[0, 1, 2], level=0.95)
    assert apart.se < alone.se / 4


def test_an_arm_against_itself_differs_by_nothing_and_has_no_interval():
    target, arms, patient = make_case()
    arms["again"] = arms["federated"].copy()
    found = paired_bootstrap(target, arms, patient, resamples=20, seed=0).auroc
    same = difference(found, "federated", "again", columns=[0, 1], level=0.95)
    assert same.value == 0
    assert same.ci is None
    assert same.reason == "no interval: every resample gives the same value"


def test_arms_may_have_different_numbers_of_seeds():
    target, arms, patient = make_case(seeds=3)
    arms["centralized"] = arms["centralized"][:1]
    found = paired_bootstrap(target, arms, patient, resamples=5, seed=0).auroc
    assert found["federated"].by_seed.shape == (3, 3)
    assert found["centralized"].by_seed.shape == (1, 3)
    np.testing.assert_array_equal(found["centralized"].value, found["centralized"].by_seed[0])


def test_a_lost_label_takes_its_full_value_in_the_macro_and_is_left_out_by_itself():
    target, arms, patient = make_case(3, num_labels=2)
    names = np.unique(patient)
    target[:, 1] = np.isin(patient, names[:2])  # two positive patients: often drawn not at all
    found = paired_bootstrap(target, arms, patient, resamples=80, seed=1).auroc["federated"]
    lost = np.isnan(found.draws[:, 1])
    assert 0 < lost.sum() < 80
    stood_in = np.where(lost, found.value[1], found.draws[:, 1])
    expected = (found.draws[:, 0] + stood_in) / 2
    np.testing.assert_allclose(macro_draws(found, [0, 1]), expected, atol=1e-15)
    own = estimate(found, columns=[1], level=0.95)
    assert own.ci == percentile(found.draws[~lost, 1], 0.95)
    assert own.se == pytest.approx(found.draws[~lost, 1].std(ddof=1))


def test_a_class_of_one_patient_has_a_value_but_no_interval():
    target, arms, patient = make_case(num_labels=2)
    target[:, 1] = patient == patient[0]
    found = paired_bootstrap(target, arms, patient, resamples=20, seed=0)
    for scores in (found.auroc, found.ap):
        own = estimate(scores["federated"], columns=[1], level=0.95)
        apart = difference(scores, "federated", "centralized", columns=[1], level=0.95)
        for one in (own, apart):
            assert one.value is not None
            assert (one.ci, one.se) == (None, None)
            assert one.reason == "no interval: all positives are of one patient"
        # without this patient the label stands in with its full value
        column = group(patient)[0]
        mean = (scores["federated"].jackknife[column, 0] + scores["federated"].value[1]) / 2
        assert macro_jackknife(scores["federated"], [0, 1])[column] == pytest.approx(mean)
        both = difference(scores, "federated", "centralized", columns=[0, 1], level=0.95)
        assert both.ci is not None


@pytest.mark.parametrize(("state", "words"), [(0, "no known positive"), (1, "no known negative")])
def test_a_label_of_one_class_has_a_reason_and_leaves_the_macro(state, words):
    target, arms, patient = make_case()
    target[:, 1] = state
    found = paired_bootstrap(target, arms, patient, resamples=20, seed=0)
    for scores in (found.auroc, found.ap):
        one = scores["federated"]
        assert np.isnan(one.value[1])
        assert np.isnan(one.draws[:, 1]).all()
        assert estimate(one, columns=[1], level=0.95).reason == words
        apart = difference(scores, "federated", "centralized", columns=[1], level=0.95)
        assert (apart.value, apart.ci, apart.reason) == (None, None, words)
        assert macro_value(one, [0, 1, 2]) == macro_value(one, [0, 2])
        np.testing.assert_array_equal(macro_draws(one, [0, 1, 2]), macro_draws(one, [0, 2]))


def test_no_label_with_a_value_gives_no_macro():
    target, arms, patient = make_case(num_labels=2)
    target[:, 0], target[:, 1] = np.nan, 0
    found = paired_bootstrap(target, arms, patient, resamples=5, seed=0).auroc
    both = difference(found, "federated", "centralized", columns=[0, 1], level=0.95)
    assert (both.value, both.ci, both.reason) == (None, None, "no known target")
    none = estimate(found["federated"], columns=[], level=0.95)
    assert (none.value, none.reason) == (None, "no label")


def test_one_patient_alone_gives_values_without_intervals():
    arms = {"a": np.array([[[0.2], [0.9]]]), "b": np.array([[[0.9], [0.2]]])}
    found = paired_bootstrap([[0], [1]], arms, ["p", "p"], resamples=5, seed=0).auroc
    apart = difference(found, "a", "b", columns=[0], level=0.95)
    assert apart.value == 1.0
    assert apart.ci is None


def test_threads_do_not_change_a_bit_and_chunks_nothing_but_rounding(monkeypatch):
    target, arms, patient = make_case()
    kwargs = {"resamples": 50, "seed": 5}
    whole = paired_bootstrap(target, arms, patient, threads=1, **kwargs)
    many = paired_bootstrap(target, arms, patient, threads=3, **kwargs)
    monkeypatch.setattr(resampled, "_CHUNK_ELEMENTS", 7 * 90)
    parts = paired_bootstrap(target, arms, patient, threads=2, **kwargs)
    for name in arms:
        for measure in ("auroc", "ap"):
            one, two, three = (getattr(found, measure)[name] for found in (whole, many, parts))
            np.testing.assert_array_equal(one.draws, two.draws)
            np.testing.assert_array_equal(one.jackknife, two.jackknife)
            np.testing.assert_allclose(one.draws, three.draws, rtol=1e-14)
        np.testing.assert_array_equal(whole.auroc[name].draws, parts.auroc[name].draws)
    other = paired_bootstrap(target, arms, patient, resamples=50, seed=6)
    assert not np.array_equal(other.ap["federated"].draws, whole.ap["federated"].draws)


def test_a_measure_not_asked_for_is_empty():
    target, arms, patient = make_case()
    found = paired_bootstrap(target, arms, patient, resamples=5, seed=0, measures=["ap"])
    assert found.auroc == {}
    assert list(found.ap) == ["federated", "centralized"]
    assert (found.resamples, found.num_patients) == (5, len(np.unique(patient)))


def test_bad_arguments_are_refused():
    target, arms, patient = make_case()
    kwargs = {"resamples": 5, "seed": 0}
    with pytest.raises(ValueError, match="patient_id"):
        paired_bootstrap(target, arms, patient[:-1], **kwargs)
    with pytest.raises(ValueError, match="resamples"):
        paired_bootstrap(target, arms, patient, resamples=0, seed=0)
    with pytest.raises(ValueError, match="measures"):
        paired_bootstrap(target, arms, patient, measures=["f1"], **kwargs)
    with pytest.raises(ValueError, match="at least one arm"):
        paired_bootstrap(target, {}, patient, **kwargs)
    with pytest.raises(ValueError, match=r"arm 'x': scores must be \(S, N, L\)"):
        paired_bootstrap(target, {"x": arms["federated"][0]}, patient, **kwargs)
    with pytest.raises(ValueError, match="do not agree"):
        paired_bootstrap(target, {"x": arms["federated"][:, :-1]}, patient, **kwargs)
    arms["federated"][1, 0, 0] = np.nan
    with pytest.raises(RunError, match="not finite"):
        paired_bootstrap(target, arms, patient, **kwargs)
    found = paired_bootstrap(target, {"x": arms["centralized"]}, patient, **kwargs).auroc
    with pytest.raises(ValueError, match="level"):
        difference(found, "x", "x", columns=[0], level=0)


@pytest.mark.alone
def test_two_thousand_resamples_of_2500_images_14_labels_and_6_models_take_under_four_seconds():
    target, arms, patient = make_case(num=2500, num_patients=900, num_labels=14, seeds=3)
    start = time.process_time()
    paired_bootstrap(target, arms, patient, resamples=2000, seed=0)
    assert time.process_time() - start < 4
