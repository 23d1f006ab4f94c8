from dataclasses import replace

import pytest

from fedcxr.metrics.study_plan import Aim, make_plan
from fedcxr.metrics.study_power import Variances, power
from fedcxr.report import study_plan_words as words
from fedcxr.report.pilot import Pilot
from fedcxr.report.study_plan_figure import draw_power
from fedcxr.report.study_plan_page import render_study_plan

VARIANCES = Variances(9e-6, 60.0, 3e-5, 5, 1000)
HOPELESS = replace(VARIANCES, trainings=1.0)
WIDE = replace(VARIANCES, patients=1.0, trainings=0.0)
KNOWN = replace(VARIANCES, partitions=1e-5, partitions_df=4.0)


def make_pilot(**changes):
    told = {
        "name": "a <pilot>",
        "arm": "federated",
        "against": "centralized",
        "title": "Federated minus Centralized",
        "difference": -0.004,
        "margin": 0.01,
        "level": 0.95,
        "is_synthetic": True,
        "variances": VARIANCES,
    }
    return Pilot(**{**told, **changes})


def plan_of(variances=VARIANCES, **aim):
    return make_plan(variances, Aim(**{"margin": 0.01, **aim}))


def test_the_sentence_is_of_the_pilots_seeds_where_they_are_enough():
    plan = plan_of()
    patients = next(row.patients for row in plan.needed if row.seeds == 5)
    told = words.sentence(plan)
    start = f"With 5 seeds of each arm, {patients:,} test patients show non-inferiority"
    assert told.startswith(f"{start} at a margin of 0.01 with 80 % power; ")
    assert f"with 20 seeds of each arm, {plan.needed[-1].patients:,} are enough." in told


def test_where_they_are_not_it_is_of_the_fewest_trainings():
    plan = plan_of(replace(VARIANCES, seeds=2))
    first = next(row for row in plan.needed if row.patients)
    assert first.seeds > 2
    assert words.sentence(plan).startswith(f"With {first.seeds} seeds of each arm, ")


def test_where_nothing_is_enough_it_says_so():
    for hopeless in (HOPELESS, WIDE):
        plan = plan_of(hopeless)
        assert words.answer(plan) is None
        assert words.sentence(plan) == (
            "No study of up to 20 seeds of each arm and 990,000 test patients shows "
            "non-inferiority at a margin of 0.01 with 80 % power."
        )
        (fact,) = words.facts(plan)
        assert fact.value == "not reachable"


def test_the_caution_is_of_the_upper_variances():
    many = replace(VARIANCES, seeds=20)
    plan = plan_of(many)
    lucky = next(row.patients for row in plan.needed_upper if row.seeds == 20)
    assert words.caution(plan).endswith(f"than found, it takes {lucky:,} test patients.")
    few = plan_of()  # 5 seeds are not enough by the upper variances
    row = next(row for row in few.needed_upper if row.patients)
    told = f"it takes {row.seeds} seeds of each arm and {row.patients:,} test patients."
    assert row.seeds > 5
    assert words.caution(few).endswith(told)
    two_seeds = replace(VARIANCES, seeds=2)  # the bound is 15.6 times as large
    assert words.caution(plan_of(two_seeds)).endswith(
        ", no study of up to so many seeds and patients does."
    )
    assert words.caution(plan_of(HOPELESS)) is None  # the sentence has said it


def test_a_row_says_why_it_has_no_number():
    assert {row.patients for row in words.rows(plan_of(HOPELESS))} == {"not reachable"}
    assert {row.patients for row in words.rows(plan_of(WIDE))} == {"over 990,000"}


def test_the_answers_row_is_marked_once():
    assert [row.design.seeds for row in words.rows(plan_of()) if row.is_answer] == [5]


def test_the_pilots_own_test_set_has_its_seeds_or_none():
    plan = plan_of(replace(VARIANCES, patients=1e-9, num_patients=100_000))
    told = {fact.name: fact.value for fact in words.facts(plan)}
    reached = [row for row in plan.needed if row.patients]
    assert told["With the pilot's 100,000 test patients"] == f"{reached[0].seeds} seeds of each arm"
    assert told["Fewest trainings"] == f"{reached[0].seeds} of each arm"
    told = {fact.name: fact.value for fact in words.facts(plan_of())}
    enough = next(s for s in range(2, 21) if power(VARIANCES, 1000, s, 0.01) >= 0.8)
    assert told["With the pilot's 1,000 test patients"] == f"{enough} seeds of each arm"
    plan = plan_of(replace(VARIANCES, patients=2e-5))
    told = {fact.name: fact.value for fact in words.facts(plan)}
    assert told["With the pilot's 1,000 test patients"] == "not reachable"


def test_a_margin_that_is_not_the_pilots_is_to_be_fixed_before():
    assert words.notices(plan_of(), make_pilot()) == []
    assert words.notices(plan_of(), make_pilot(margin=None, difference=None)) == []
    (told,) = words.notices(plan_of(margin=0.02), make_pilot())
    assert told.startswith("The margin of 0.02 is not the pilot's, 0.01. A margin must be fixed")


def test_a_pilot_that_found_a_loss_beyond_the_margin_warns():
    (told,) = words.notices(plan_of(), make_pilot(difference=-0.0123))
    assert told == (
        "The pilot's own difference, −0.0123, is beyond the margin: if that is the truth, no study "
        "shows non-inferiority."
    )


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (plan_of(), "The power is for arms that do not differ."),
        (plan_of(true_difference=-0.002), "The power is for a true difference of −0.0020."),
        (plan_of(), "the variance is up to 2.4 times what was found"),  # 4 / 1.6488
        (plan_of(), "how far another partition would move the result is unknown"),
        (plan_of(KNOWN), "Partitions are drawn anew"),
    ],
)
def test_the_notes_say_what_the_plan_rests_on(plan, told):
    assert told in " ".join(words.notes(plan))


def test_csv_has_numbers_only_and_nothing_where_there_is_none():
    head, *lines = words.csv_of(plan_of(HOPELESS)).splitlines()
    assert head == (
        "seeds,partitions,trainings,patients,most_power,patients_if_lucky,most_power_if_lucky"
    )
    assert lines[0].startswith("2,1,2,,0.0")


def test_the_figure_tells_its_answers_to_who_cannot_see_it():
    svg = str(draw_power(plan_of()).svg)
    assert "80 % is reached with 3 seeds: no number of patients, 5 seeds: " in svg
    for text in ("5 seeds", "20 seeds", "pilot, 1,000", "margin 0.01, arms that do not differ"):
        assert text in svg
    assert "true difference −0.0020" in str(draw_power(plan_of(true_difference=-0.002)).svg)


def test_the_page_is_one_file_without_script_and_network():
    page = render_study_plan(plan_of(), make_pilot())
    assert page.startswith("<!DOCTYPE html>")
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "a &lt;pilot&gt;" in page
    assert words.sentence(plan_of()) in page
    assert page.count('<tr class="chosen">') == 1
    assert page.count('<th scope="row">') == 19
    assert "Synthetic pilot." in page
    assert "must be fixed" not in page


def test_the_page_says_the_margins_notice_and_partitions_where_there_are_some():
    plan = plan_of(KNOWN, margin=0.02)
    page = render_study_plan(plan, make_pilot(variances=KNOWN, is_synthetic=False))
    assert '<p class="callout warn">The margin of 0.02' in page
    assert '<th class="n">Partitions</th>' in page
    assert "Synthetic pilot." not in page
    assert "of one partition, 4 df" in page
    assert "seeds on each of 5 partitions knows the variance" in page


def test_the_page_of_a_hopeless_plan_has_no_answer():
    page = render_study_plan(plan_of(HOPELESS), make_pilot(variances=HOPELESS))
    assert '<tr class="chosen">' not in page
    assert "No study of up to 20 seeds" in page
