import time

import numpy as np
import pytest
from sklearn.metrics import recall_score, roc_auc_score

from fedcxr.errors import RunError
from fedcxr.metrics.resampling import draw_patients
from fedcxr.metrics.scored_models import score_one
from fedcxr.metrics.subgroups import GAP_NOTE, RULE, UNKNOWN, age_band, subgroups
from fedcxr.seeding import derive_rng

NAN = float("nan")
LABELS = ("Edema", "Fracture")


def make_case(seed=0, num=400, num_patients=150):
    """Images of patients with a sex; men score higher, so that their rates differ."""
    rng = np.random.default_rng(seed)
    patient = rng.integers(0, num_patients, num)
    target = (rng.random((num_patients, 2)) < 0.35)[patient].astype(np.float32)
    male = (rng.random(num_patients) < 0.5)[patient]
    probs = np.clip(rng.normal(0.4 + 0.2 * target + 0.1 * male[:, None], 0.2), 0, 1).round(2)
    groups = {"sex": np.where(male, "M", "F"), "view": rng.choice(["AP", "PA", "lateral"], num)}
    return target, probs.astype(np.float32), groups, np.array([f"p{p}" for p in patient])


def find(target, probs, groups, patient, **changes):
    options = {"labels": LABELS, "thresholds": [0.5, 0.45], "resamples": 40, "seed": 3}
    return subgroups(target, probs, groups, patient, **(options | changes))


def row_of(found, group, label):
    (row,) = [row for row in found.rows if (row.group, row.label) == (group, label)]
    return row


def gap_of(found, attribute, label):
    (gap,) = [gap for gap in found.gaps if (gap.attribute, gap.label) == (attribute, label)]
    return gap


def sklearn_numbers(target, probs, cut):
    called = probs.astype(np.float64) >= cut
    return (
        roc_auc_score(target, probs),
        recall_score(target, called),
        1 - recall_score(target, called, pos_label=0),
    )


def resampled_rows(patient, resamples=40, seed=3):
    names = np.unique(patient)
    for one in draw_patients(derive_rng(seed, "bootstrap"), resamples, len(names)):
        yield np.concatenate([np.flatnonzero(patient == names[p]) for p in one])


def test_values_and_intervals_of_every_group_equal_sklearn_on_its_rows():
    target, probs, groups, patient = make_case()
    target[::9, 0] = NAN
    found = find(target, probs, groups, patient)
    assert len(found.rows) == (2 + 3) * 2
    for row in found.rows:
        column = LABELS.index(row.label)
        inside = (groups[row.attribute] == row.group) & ~np.isnan(target[:, column])
        truth, scores, cut = target[:, column], probs[:, column], (0.5, 0.45)[column]
        assert (row.images, row.positives) == (inside.sum(), (truth[inside] == 1).sum())
        assert row.negatives == row.images - row.positives
        assert row.patients == len(np.unique(patient[inside]))
        numbers = (row.auroc, row.tpr, row.fpr)
        expected = sklearn_numbers(truth[inside], scores[inside], cut)
        assert [one.value for one in numbers] == pytest.approx(expected, abs=1e-12)
        draws = []
        for rows in resampled_rows(patient):
            kept = rows[inside[rows]]
            draws.append(sklearn_numbers(truth[kept], scores[kept], cut))
        bounds = np.quantile(draws, [0.025, 0.975], axis=0).T[1:]
        for one, expected in zip(numbers[1:], bounds, strict=True):
            assert one.ci == pytest.approx(tuple(expected), abs=1e-12)
            assert one.reason is None
        own = score_one(np.where(inside, truth, NAN), scores, patient, 0.95)
        if row.auroc.reason is None:
            assert row.auroc.ci == pytest.approx(own.ci, abs=1e-12)
        else:
            assert row.auroc.ci is None
            assert "the interval was shown to hold from" in row.auroc.reason


def test_a_gap_is_the_largest_less_the_smallest_rate_in_each_resample():
    target, probs, groups, patient = make_case()
    found = find(target, probs, groups, patient)
    for attribute in groups:
        gap = gap_of(found, attribute, "Edema")
        kept = [r for r in found.rows if (r.attribute, r.label) == (attribute, "Edema")]
        tpr = [row.tpr.value for row in kept]
        fpr = [row.fpr.value for row in kept]
        assert gap.tpr_gap.value == pytest.approx(max(tpr) - min(tpr), abs=1e-12)
        assert gap.fpr_gap.value == pytest.approx(max(fpr) - min(fpr), abs=1e-12)
        draws = []
        for rows in resampled_rows(patient):
            called = probs[rows, 0] >= 0.5
            rates = [
                called[(groups[attribute][rows] == row.group) & (target[rows, 0] == 1)].mean()
                for row in kept
            ]
            draws.append(max(rates) - min(rates))
        expected = np.quantile(draws, [0.025, 0.975])
        assert gap.tpr_gap.ci == pytest.approx(tuple(expected), abs=1e-12)
    assert "too large" in GAP_NOTE


def test_a_gap_by_hand():
    # a: 3 of 4 positives and 1 of 4 negatives called; b: 1 of 4 and 0 of 4: gaps 0.5 and 0.25
    called = [1, 1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    target = np.array([[1] * 4 + [0] * 4] * 2).ravel()[:, None]
    found = subgroups(
        target,
        np.array(called)[:, None],
        {"site": ["a"] * 8 + ["b"] * 8},
        np.arange(16),
        labels=["x"],
        thresholds=[0.5],
        resamples=20,
        seed=0,
        min_positives=4,
        min_negatives=4,
    )
    assert found.gaps[0].tpr_gap.value == 0.5
    assert found.gaps[0].fpr_gap.value == 0.25


def test_a_group_needs_its_positives_and_negatives_exactly():
    rng = np.random.default_rng(0)
    target = np.zeros((60, 2))
    target[:10, 0] = target[:9, 1] = 1  # group a: 10 and 9 positives of 30
    target[30:50, 0] = target[30:51, 1] = 1  # group b: 10 and 9 negatives of 30
    probs = rng.random((60, 2))
    found = find(target, probs, {"group": ["a"] * 30 + ["b"] * 30}, np.arange(60))
    for group in "ab":
        kept, out = row_of(found, group, "Edema"), row_of(found, group, "Fracture")
        kind = "positive" if group == "a" else "negative"
        assert kept.reason is None
        assert not np.isnan([kept.auroc.value, kept.tpr.value, kept.fpr.value]).any()
        assert out.reason == f"left out: {kind} images: 9, needed: 10"
        assert {one.reason for one in (out.auroc, out.tpr, out.fpr)} == {out.reason}
        assert np.isnan([out.auroc.value, out.tpr.value, out.fpr.value]).all()
        assert out.images == out.patients == 30
    assert gap_of(found, "group", "Edema").tpr_gap.reason is None
    gap = gap_of(found, "group", "Fracture").tpr_gap
    assert np.isnan(gap.value)
    assert gap.reason == "no gap: fewer than two groups are large enough"


def test_a_group_whose_positives_are_of_one_patient_is_left_out():
    target = np.array([1] * 12 + [0] * 12)[:, None]
    patient = ["p"] * 12 + [f"q{n}" for n in range(12)]
    options = {"labels": ["x"], "thresholds": [0.5], "resamples": 5, "seed": 0}
    probs = np.linspace(0, 1, 24)[:, None]
    found = subgroups(target, probs, {"all": ["g"] * 24}, patient, **options)
    assert found.rows[0].reason == "left out: all positive images are of one patient"
    found = subgroups(1 - target, probs, {"all": ["g"] * 24}, patient, **options)
    assert found.rows[0].reason == "left out: all negative images are of one patient"


def test_the_rule_is_one_sentence_with_its_numbers():
    found = find(*make_case(), min_positives=7, min_negatives=8)
    assert found.rule == RULE.format(min_positives=7, min_negatives=8)
    assert "at least 7 positive" in found.rule
    assert "at least 8 negative" in found.rule
    assert found.rule.count(".") == 1


def test_images_of_unknown_attribute_have_rows_but_no_part_in_a_gap():
    target, probs, groups, patient = make_case()
    sex = groups["sex"].astype("<U7")
    sex[:200:2], sex[1:200:2] = "", UNKNOWN
    found = find(target, probs, {"sex": sex}, patient)
    assert [row.group for row in found.rows[::2]] == ["F", "M", UNKNOWN]
    assert row_of(found, UNKNOWN, "Edema").images == 200
    rates = [row_of(found, group, "Edema").tpr.value for group in "FM"]
    gap = gap_of(found, "sex", "Edema").tpr_gap
    assert gap.value == pytest.approx(abs(rates[0] - rates[1]), abs=1e-12)


def test_without_a_threshold_a_label_keeps_its_auroc():
    found = find(*make_case(), thresholds=[NAN, 0.5])
    row = row_of(found, "F", "Edema")
    assert row.auroc.ci is not None
    assert np.isnan([row.tpr.value, row.fpr.value]).all()
    assert row.tpr.reason == row.fpr.reason == "no threshold"
    assert row.reason is None
    assert gap_of(found, "sex", "Edema").fpr_gap.reason == "no gap: no threshold"
    assert gap_of(found, "sex", "Fracture").fpr_gap.ci is not None


def test_an_attribute_is_not_changed_by_the_others_beside_it():
    target, probs, groups, patient = make_case()
    both = find(target, probs, groups, patient)
    alone = find(target, probs, {"view": groups["view"]}, patient)
    assert alone.rows == tuple(row for row in both.rows if row.attribute == "view")
    assert alone.gaps == tuple(gap for gap in both.gaps if gap.attribute == "view")


def test_groups_of_the_same_images_have_no_gap():
    target, probs, _, patient = make_case()
    found = find(
        np.tile(target, (2, 1)),
        np.tile(probs, (2, 1)),
        {"copy": ["a"] * 400 + ["b"] * 400},
        np.tile(patient, 2),
    )
    gap = found.gaps[0].tpr_gap
    assert (gap.value, gap.ci) == (0, None)  # zero in every resample
    assert gap.reason == "no interval: every resample gives the same value"


def test_no_attribute_gives_no_rows():
    target, probs, _, patient = make_case()
    found = find(target, probs, {}, patient)
    assert (found.rows, found.gaps) == ((), ())


def test_ages_fall_into_their_bands():
    ages = [0, 39, 40, 59, 60, 79, 80, 102, NAN, None]
    bands = ["0-39", "0-39", "40-59", "40-59", "60-79", "60-79", "80+", "80+", UNKNOWN, UNKNOWN]
    assert [age_band(age) for age in ages] == bands


def test_bad_arguments_are_refused():
    target, probs, groups, patient = make_case()
    with pytest.raises(ValueError, match="2 thresholds"):
        find(target, probs, groups, patient, thresholds=[0.5])
    with pytest.raises(ValueError, match="minima >= 1"):
        find(target, probs, groups, patient, min_negatives=0)
    with pytest.raises(ValueError, match=r"groups\['sex'\] must be"):
        find(target, probs, {"sex": ["F"]}, patient)
    with pytest.raises(ValueError, match="do not agree"):
        find(target, probs, groups, patient, labels=["one"])
    with pytest.raises(ValueError, match="resamples"):
        find(target, probs, groups, patient, resamples=0)
    probs[0] = NAN
    with pytest.raises(RunError, match="not finite"):
        find(target, probs, groups, patient)


@pytest.mark.alone
def test_ten_groups_of_5000_images_and_500_resamples_take_under_five_seconds():
    target, probs, groups, patient = make_case(num=5000, num_patients=2500)
    ages = np.random.default_rng(1).integers(0, 100, 2500)
    groups["age"] = [age_band(age) for age in ages[np.unique(patient, return_inverse=True)[1]]]
    start = time.process_time()
    found = find(target, probs, groups, patient, resamples=500)
    assert time.process_time() - start < 5
    assert all(row.reason is None for row in found.rows)
