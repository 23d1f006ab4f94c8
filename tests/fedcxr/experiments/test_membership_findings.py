"""What an attack finds, by scores whose truth is known."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from fedcxr.attacks.scores import METHODS
from fedcxr.experiments.membership.findings import (
    Aim,
    Promise,
    findings,
    identified,
    not_identified,
)
from fedcxr.experiments.membership.population import Population


def population(number=2000, images=1):
    """Half of the patients are members, of two sites; every third is a woman, ages are unknown."""
    member = np.arange(number) % 2 == 0
    site = np.where(member, np.where(np.arange(number) % 4 == 0, "site-00", "site-01"), "")
    return Population(
        images=np.empty((0, 1, 1), np.uint8),
        rows=np.empty(0, np.int64),
        target=np.empty((0, 1), np.float32),
        patient=np.repeat(np.arange(number), images),
        site=site,
        home=np.where(np.arange(number) % 4 == 1, "site-00", site),
        groups={
            "sex": np.where(np.arange(number) % 3 == 0, "F", "M"),
            "age band": np.full(number, "unknown"),
        },
        digest="",
        left_out=0,
    )


def found(scores, whom, *, who=None, promise=None, method="loss"):
    everybody = np.ones(whom.num_patients, bool)
    aim = Aim("outsider", "", everybody if who is None else who, 1)
    return findings(scores, whom, aim, METHODS[method], seed=0, promise=promise)


def test_rates_and_auroc_are_of_patients_and_agree_with_scipy_and_sklearn():
    whom, rng = population(), np.random.default_rng(0)
    scores = rng.normal(0, 1, 2000) + 1.5 * whom.is_member
    result = found(scores, whom)
    assert (result.members, result.non_members) == (1000, 1000)
    assert result.auroc.value == pytest.approx(roc_auc_score(whom.is_member, scores))
    rate = result.rate(0.01)
    threshold = np.sort(scores[~whom.is_member])[-11]
    hits = int((scores[whom.is_member] > threshold).sum())
    assert (rate.hits, rate.alarms) == (hits, 10)
    exact = binomtest(hits, 1000).proportion_ci(method="exact")
    assert rate.tpr.ci == pytest.approx((exact.low, exact.high))
    assert result.rate(0.001).tpr.reason is None
    assert rate.private_bound is None


def test_the_control_of_members_holds_a_half_where_the_attack_finds_much():
    whom, rng = population(), np.random.default_rng(1)
    result = found(rng.normal(0, 1, 2000) + 1.5 * whom.is_member, whom)
    assert result.auroc.ci[0] > 0.8
    assert result.control.ci[0] <= 0.5 <= result.control.ci[1]


def test_a_patient_has_the_mean_of_the_images_and_images_are_counted_by_themselves():
    whom, rng = population(400, images=3), np.random.default_rng(2)
    scores = rng.normal(0, 1, 1200) + whom.is_member[whom.patient]
    result = found(scores, whom)
    by_patient = scores.reshape(400, 3).mean(axis=1)
    assert result.auroc.value == pytest.approx(roc_auc_score(whom.is_member, by_patient))
    by_image = roc_auc_score(whom.is_member[whom.patient], scores)
    assert result.image_auroc.value == pytest.approx(by_image)
    assert (result.member_images, result.non_member_images) == (600, 600)
    images = result.image_rates[1]
    assert images.alarms == 6
    assert images.tpr.value == pytest.approx(images.hits / 600)
    assert (images.tpr.ci, images.fpr_ci) == (None, None)
    assert images.tpr.reason == "no interval: images of one patient are not independent"
    assert result.rate(0.01).tpr.ci is not None


def test_an_attack_on_a_site_is_about_its_own_patients():
    whom, rng = population(), np.random.default_rng(3)
    scores = rng.normal(0, 1, 2000) + 4 * (whom.site == "site-00")
    own = found(scores, whom, who=~whom.is_member | (whom.site == "site-00"))
    other = found(scores, whom, who=~whom.is_member | (whom.site == "site-01"))
    assert (own.members, other.members) == (500, 500)
    assert own.auroc.value > 0.99
    assert other.auroc.value == pytest.approx(0.5, abs=0.05)


def test_what_marks_a_hospital_is_not_taken_for_training_among_its_own_patients():
    # All patients of site-00 score higher, trained on or not: every fourth was held out there.
    whom, rng = population(), np.random.default_rng(8)
    scores = rng.normal(0, 1, 2000) + 2 * (whom.home == "site-00")
    who = ~whom.is_member | (whom.site == "site-00")
    aim = Aim("holder", "site-00", who, 1, home="site-00")
    result = findings(scores, whom, aim, METHODS["loss"], seed=0, promise=None)
    assert result.auroc.ci[0] > 0.6
    assert result.home_auroc.ci[0] < 0.5 < result.home_auroc.ci[1]
    assert found(scores, whom).home_auroc is None
    aim = Aim("holder", "site-01", ~whom.is_member | (whom.site == "site-01"), 1, home="site-01")
    nobody = findings(scores, whom, aim, METHODS["loss"], seed=0, promise=None).home_auroc
    assert (nobody.value, nobody.reason) == (None, "site-01 held no patient out")


def test_whom_the_attack_is_not_about_needs_no_score():
    whom, rng = population(400, images=2), np.random.default_rng(9)
    who = ~whom.is_member | (whom.site == "site-00")
    scores = rng.normal(0, 1, 800) + whom.is_member[whom.patient]
    without = np.where(who[whom.patient], scores, np.nan)
    assert found(without, whom, who=who) == found(scores, whom, who=who)


def test_a_group_that_is_found_more_often_shows_as_a_gap():
    whom, rng = population(), np.random.default_rng(4)
    women = whom.groups["sex"] == "F"
    scores = rng.normal(0, 1, 2000) + np.where(women, 2, 0) * whom.is_member
    result = found(scores, whom)
    groups = {(each.attribute, each.group): each for each in result.groups}
    female, unknown = groups["sex", "F"], groups["age band", "unknown"]
    members = whom.is_member & women
    threshold = np.sort(scores[~whom.is_member])[-11]
    assert female.members == members.sum() == 334
    assert female.tpr.value == pytest.approx((scores[members] > threshold).mean())
    assert female.tpr_gap.ci[0] > 0.2
    assert female.auroc_gap.ci[0] > 0.3
    assert groups["sex", "M"].tpr_gap.value == pytest.approx(-female.tpr_gap.value)
    assert unknown.tpr_gap.value is None


def test_where_intervals_were_not_shown_to_hold_an_auroc_has_none_and_says_so():
    whom, rng = population(), np.random.default_rng(7)
    result = found(rng.normal(0, 1, 2000) + 4 * whom.is_member, whom)
    assert result.auroc.value > 0.99
    assert result.auroc.ci is None
    assert "AUROC" in result.auroc.reason
    assert result.rate(0.01).tpr.ci[0] > 0.9


def test_what_epsilon_allows_stands_beside_what_is_found():
    whom, rng = population(), np.random.default_rng(5)
    result = found(rng.normal(0, 1, 2000), whom, promise=Promise(3.0, 1e-4))
    rate = result.rate(0.01)
    assert rate.private_bound == pytest.approx(0.20096, abs=1e-5)
    assert rate.tpr.ci[1] < rate.private_bound


def test_identified_are_counted_over_64_targets_and_not_over_fewer():
    rng = np.random.default_rng(6)
    inside = np.stack([rng.permutation(100) < 50 for _ in range(64)])
    scores = np.where(inside, 1.0, 0.0) + rng.normal(0, 0.1, (64, 100))
    result = identified(METHODS["loss"], scores, inside)
    assert (result.sure, result.patients, result.targets) == (100, 100, 64)
    few = not_identified(METHODS["loss"], 8, 100)
    assert (few.sure, few.reason) == (None, "not estimable: 8 target models, 64 are needed")
