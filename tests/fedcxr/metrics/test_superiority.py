"""Is what was added of use, and could it be of much?"""

import math

import pytest

from fedcxr.metrics.estimate import Estimate, Part, symmetric
from fedcxr.metrics.non_inferiority import power_note, verdict


@pytest.mark.parametrize(
    ("ci", "word", "where"),
    [
        ((0.001, 0.03), "better", "lies wholly above 0"),
        ((0.001, 0.005), "better", "lies wholly above 0"),
        ((0.0, 0.03), "inconclusive", "holds 0 and +0.0100"),
        ((-0.03, 0.01), "inconclusive", "holds 0 and +0.0100"),
        ((-0.03, 0.0099), "no better", "holds 0 and lies wholly below +0.0100"),
        ((-0.005, 0.0), "no better", "holds 0 and lies wholly below +0.0100"),
        ((-0.03, -0.001), "worse", "lies wholly below 0"),
    ],
)
def test_a_gain_is_asked_of_the_whole_interval(ci, word, where):
    found = verdict(Estimate(0.0, ci, None), 0.01, "superiority")
    assert found.word == word
    assert found.reason == f"the interval, {ci[0]:+.4f} to {ci[1]:+.4f}, {where}"


def test_without_an_interval_there_is_no_verdict_on_a_gain_either():
    assert verdict(Estimate(0.0, None, "few"), 0.01, "superiority").word == "withheld"


def test_a_study_too_small_is_told_what_it_could_have_ruled_out():
    wide = symmetric(0.0, (Part(0.02**2, math.inf),), 0.95)
    note = power_note(wide, 0.01, 40, 300, 200, question="superiority")
    # as many as for non-inferiority: the interval of equal arms is as far from either bound
    assert "About 6,300 such patients would be needed to show no gain of 0.010" in note
    far = symmetric(-0.1, (Part(0.02**2, math.inf),), 0.95)
    assert power_note(far, 0.01, 40, 300, 200, question="superiority") is None
