import math

import numpy as np
import pytest
from scipy import stats

from fedcxr.errors import ArtefactError
from fedcxr.metrics import regime as regime_module
from fedcxr.metrics.estimate import Estimate, Part, half_width, symmetric
from fedcxr.metrics.non_inferiority import Verdict, holm, power_note, verdict
from fedcxr.metrics.regime import (
    TEST_LEVEL,
    Cell,
    Regime,
    Tally,
    clopper_pearson,
    load_regime,
)

GOOD = Tally(10_000, 9500, 250, 250, 0)
BAD = Tally(10_000, 9000, 500, 500, 0)


def make_regime(interval="models", **tallies):
    """Cells of one and three images a patient, `n10_1` being of 10 positives and one image."""
    cells = []
    for positives in (10, 40, 200):
        for cluster in (1, 3):
            tally = tallies.get(f"n{positives}_{cluster}", GOOD)
            cells.append((Cell(positives, 200, float(cluster), False, 0.5, 1), tally))
    return Regime(interval, 0.95, tuple(cells))


def judge(ci, margin=0.01):
    return verdict(Estimate(0.0, ci, None), margin)


@pytest.mark.parametrize(
    ("ci", "word"),
    [
        ((-0.009, 0.03), "non-inferior"),
        ((0.002, 0.03), "better"),
        ((0.0, 0.03), "non-inferior"),
        ((-0.009, -0.001), "non-inferior, and worse"),
        ((-0.009, 0.0), "non-inferior"),
        ((-0.01, 0.03), "inconclusive"),
        ((-0.03, 0.03), "inconclusive"),
        ((-0.03, -0.01), "inconclusive"),
        ((-0.03, -0.011), "inferior"),
    ],
)
def test_the_verdict_is_by_the_whole_interval_against_minus_the_margin(ci, word):
    found = judge(ci)
    assert found.word == word
    assert f"{ci[0]:+.4f} to {ci[1]:+.4f}" in found.reason
    assert ("above 0" if word == "better" else "-0.0100") in found.reason
    assert ("wholly below 0" in found.reason) == (word == "non-inferior, and worse")


def test_without_an_interval_the_verdict_is_withheld_with_the_reason():
    assert verdict(Estimate(0.0, None, "few patients"), 0.01) == Verdict("withheld", "few patients")
    assert judge(None) == Verdict("withheld", "the difference has no interval")


def test_an_interval_is_not_shown_where_the_self_test_rejected_it():
    regime = make_regime(n10_1=BAD, n10_3=BAD)
    assert regime.covered(39, 1.0, 0.8) == (
        False,
        "39 patients have the rarest finding; the interval was shown to hold from 40 on",
    )
    assert regime.covered(40, 1.0, 0.8)[0] is True


def test_the_label_is_named_that_has_too_few_patients():
    found = make_regime().covered(1, 1.0, 0.8, rarest="1 patient has Lung Lesion")
    assert found == (
        False,
        "1 patient has Lung Lesion; the interval was shown to hold from 10 on",
    )


def test_below_what_was_tried_it_is_not_shown():
    assert make_regime().covered(9, 1.0, 0.8)[0] is False
    assert make_regime().covered(10, 1.0, 0.8)[0] is True


def test_a_rejected_cell_withholds_the_verdict_from_all_smaller_sets_though_theirs_held():
    regime = make_regime(n40_1=BAD)
    assert regime.covered(199, 1.0, 0.8)[0] is False
    assert regime.covered(200, 1.0, 0.8)[0] is True


def test_a_set_is_judged_by_the_cells_up_to_the_next_number_of_images_a_patient():
    regime = make_regime(n10_3=BAD, n40_3=BAD)
    assert regime.covered(10, 1.0, 0.8)[0] is True
    assert regime.covered(40, 1.01, 0.8)[0] is False
    assert regime.covered(200, 3.0, 0.8)[0] is True


def test_more_images_a_patient_than_were_tried_withhold_the_verdict():
    is_covered, why = make_regime().covered(1000, 3.5, 0.8)
    assert not is_covered
    assert why == (
        "the test set has 3.5 images a patient; the self-test of the statistics goes up to 3"
    )


def test_an_interval_that_failed_everywhere_gives_no_verdict():
    regime = make_regime(n200_1=BAD, n200_3=BAD)
    is_covered, why = regime.covered(100_000, 1.0, 0.8)
    assert not is_covered
    assert "at any number of positives up to 200" in why


def test_a_set_is_judged_by_the_cells_up_to_the_next_auroc():
    cells = [(Cell(40, 200, 1.0, False, 0.0, 1, auroc=a), GOOD) for a in (0.85, 0.97)]
    cells += [(Cell(10, 200, 1.0, False, 0.0, 1, auroc=0.85), GOOD)]
    cells += [(Cell(10, 200, 1.0, False, 0.0, 1, auroc=0.97), BAD)]
    regime = Regime("auroc", 0.95, tuple(cells))
    assert regime.covered(10, 1.0, 0.85)[0] is True
    assert regime.covered(10, 1.0, 0.86)[0] is False
    assert regime.covered(40, 1.0, 0.97)[0] is True
    assert regime.covered(40, 1.0, 0.98) == (
        False,
        "the AUROC is 0.980; the self-test of the statistics goes up to 0.97",
    )


@pytest.mark.parametrize(
    ("bad", "held"),
    [(2, {2: False, 3: True, 5: True}), (3, dict.fromkeys((2, 3, 5), False)), (5, {4: True})],
)
def test_trainings_are_judged_by_the_usual_cells_and_by_those_up_to_theirs(bad, held):
    cells = tuple(
        (Cell(40, 200, 1.0, False, 0.0, 1, seeds=s), BAD if s == bad else GOOD) for s in (2, 3, 5)
    )
    regime = Regime("methods", 0.95, cells)
    assert {s: regime.covered(40, 1.0, 0.8, s)[0] for s in held} == held


def test_a_cell_is_rejected_by_an_exact_test_of_coverage_or_type_1_error():
    # one-sided binomial tests at 0.1 %: P(X <= covered | 0.95) and P(X >= wrong | 0.025) by scipy
    tail = (1 - TEST_LEVEL) / 2
    for covered in range(9420, 9460):
        too_few = stats.binom.cdf(covered, 10_000, 0.95) < tail
        tally = Tally(10_000, covered, 200, 10_000 - covered - 200, 0)
        assert tally.rejected(0.95, one_sided=True) == too_few
    for wrong in range(280, 320):
        too_many = stats.binom.sf(wrong - 1, 10_000, 0.025) < tail
        tally = Tally(10_000, 9600, wrong, 400 - wrong, 0)
        assert tally.rejected(0.95, one_sided=True) == too_many
        assert tally.rejected(0.95, one_sided=False) is False


def test_too_wide_an_interval_is_not_rejected():
    assert Tally(10_000, 10_000, 0, 0, 0).rejected(0.95, one_sided=True) is False


@pytest.mark.parametrize(("hits", "trials"), [(0, 10), (10, 10), (3, 10), (9500, 10_000)])
def test_clopper_pearson_is_scipys(hits, trials):
    expected = stats.binomtest(hits, trials).proportion_ci(TEST_LEVEL, method="exact")
    assert clopper_pearson(hits, trials) == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_the_stored_self_test_is_read_with_every_cell():
    regime = load_regime("methods")
    assert regime.level == 0.95
    assert {cell.positives for cell, _ in regime.cells} == {10, 40, 200}
    assert min(tally.studies for _, tally in regime.cells) == regime.cells[0][1].studies


def test_a_damaged_or_missing_result_says_how_to_mend_it(monkeypatch):
    with pytest.raises(ArtefactError, match=r"missing or damaged.*Reinstall fedcxr"):
        load_regime("no such interval")
    monkeypatch.setattr(regime_module, "STORED", "no_such_file.json")
    with pytest.raises(ArtefactError, match=r"no_such_file\.json"):
        load_regime.__wrapped__("methods")


def test_a_margin_must_be_positive():
    with pytest.raises(ValueError, match="margin must be positive"):
        judge((0.0, 0.1), margin=0.0)


def test_holm_is_computed_by_hand_and_keeps_nan():
    # four tests: 4 × .005 = .02; 3 × .01 = .03; 2 × .03 = .06; 1 × .04 = .04, not below .06
    p = [0.01, math.nan, 0.04, 0.03, 0.005]
    assert holm(p) == pytest.approx([0.03, math.nan, 0.06, 0.06, 0.02], nan_ok=True)
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_holm_rejects_at_least_what_bonferroni_rejects_and_keeps_the_order():
    p = np.random.default_rng(0).random(30) ** 3
    adjusted = np.array(holm(list(p)))
    assert np.all(adjusted <= np.minimum(1, 30 * p) + 1e-15)
    assert np.all(adjusted >= p)
    assert np.all(np.diff(adjusted[np.argsort(p)]) >= 0)


def test_holm_refuses_what_is_no_p_value():
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, 1.5])


def test_the_power_note_asks_for_the_patients_that_a_known_formula_gives():
    # ((1.95996 + 0.84162) × 0.03 / 0.01)^2 × 100 patients = 7064, up to two digits: 7,100
    # the interval is Student's t of 9 degrees of freedom: -0.002 ± 2.262 × 0.03
    found = symmetric(-0.002, (Part(0.03**2, 9.0),), 0.95)
    note = power_note(found, 0.01, 12, 300, 100)
    assert note == (
        "The test set is too small to decide: with 100 patients, and the rarest finding on 12 of "
        "312 images, the 95 % interval is ±0.068, wider than the margin of 0.010. "
        "About 7,100 such patients would be needed to show non-inferiority of arms that do not "
        "differ, at 80 % power."
    )


def test_so_many_patients_do_show_non_inferiority_as_often_as_promised():
    needed = ((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * 0.03 / 0.01) ** 2 * 100
    se = 0.03 * math.sqrt(100 / needed)
    lows = np.random.default_rng(0).normal(0, se, 100_000) - stats.norm.ppf(0.975) * se
    assert np.mean(lows > -0.01) == pytest.approx(0.8, abs=0.005)


@pytest.mark.parametrize(
    "ci",
    [
        (-0.0098, 0.0098),  # half its width is less than the margin
        (-0.26, -0.14),  # inferior, however wide
        (0.14, 0.26),
    ],
)
def test_a_study_that_decides_has_no_power_note(ci):
    found = Estimate(sum(ci) / 2, ci, None, (Part(0.001, math.inf),))
    assert power_note(found, 0.01, 50, 500, 300) is None


def test_the_patients_asked_for_count_the_trainings_as_well():
    # 5 trainings: half the width at so many patients, and 0.84 standard errors, are the margin
    found = symmetric(0.0, (Part(0.02**2, math.inf), Part(0.002**2, 4.0)), 0.95)
    note = power_note(found, 0.01, 40, 300, 200)
    factor = float(note.split("About ")[1].split(" such")[0].replace(",", "")) / 200
    parts = (Part(0.02**2 / factor, math.inf), Part(0.002**2, 4.0))
    se = math.sqrt(sum(part.variance for part in parts))
    assert half_width(parts, 0.95) + stats.norm.ppf(0.8) * se == pytest.approx(0.01, rel=0.02)


def test_where_the_trainings_lie_too_far_apart_no_number_of_patients_is_named():
    found = symmetric(0.0, (Part(0.001**2, math.inf), Part(0.01**2, 2.0)), 0.95)
    note = power_note(found, 0.01, 40, 300, 200)
    assert note == (
        "The trainings are too few to decide: the 95 % interval is ±0.043, wider than the margin "
        "of 0.010, and no number of test patients would do, so far do the trainings lie apart. "
        "To see how many would: fedcxr plan-study."
    )


def test_a_difference_without_an_interval_is_too_small_to_decide():
    note = power_note(Estimate(0.0, None, "none"), 0.01, 1, 30, 20)
    assert note.endswith("the rarest finding on 1 of 31 images, the difference has no interval.")


def test_the_power_note_names_what_was_counted():
    note = power_note(Estimate(0.0, None, "none"), 0.01, 3, 59, 20, unit="studies")
    assert "the rarest finding on 3 of 62 studies, " in note
    named = power_note(Estimate(0.0, None, "none"), 0.01, 3, 59, 20, finding="Lung Lesion")
    assert "with 20 patients, and Lung Lesion on 3 of 62 images, " in named
