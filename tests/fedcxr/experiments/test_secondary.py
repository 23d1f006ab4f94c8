"""What a comparison says beside the areas, against scikit-learn on the trainings' predictions."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import brier_score_loss, precision_score, recall_score, roc_auc_score

from benchmarks.judging import fill, make_comparison
from fedcxr.experiments.compare.judge import judge
from fedcxr.metrics.calibration import fit_temperature
from fedcxr.metrics.thresholds import thresholds
from fedcxr.runs.predictions import read_predictions

LABEL = "Support Devices"
PAIR = ("federated", "centralized")


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("secondary") / "comparison"
    config = make_comparison(folder, 1500, 600)
    arms, trainings = fill(folder, config)
    found = judge(folder, arms, trainings)
    held = {
        (training.arm, training.seed, training.site): [
            read_predictions(training.folder / "predictions.npz", split)[0]
            for split in ("test", "val")
        ]
        for training in trainings
    }
    return found, held


def models_of(held, arm):
    return [sets for (name, _, _), sets in held.items() if name == arm]


def each_model(held, arm, score):
    """Return a score of each model of an arm, of truth and probabilities on test, and val."""
    found = []
    for test, val in models_of(held, arm):
        column = test.labels.index(LABEL)
        own = [
            (split.target[:, column], split.probs[:, column].astype(float)) for split in (test, val)
        ]
        found.append(score(*own[0], *own[1]))
    return found


def at_threshold(point, score):
    def scored(target, probs, val_target, val_probs):
        cut = thresholds(val_target, val_probs)[point].value
        return score(target, probs >= cut)

    return scored


@pytest.mark.parametrize("point", ["youden", "sens90", "spec90"])
@pytest.mark.parametrize("arm", ["federated", "local"])
def test_an_operating_point_is_the_mean_over_all_models_each_at_its_own_threshold(
    judged, arm, point
):
    found, held = judged
    (row,) = [
        each
        for each in found.arm(arm).operating_points
        if (each.label, each.point) == (LABEL, point)
    ]
    assert len(models_of(held, arm)) == (15 if arm == "local" else 3)
    for name, score in (
        ("sensitivity", recall_score),
        ("specificity", lambda truth, called: recall_score(1 - truth, ~called)),
        ("ppv", precision_score),
    ):
        expected = np.mean(each_model(held, arm, at_threshold(point, score)))
        assert getattr(row, name).value == pytest.approx(expected)
    cuts = each_model(held, arm, lambda a, b, target, probs: thresholds(target, probs)[point].value)
    assert row.threshold == pytest.approx(np.mean(cuts))
    assert row.threshold_range == pytest.approx((min(cuts), max(cuts)))
    assert row.tp + row.fn == pytest.approx(found.arm(arm).by_label[LABEL].positives)
    hits = each_model(held, arm, at_threshold(point, lambda truth, called: (truth * called).sum()))
    assert row.tp == pytest.approx(np.mean(hits))


def test_differences_are_those_of_the_arms_and_paired(judged):
    found, _ = judged
    difference = found.differences[0]
    assert (difference.arm, difference.against) == PAIR
    assert difference.about == "methods"
    points = {
        name: {(each.label, each.point): each for each in found.arm(name).operating_points}
        for name in PAIR
    }
    for each in difference.details.operating_points:
        first, second = (points[name][each.label, each.point] for name in PAIR)
        for rate in ("sensitivity", "specificity", "ppv", "npv", "f1"):
            one, other = getattr(first, rate).value, getattr(second, rate).value
            expected = None if None in (one, other) else pytest.approx(one - other)
            assert getattr(each, rate).value == expected
    (row,) = [
        each
        for each in difference.details.operating_points
        if (each.label, each.point) == (LABEL, "youden")
    ]
    low, high = row.specificity.ci
    assert low < row.specificity.value < high


def test_calibration_is_the_mean_over_all_models_each_with_its_own_temperature(judged):
    found, held = judged
    calibration = found.arm("local").calibration
    temperatures = [fit_temperature(val.target, val.probs) for _, val in models_of(held, "local")]
    assert calibration.temperature == pytest.approx(np.mean(temperatures))
    own = calibration.by_label[LABEL]
    raw = each_model(held, "local", lambda target, probs, *_: brier_score_loss(target, probs))
    assert own.brier.value == pytest.approx(np.mean(raw))
    assert own.brier.ci[0] < own.brier.value < own.brier.ci[1]
    after = []
    for temperature, (test, _) in zip(temperatures, models_of(held, "local"), strict=True):
        column = test.labels.index(LABEL)
        cooler = expit(logit(test.probs[:, column].astype(float)) / temperature)
        after.append(brier_score_loss(test.target[:, column], cooler))
    assert own.tempered.brier.value == pytest.approx(np.mean(after), abs=1e-6)
    assert own.ece.ci is None
    assert sum(one.count for one in own.bins) == pytest.approx(1500, abs=15)
    apart = found.differences[0].details.calibration[LABEL]
    first, second = (found.arm(name).calibration.by_label[LABEL] for name in PAIR)
    assert apart.slope.value == pytest.approx(first.slope.value - second.slope.value)
    assert apart.tempered.brier.value == pytest.approx(
        first.tempered.brier.value - second.tempered.brier.value
    )


def test_the_decision_curve_is_that_of_the_tempered_probabilities(judged):
    found, held = judged
    curve = found.arm("federated").decision_curves[LABEL]
    place = curve.at.index(0.2)
    expected = []
    for test, val in models_of(held, "federated"):
        column = test.labels.index(LABEL)
        temperature = fit_temperature(val.target, val.probs)
        cooler = expit(logit(test.probs[:, column].astype(float)) / temperature)
        called, truth = cooler >= 0.2, test.target[:, column] == 1
        expected.append(np.mean(called & truth) - np.mean(called & ~truth) * 0.25)
    assert curve.net_benefit[place].value == pytest.approx(np.mean(expected))
    share = np.mean(truth)
    assert curve.treat_all[place] == pytest.approx(share - (1 - share) * 0.25)
    other = found.arm("centralized").decision_curves[LABEL].net_benefit[place].value
    apart = found.differences[0].details.decision_curves[LABEL].net_benefit[place]
    assert apart.value == pytest.approx(np.mean(expected) - other)


def test_groups_are_means_over_all_models_and_gaps_are_signed(judged):
    found, held = judged
    rows = {
        (row.attribute, row.group): row
        for row in found.arm("federated").subgroups.rows
        if row.label == LABEL
    }
    assert {attribute for attribute, _ in rows} == {"sex", "age band", "view"}
    values = {}
    for sex in ("F", "M"):
        each = []
        for test, _ in models_of(held, "federated"):
            column, own = test.labels.index(LABEL), test.attributes["sex"] == sex
            each.append(roc_auc_score(test.target[own, column], test.probs[own, column]))
        values[sex] = np.mean(each)
        assert rows["sex", sex].auroc.value == pytest.approx(values[sex])
    assert rows["sex", "F"].auroc_gap.value == pytest.approx(values["F"] - values["M"])
    assert rows["sex", "M"].auroc_gap.value == pytest.approx(values["M"] - values["F"])
    gap = rows["sex", "F"].auroc_gap
    assert gap.ci[0] < gap.value < gap.ci[1]
    other = {
        (row.attribute, row.group): row
        for row in found.arm("centralized").subgroups.rows
        if row.label == LABEL
    }
    (apart,) = [
        each
        for each in found.differences[0].details.subgroups
        if (each.attribute, each.group, each.label) == ("sex", "F", LABEL)
    ]
    for name in ("auroc", "tpr", "fpr", "auroc_gap", "tpr_gap", "fpr_gap"):
        one, two = (getattr(each["sex", "F"], name).value for each in (rows, other))
        assert getattr(apart, name).value == pytest.approx(one - two)


def test_curves_are_means_between_the_lowest_and_the_highest_model(judged):
    found, held = judged
    curves = found.arm("federated").curves[LABEL]
    areas = each_model(held, "federated", lambda target, probs, *_: roc_auc_score(target, probs))
    assert np.trapezoid(curves.tpr, curves.fpr) == pytest.approx(np.mean(areas), abs=0.005)
    for name in ("tpr", "precision"):
        low, mean, high = (np.array(getattr(curves, f"{name}{s}")) for s in ("_low", "", "_high"))
        assert np.all(low <= mean)
        assert np.all(mean <= high)


def test_labels_have_words_of_their_own_and_bounds_after_a_word_of_non_inferiority(judged):
    found, _ = judged
    for difference in found.differences:
        margin = found.statistics.margin
        for label, each in difference.by_label.items():
            is_below = each.ci is not None and each.ci[1] < 0
            assert (label in difference.worse_labels) == is_below
            is_inferior = each.ci is not None and each.ci[1] < -margin
            assert (label in difference.inferior_labels) == is_inferior
            has_bound = each.ci is not None and label in found.endpoint.labels
            is_tested = difference.verdict.word in ("better", "non-inferior")
            assert (each.lower_bound is not None) == (has_bound and is_tested)
