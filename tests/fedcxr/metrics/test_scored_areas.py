import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from fedcxr.errors import RunError
from fedcxr.metrics.estimate import Part, bounded, bounded_auroc
from fedcxr.metrics.scored_areas import score_models, score_one

LABELS = ("a", "b", "c")
ORACLES = {"auroc": roc_auc_score, "ap": average_precision_score}
CONTRAST = np.array([0.5, 0.5, -0.5, -0.5])


def make_case(seed=0, *, num=240, patients=70, decimals=2):
    """Targets with unknowns, four models with ties, patients of uneven size."""
    rng = np.random.default_rng(seed)
    patient = np.sort(rng.integers(0, patients, num))
    target = (rng.random((num, 3)) < (0.3, 0.5, 0.15)).astype(float)
    target[rng.random(target.shape) < 0.1] = np.nan
    shared = rng.normal(np.nan_to_num(target) * 0.9)
    models = (shared + rng.normal(0, 0.7, (4, num, 3))).round(decimals)
    return target, models, patient


def macro_without(score, target, models, kept):
    """Return the contrast's macro value of the kept rows by scikit-learn."""
    found = []
    for model in models:
        each = []
        for column in range(target.shape[1]):
            rows = kept & ~np.isnan(target[:, column])
            each.append(score(target[rows, column], model[rows, column]))
        found.append(np.mean(each))
    return CONTRAST @ found


@pytest.mark.parametrize("measure", ["auroc", "ap"])
def test_a_difference_has_the_variance_of_leaving_out_each_patient(measure):
    target, models, patient = make_case()
    found = score_models(target, models, patient, LABELS)[measure]
    everyone = np.unique(patient)
    whole = macro_without(ORACLES[measure], target, models, np.ones(len(patient), bool))
    without = np.array(
        [macro_without(ORACLES[measure], target, models, patient != one) for one in everyone]
    )
    num = len(everyone)
    variance = (num - 1) / num * np.sum((without - without.mean()) ** 2)
    difference = found.difference(CONTRAST, range(3), 0.95)
    assert difference.value == pytest.approx(whole, abs=1e-12)
    assert difference.parts[0].variance == pytest.approx(variance, rel=1e-9)
    half = stats.t.ppf(0.975, difference.parts[0].df) * np.sqrt(variance)
    assert difference.ci == pytest.approx((whole - half, whole + half), abs=1e-9)
    assert difference.p == pytest.approx(
        2 * stats.t.sf(abs(whole) / np.sqrt(variance), difference.parts[0].df), rel=1e-6
    )


@pytest.mark.parametrize("measure", ["auroc", "ap"])
def test_every_model_and_label_is_scored_as_scikit_learn_scores_it(measure):
    target, models, patient = make_case(1)
    found = score_models(target, models, patient, LABELS)[measure]
    for column in range(3):
        known = ~np.isnan(target[:, column])
        for place, model in enumerate(models):
            expected = ORACLES[measure](target[known, column], model[known, column])
            assert found.value[place, column] == pytest.approx(expected, abs=1e-12)


def test_a_mean_of_models_has_a_score_interval():
    target, models, patient = make_case()
    scored = score_models(target, models, patient, LABELS)
    weights = np.array([0.5, 0.5, 0.0, 0.0])
    for measure in ("auroc", "ap"):
        arm = scored[measure].mean(weights, range(3), 0.9)
        assert arm.ci == bounded(arm.value, arm.parts[0], 0.9).ci
    alone = scored["auroc"].mean(weights, [2], 0.9)
    with_finding = len(np.unique(patient[target[:, 2] == 1]))
    without = len(np.unique(patient[target[:, 2] == 0]))
    expected = bounded_auroc(
        alone.value, alone.parts[0], 0.9, positives=with_finding, negatives=without
    )
    assert alone.ci == expected.ci


def test_what_trainings_differ_in_patient_by_patient_is_counted_once():
    target, models, patient = make_case(5)
    found = score_models(target, models, patient, LABELS)["auroc"]
    pairs = np.array([[1.0, 0, -1, 0], [0, 1.0, 0, -1]])
    one, other = (found.difference(pair, range(3), 0.95) for pair in pairs)
    mean = found.difference(pairs.mean(axis=0), range(3), 0.95)
    methods = found.method_difference(pairs, range(3), 0.95)
    own = (one.parts[0].variance + other.parts[0].variance) / 2
    shared = max(0.0, 2 * mean.parts[0].variance - own)
    assert methods.value == pytest.approx(mean.value)
    assert methods.parts[0] == pytest.approx((shared, mean.parts[0].df))
    spread = np.var([one.value, other.value], ddof=1) / 2
    assert methods.parts[1] == pytest.approx((spread, 1.0))
    single = found.method_difference(pairs[:1], range(3), 0.95)
    assert (single.ci, single.reason) == (None, "1 training of each arm: at least 2 are needed")


def test_with_one_image_a_patient_the_degrees_of_freedom_are_satterthwaites_less_one():
    # a class's sum of squares q has its n patients for degrees of freedom: (q₁ + q₀)² / Σ q² / n
    rng = np.random.default_rng(3)
    target = np.repeat([1.0, 0.0], [12, 50])
    models = rng.normal(target, 1, (2, 62))[:, :, None]
    found = score_models(target[:, None], models, np.arange(62), ["a"])["auroc"]
    part = found.difference(np.array([1.0, -1.0]), [0], 0.95).parts[0]
    moved = np.array([1.0, -1.0]) @ found.influence[:, 0]
    up, down = np.sum(moved[:12] ** 2), np.sum(moved[12:] ** 2)
    expected = (up + down) ** 2 / (up**2 / 12 + down**2 / 50) - 1
    assert part.df == pytest.approx(expected)
    assert 11 - 1 < part.df < 62


def test_records_that_are_there_twice_change_nothing():
    target, models, patient = make_case(2)
    once = score_models(target, models, patient, LABELS)["auroc"]
    twice = score_models(
        np.repeat(target, 2, axis=0), np.repeat(models, 2, axis=1), np.repeat(patient, 2), LABELS
    )["auroc"]
    one, two = (each.difference(CONTRAST, range(3), 0.95) for each in (once, twice))
    assert two.ci == pytest.approx(one.ci, abs=1e-12)
    assert two.parts[0].df == pytest.approx(one.parts[0].df)


def test_neither_the_order_of_patients_nor_the_number_of_threads_matters():
    target, models, patient = make_case(4)
    order = np.random.default_rng(0).permutation(len(patient))
    names = np.array([f"p{number:03d}" for number in patient])
    one = score_models(target, models, patient, LABELS, threads=1)["ap"]
    other = score_models(target[order], models[:, order], names[order], LABELS, threads=3)["ap"]
    assert other.difference(CONTRAST, range(3), 0.95).ci == pytest.approx(
        one.difference(CONTRAST, range(3), 0.95).ci, abs=1e-12
    )


def test_a_label_without_both_classes_has_no_value_and_is_left_out_of_the_macro_mean():
    target, models, patient = make_case()
    target[:, 1] = np.where(np.isnan(target[:, 1]), np.nan, 0.0)
    target[:, 2] = np.nan
    for found in score_models(target, models, patient, LABELS).values():
        assert found.defined(range(3)) == [0]
        assert found.reasons == ((None, "no known positive", "no known target"),) * 4
        assert found.macro(range(3)) == pytest.approx(found.value[:, 0])
        alone = found.difference(CONTRAST, [1], 0.95)
        assert np.isnan(alone.value)
        assert (alone.ci, alone.reason) == (None, "no known positive")
        assert found.difference(CONTRAST, range(3), 0.95).ci is not None
        assert np.isnan(found.macro([1, 2])).all()
        assert found.mean(np.full(4, 0.25), [], 0.95).reason == "no label"


def test_a_class_that_is_all_of_one_patient_gives_no_interval_and_is_named():
    target, models, patient = make_case()
    target[:, 1] = np.where(patient == patient[0], 1.0, 0.0)
    found = score_models(target, models, patient, LABELS)["auroc"]
    alone = found.difference(CONTRAST, [1], 0.95)
    assert np.isfinite(alone.value)
    assert (alone.ci, alone.reason) == (None, "no interval: all positives are of one patient")
    macro = found.difference(CONTRAST, range(3), 0.95)
    assert macro.reason == "b, no interval: all positives are of one patient"


def test_models_that_are_alike_have_no_interval():
    target, models, patient = make_case()
    models = np.stack([models[0]] * 4)
    found = score_models(target, models, patient, LABELS)["auroc"]
    alike = found.difference(CONTRAST, range(3), 0.95)
    assert (alike.value, alike.ci) == (0.0, None)
    assert alike.reason == "no interval: no patient moves it"


def test_a_perfect_model_has_an_interval_below_one():
    target = np.repeat([1.0, 0.0], [10, 30])
    found = score_one(target, target, np.arange(40), 0.95)
    assert found.value == found.ci[1] == 1.0
    assert found.ci == bounded_auroc(1.0, Part(0.0, 10.0), 0.95, positives=10, negatives=30).ci
    assert 0.7 < found.ci[0] < 0.9


def test_what_does_not_agree_is_refused():
    target, models, patient = make_case()
    with pytest.raises(ValueError, match=r"need target \(N, L\) and models \(K, N, L\)"):
        score_models(target, models[0], patient, LABELS)
    with pytest.raises(ValueError, match="need 3 labels, got 2"):
        score_models(target, models, patient, LABELS[:2])
    with pytest.raises(ValueError, match="patient_id must be"):
        score_models(target, models, patient[:-1], LABELS)
    models[0, 0, 0] = np.nan
    with pytest.raises(RunError, match="not finite"):
        score_models(target, models, patient, LABELS)
