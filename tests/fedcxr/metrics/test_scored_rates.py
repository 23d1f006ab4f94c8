import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from fedcxr.metrics.estimate import bounded_share
from fedcxr.metrics.patient_images import group
from fedcxr.metrics.scored_rates import (
    NET_BENEFIT_AT,
    RATES,
    call_images,
    score_net_benefit,
    score_ppv_at,
    score_rate,
    treat_all,
)

LABELS = ("a", "b")
CUTS = np.array([[0.5, 0.2], [0.4, 0.3], [0.7, 0.1]])
CONTRAST = np.array([0.5, 0.5, -1.0])
PREVALENCE = (0.1, 0.3)
MEASURES = (*RATES, "net_benefit", "ppv_at_prevalence")


def make_case(seed=0, *, num=260, patients=60):
    """Targets with unknowns, three models, patients of uneven size who are ill on some images."""
    rng = np.random.default_rng(seed)
    patient = rng.integers(0, patients, num)
    target = (rng.random((num, 2)) < (0.3, 0.15)).astype(float)
    target[rng.random(target.shape) < 0.1] = np.nan
    models = rng.normal(np.nan_to_num(target) * 0.6, 0.5, (3, num, 2))
    return target, models, group(patient)


def called_in(target, models, patient, cuts=CUTS):
    return call_images(target, models, patient, LABELS, cuts)


def oracles(truth, called):
    """Return every measure of one label by scikit-learn or by hand."""
    recall, precision = recall_score(truth, called), precision_score(truth, called)
    specificity = recall_score(1 - truth, ~called)
    bayes = {
        place: recall * each / (recall * each + (1 - specificity) * (1 - each))
        for place, each in enumerate(PREVALENCE)
    }
    hits, alarms = np.mean((truth == 1) & called), np.mean((truth == 0) & called)
    return {
        "sensitivity": recall,
        "specificity": specificity,
        "fpr": 1 - specificity,
        "ppv": precision,
        "npv": precision_score(1 - truth, ~called),
        "f1": f1_score(truth, called),
        "accuracy": accuracy_score(truth, called),
        "net_benefit": hits - alarms * 0.2 / 0.8,
        "ppv_at_prevalence": bayes,
    }


def scores_of(called):
    found = {name: score_rate(called, name) for name in RATES}
    found["net_benefit"] = score_net_benefit(called, 0.2)
    found["ppv_at_prevalence"] = score_ppv_at(called, PREVALENCE)
    return found


def by_oracle(target, models, kept):
    """Return (K, L) values of the kept rows, by name of the measure."""
    values = {name: np.empty((len(models), 2)) for name in MEASURES}
    for row, model in enumerate(models):
        for column in range(2):
            rows = kept & ~np.isnan(target[:, column])
            found = oracles(target[rows, column], model[rows, column] >= CUTS[row, column])
            for name, value in found.items():
                values[name][row, column] = value[column] if isinstance(value, dict) else value
    return values


@pytest.fixture(scope="module")
def left_out():
    """The case, its values, and those without each patient, (K, L, P) by measure."""
    target, models, patient = make_case()
    whole = by_oracle(target, models, np.ones(len(patient), bool))
    each = [by_oracle(target, models, patient != one) for one in range(patient.max() + 1)]
    without = {name: np.stack([one[name] for one in each], axis=-1) for name in MEASURES}
    return (target, models, patient), whole, without


@pytest.mark.parametrize("name", MEASURES)
def test_leaving_out_each_patient_is_exact(left_out, name):
    case, values, each = left_out
    target, models, patient = case
    whole, without = values[name], each[name]
    scored = scores_of(called_in(target, models, patient))[name]
    assert scored.measure == name
    assert scored.value == pytest.approx(whole, abs=1e-12)
    assert scored.influence == pytest.approx(whole[..., None] - without, abs=1e-12)
    moved = CONTRAST @ (whole[..., None] - without)[:, 1]
    num = len(moved)
    variance = (num - 1) / num * np.sum((moved - moved.mean()) ** 2)
    found = scored.difference(CONTRAST, [1], 0.95)
    assert found.value == pytest.approx(CONTRAST @ whole[:, 1], abs=1e-12)
    half = stats.t.ppf(0.975, found.parts[0].df) * np.sqrt(variance)
    assert found.ci == pytest.approx((found.value - half, found.value + half), abs=1e-9)


def test_a_share_of_independent_patients_has_wilsons_interval_with_students_t():
    # 14 of 20 found, an image a patient: without one the share moves by 0.3 / 19 or -0.7 / 19
    target = np.repeat([1.0, 0.0], [20, 30])[:, None]
    scores = np.repeat([1.0, 0.0], [14, 36])[None, :, None]
    called = call_images(target, scores, np.arange(50), ["a"], 0.5)
    found = score_rate(called, "sensitivity").mean(np.ones(1), [0], 0.95)
    assert found.value == 0.7
    assert found.parts[0].variance == pytest.approx(49 / 50 * 20 * 0.7 * 0.3 / 19**2)
    assert found.parts[0].df == pytest.approx(19)
    assert found.ci == bounded_share(0.7, found.parts[0], 0.95, patients=20.0).ci
    # Wilson at t = 2.093 of 20 trials: (0.7 + t²/40 ± √(0.21 t²/20 + t⁴/1600)) / (1 + t²/20)
    assert found.ci == pytest.approx((0.4666, 0.8618), abs=0.01)


def test_a_share_of_all_or_none_has_an_interval():
    # 12 of 12: Wilson's lower end is 12 / (12 + t²), t = 2.201 of 11 degrees of freedom
    target = np.repeat([1.0, 0.0], [12, 30])[:, None]
    called = call_images(target, target[None], np.arange(42), ["a"], 0.5)
    found = score_rate(called, "sensitivity").mean(np.ones(1), [0], 0.95)
    assert found.value == found.ci[1] == 1.0
    assert found.ci[0] == pytest.approx(12 / (12 + 2.201**2), abs=1e-4)
    none = score_rate(called, "fpr").mean(np.ones(1), [0], 0.95)
    assert none.value == none.ci[0] == 0.0
    assert none.ci[1] == pytest.approx(1 - 30 / (30 + 2.045**2), abs=1e-4)


def test_two_images_that_say_the_same_are_as_one():
    target, models, patient = make_case(3)
    once = score_rate(called_in(target, models, patient), "ppv")
    twice = score_rate(
        called_in(np.repeat(target, 2, 0), np.repeat(models, 2, 1), np.repeat(patient, 2)), "ppv"
    )
    weights = np.full(3, 1 / 3)
    assert twice.mean(weights, [0], 0.95).ci == pytest.approx(once.mean(weights, [0], 0.95).ci)


def test_what_cannot_be_computed_says_why():
    target = np.array([1.0, 1, 0, 0, 0])[:, None]
    scores = np.array([0.9, 0.8, 0.7, 0.2, 0.1])[None, :, None]
    patient = np.array([0, 0, 1, 2, 3])

    def reason(name, cut, target=target):
        scored = score_rate(call_images(target, scores, patient, ["a"], cut), name)
        return scored.reasons[0][0], scored.mean(np.ones(1), [0], 0.95)

    why, found = reason("sensitivity", 0.85)
    assert why == found.reason == "no interval: all positives are of one patient"
    assert (found.value, found.ci) == (0.5, None)
    why, found = reason("ppv", 2.0)
    assert (why, found.ci) == ("no image called positive", None)
    assert np.isnan(found.value)
    assert reason("ppv", 0.75)[0] == "no interval: all images called positive are of one patient"
    assert reason("sensitivity", np.nan)[0] == "no threshold"
    assert reason("sensitivity", 0.5, target * 0)[0] == "no known positive"
    assert reason("specificity", 0.5, target * np.nan)[0] == "no known negative"


def test_a_model_without_a_threshold_takes_nothing_from_the_others():
    target, models, patient = make_case()
    cuts = CUTS.copy()
    cuts[2, 0] = np.nan
    why = ((None, None), (None, None), ("no threshold: none was found", None))
    scored = score_rate(
        call_images(target, models, patient, LABELS, cuts, reasons=why), "sensitivity"
    )
    assert scored.mean(np.array([0.5, 0.5, 0.0]), [0], 0.95).ci is not None
    lacking = scored.difference(CONTRAST, [0], 0.95)
    assert np.isnan(lacking.value)
    assert lacking.reason == "no threshold: none was found"


def test_an_arm_of_several_models_can_be_taken_for_one():
    target, models, patient = make_case()
    scored = score_rate(called_in(target, models, patient), "f1")
    weights = np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    arms = scored.combined(weights)
    one = scored.difference(weights[0] - weights[1], [0], 0.95)
    other = arms.difference(np.array([1.0, -1.0]), [0], 0.95)
    assert other.value == pytest.approx(one.value)
    assert other.parts[0] == pytest.approx(one.parts[0])


def test_net_benefit_of_all_and_none():
    target, models, patient = make_case()
    known = ~np.isnan(target[:, 0])
    share = target[known, 0].mean()
    for at in NET_BENEFIT_AT:
        everyone = score_net_benefit(called_in(target, models, patient, -np.inf), at)
        assert everyone.value[0, 0] == pytest.approx(treat_all(share, at))
        nobody = score_net_benefit(called_in(target, models, patient, np.inf), at)
        assert nobody.value[0, 0] == 0


def test_a_difference_in_f1_that_false_alarms_alone_move_has_an_interval():
    # both find all 20 and call 5 of 30 wrongly, other ones: no positive moves the difference
    target = np.repeat([1.0, 0.0], [20, 30])[:, None]
    models = np.stack([target, target])
    models[0, 20:25] = models[1, 25:30] = 1.0
    scored = score_rate(call_images(target, models, np.arange(50), ["a"], 0.5), "f1")
    found = scored.difference(np.array([1.0, -1.0]), [0], 0.95)
    moved = scored.influence[0, 0] - scored.influence[1, 0]
    assert not moved[:20].any()
    assert moved[20:25] == pytest.approx(np.full(5, 40 / 45 - 40 / 44))
    assert found.value == 0
    assert found.parts[0].df == pytest.approx(10 - 1)  # ten patients move it alike
    assert found.ci[0] < 0 < found.ci[1]


def test_counts_are_those_of_the_confusion_matrix():
    target = np.array([1.0, 1, 0, 0, np.nan])[:, None]
    scores = np.array([0.9, 0.1, 0.8, 0.2, 0.9])[None, :, None]
    called = call_images(target, scores, np.arange(5), ["a"], 0.5)
    assert called.cells()[0, 0].tolist() == [1, 1, 1, 1]


def test_a_prevalence_out_of_range_is_refused():
    target, models, patient = make_case()
    called = called_in(target, models, patient)
    with pytest.raises(ValueError, match=r"prevalence must be 2 numbers in \(0, 1\) or None"):
        score_ppv_at(called, (0.1, 1.0))
    scored = score_ppv_at(called, (0.1, None))
    assert scored.reasons[0] == (None, "no prevalence stated")
