from functools import lru_cache

import numpy as np
import pytest
from sklearn.metrics import recall_score, roc_auc_score

from fedcxr.errors import RunError
from fedcxr.metrics.subgroups import UNKNOWN, age_band, score_groups

NAN = float("nan")
LABELS = ("Edema", "Fracture")
CUTS = np.array([[0.5, 0.45], [0.4, 0.5]])
CONTRAST = np.array([1.0, -1.0])
MEASURES = ("auroc", "sensitivity", "fpr")


def make_case(seed=0, num=400, num_patients=150):
    """Images of patients with a sex; men score higher, so that their rates differ."""
    rng = np.random.default_rng(seed)
    patient = rng.integers(0, num_patients, num)
    target = (rng.random((num_patients, 2)) < 0.35)[patient].astype(float)
    target[::9, 0] = NAN
    male = (rng.random(num_patients) < 0.5)[patient]
    each = 0.4 + 0.2 * np.nan_to_num(target) + 0.1 * male[:, None]
    models = np.clip(rng.normal(each, 0.2, (2, num, 2)), 0, 1).round(2)
    groups = {"sex": np.where(male, "M", "F"), "view": rng.choice(["AP", "PA", "lateral"], num)}
    return target, models, groups, np.array([f"p{p}" for p in patient])


def find(target, models, groups, patient, **changes):
    options = {"labels": LABELS, "cuts": CUTS}
    found = score_groups(target, models, patient, groups, **(options | changes))
    return {(each.attribute, each.group): each for each in found}


def by_sklearn(target, scores, cut, rows):
    """Return AUROC, true and false positive rate of the rows of known target."""
    rows = rows & ~np.isnan(target)
    truth, called = target[rows], scores[rows] >= cut
    return {
        "auroc": roc_auc_score(truth, scores[rows]),
        "sensitivity": recall_score(truth, called),
        "fpr": 1 - recall_score(truth, called, pos_label=0),
    }


def test_every_group_has_the_values_of_its_own_rows():
    target, models, groups, patient = make_case()
    found = find(target, models, groups, patient)
    assert len(found) == 2 + 3
    for (attribute, name), each in found.items():
        inside = groups[attribute] == name
        assert each.left_out == (None, None)
        for column in range(2):
            known = inside & ~np.isnan(target[:, column])
            assert each.whose.images[column].sum() == known.sum()
            assert each.whose.positives[column].sum() == (target[known, column] == 1).sum()
            for row, model in enumerate(models):
                expected = by_sklearn(
                    target[:, column], model[:, column], CUTS[row, column], inside
                )
                for measure, value in expected.items():
                    assert each.scored[measure].value[row, column] == pytest.approx(value)


@pytest.fixture(scope="module")
def gaps():
    """Return of a group its gaps to the rest, of all patients and without each, by measure."""
    target, models, groups, patient = make_case()

    def by_model(inside, kept):
        sides = [
            [
                by_sklearn(target[:, 0], models[row, :, 0], CUTS[row, 0], side & kept)
                for row in (0, 1)
            ]
            for side in (inside, ~inside)
        ]
        return {
            measure: [one[measure] - two[measure] for one, two in zip(*sides, strict=True)]
            for measure in MEASURES
        }

    @lru_cache
    def of(place):
        inside = groups[place[0]] == place[1]
        whole = by_model(inside, np.ones(len(patient), bool))
        each = [by_model(inside, patient != one) for one in np.unique(patient)]
        return whole, {measure: np.array([one[measure] for one in each]) for measure in MEASURES}

    return of


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("place", [("sex", "F"), ("view", "AP")])
def test_a_gap_has_the_variance_of_leaving_out_each_patient(gaps, place, measure):
    # by view a patient is on both sides
    target, models, groups, patient = make_case()
    scored = find(target, models, groups, patient)[place].gaps[measure]
    assert scored.measure == f"{measure}_gap"
    whole, without = (by_measure[measure] for by_measure in gaps(place))
    assert scored.value[:, 0] == pytest.approx(whole)
    assert pytest.approx(whole - without, abs=1e-12) == scored.influence[:, 0].T
    num = len(without)
    own, apart = without[:, 0], without @ CONTRAST
    for found, values in (
        (scored.mean(np.array([1.0, 0.0]), [0], 0.95), own),
        (scored.difference(CONTRAST, [0], 0.95), apart),
    ):
        variance = (num - 1) / num * np.sum((values - values.mean()) ** 2)
        assert found.parts[0].variance == pytest.approx(variance, rel=1e-9)
        assert np.mean(found.ci) == pytest.approx(found.value)


def test_the_gap_of_two_groups_is_the_same_either_way_round_but_for_its_sign():
    target, models, groups, patient = make_case()
    found = find(target, models, groups, patient)
    women, men = (found["sex", name].gaps["fpr"].mean(np.ones(2) / 2, [1], 0.95) for name in "FM")
    assert women.value == pytest.approx(-men.value)
    assert women.value < 0  # men score higher
    assert women.parts[0] == pytest.approx(men.parts[0])


def test_a_gap_by_hand():
    # a: 3 of 4 positives and 1 of 4 negatives called; b: 1 of 4 and 0 of 4: gaps 0.5 and 0.25
    called = [1, 1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    target = np.array([[1.0] * 4 + [0.0] * 4] * 2).ravel()[:, None]
    found = list(
        score_groups(
            target,
            np.array(called)[None, :, None],
            np.arange(16),
            {"site": ["a"] * 8 + ["b"] * 8},
            labels=["x"],
            cuts=[[0.5]],
            min_images=4,
        )
    )
    assert [each.group for each in found] == ["a", "b"]
    assert found[0].gaps["sensitivity"].value.item() == 0.5
    assert found[1].gaps["fpr"].value.item() == -0.25


def test_a_group_that_is_too_small_is_left_out_and_says_why():
    target, models, groups, patient = make_case()
    groups["sex"][:] = "M"
    groups["sex"][:6] = "F"
    found = find(target, models, groups, patient)
    few = found["sex", "F"]
    assert few.left_out[1].startswith("left out: positive images: ")
    assert np.isnan(few.scored["auroc"].value[:, 1]).all()
    lone = few.scored["sensitivity"].mean(np.ones(2) / 2, [1], 0.95)
    assert (lone.ci, lone.reason) == (None, few.left_out[1])
    assert found["sex", "M"].left_out == (None, None)
    gap = found["sex", "M"].gaps["auroc"].mean(np.ones(2) / 2, [1], 0.95)
    assert np.isnan(gap.value)
    assert gap.reason == f"no gap: the other groups are {few.left_out[1]}"


def test_a_class_that_is_all_of_one_patient_leaves_a_group_out():
    target, models, groups, patient = make_case()
    patient[(groups["sex"] == "F") & (target[:, 1] == 1)] = "p0"
    found = find(target, models, groups, patient, min_images=1)
    assert found["sex", "F"].left_out[1] == "left out: all positive images are of one patient"


def test_images_of_unknown_group_have_numbers_and_are_in_no_gap():
    target, models, groups, patient = make_case()
    groups = {"sex": groups["sex"].copy()}
    groups["sex"][:120] = ""
    found = find(target, models, groups, patient)
    assert found["sex", UNKNOWN].gaps == {}
    assert np.isfinite(found["sex", UNKNOWN].scored["auroc"].value).all()
    known = find(*(target[120:], models[:, 120:], {"sex": groups["sex"][120:]}, patient[120:]))
    expected = known["sex", "F"].gaps["auroc"].value
    assert found["sex", "F"].gaps["auroc"].value == pytest.approx(expected)


def test_a_single_group_has_no_gap():
    target, models, _, patient = make_case()
    (only,) = find(target, models, {"sex": ["M"] * len(target)}, patient).values()
    assert only.gaps == {}


def test_without_a_threshold_there_is_an_auroc_and_no_rate():
    target, models, groups, patient = make_case()
    cuts = np.array([[NAN, 0.4], [0.5, 0.4]])
    why = (("no threshold: no known positive in the validation data", None), (None, None))
    one = find(target, models, groups, patient, cuts=cuts, reasons=why)["sex", "F"]
    assert np.isfinite(one.scored["auroc"].value).all()
    assert np.isnan(one.scored["fpr"].value[0, 0])
    assert one.gaps["fpr"].reasons[0][0] == why[0][0]


def test_arguments_that_do_not_fit_are_refused():
    target, models, groups, patient = make_case()
    with pytest.raises(ValueError, match="min_images must be >= 1"):
        find(target, models, groups, patient, min_images=0)
    with pytest.raises(ValueError, match=r"groups\['sex'\] must be \(400,\)"):
        find(target, models, {"sex": ["F"]}, patient)
    models[0, 0, 0] = NAN
    with pytest.raises(RunError, match="not finite"):
        find(target, models, groups, patient)


@pytest.mark.parametrize(
    ("age", "band"), [(0, "0-39"), (39, "0-39"), (40, "40-59"), (80, "80+"), (None, UNKNOWN)]
)
def test_ages_are_in_bands(age, band):
    assert age_band(age) == band
