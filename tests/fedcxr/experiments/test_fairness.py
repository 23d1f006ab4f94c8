"""What an arm's own trainings say against it: last round, edge of the grid, rising curve."""

import json
from typing import get_args

import numpy as np
import pytest

from fedcxr.config.load import load_config, with_values
from fedcxr.experiments.compare.arms import Arm, Training
from fedcxr.experiments.compare.fairness import (
    best_round_is_last,
    rate_at_edge,
    still_rising,
    warnings_of,
)
from fedcxr.results.undertrained import (
    BestRoundIsLast,
    FairnessWarning,
    RateAtEdge,
    StillRising,
)

FLAT = [0.5, 0.7, 0.69, 0.7, 0.69, 0.7, 0.69]
RISING = [0.5, 0.55, 0.6, 0.64, 0.68, 0.71, 0.74]


def curve(values):
    return list(enumerate(values))


def test_the_best_round_is_looked_for_in_every_training():
    curves = [curve(FLAT), curve(RISING), curve(RISING)]
    assert best_round_is_last("a", curves) == BestRoundIsLast(arm="a", trainings=2, of_trainings=3)
    assert best_round_is_last("a", [curve(FLAT)]) is None


@pytest.mark.parametrize(
    ("values", "is_last"),
    [
        ([0.5, 0.7, 0.7], False),  # as good as the one before: the first of them was taken
        ([0.5, 0.6, None], False),  # the last round has no AUROC
        ([0.5, None, 0.6], True),
        ([None, None, None], False),
        ([0.8, 0.7, 0.6], False),
    ],
)
def test_the_best_round_is_the_first_of_the_best_that_have_an_auroc(values, is_last):
    assert (best_round_is_last("a", [curve(values)]) is not None) == is_last


@pytest.mark.parametrize(
    ("rate", "tried", "edge"),
    [
        (1e-4, (3e-4, 1e-4, 1e-3), "lowest"),
        (1e-3, (3e-4, 1e-4, 1e-3), "highest"),
        (3e-4, (3e-4, 1e-4, 1e-3), None),
        (1e-4, (1e-4,), None),  # nothing was tuned
        (1e-4, (), None),
    ],
)
def test_a_tuned_rate_at_the_edge_of_its_grid_is_told(rate, tried, edge):
    found = rate_at_edge("a", rate, tried)
    if edge is None:
        assert found is None
    else:
        rates = tuple(sorted(tried))
        assert found == RateAtEdge(arm="a", rate=rate, edge=edge, rates=rates)


def test_the_gain_is_the_slope_times_the_last_third():
    # 10 rounds: the last third are 4, on a line of 0.004 a round
    values = [0.5] * 7 + [0.504, 0.508, 0.512, 0.516]
    found = still_rising("a", [curve(values)], threshold=0.005)
    slope = np.polyfit([7, 8, 9, 10], values[-4:], 1)[0]
    assert (found.arm, found.trainings, found.threshold) == ("a", 1, 0.005)
    assert (found.slope, found.gain) == pytest.approx((slope, 4 * slope))


def test_the_gain_is_the_mean_over_the_trainings_however_long_each():
    short = [0.5, 0.51, 0.53, 0.55]  # 3 rounds, on a line of 0.02
    found = still_rising("a", [curve(short), curve(RISING)], threshold=0.005)
    slopes = [np.polyfit([0, 1, 2], values[-3:], 1)[0] for values in (short, RISING)]
    assert found.trainings == 2
    assert found.slope == pytest.approx(np.mean(slopes))
    assert found.gain == pytest.approx(3 * np.mean(slopes))


def test_a_flat_curve_is_not_rising_nor_is_one_that_rises_less_than_the_threshold():
    assert still_rising("a", [curve(FLAT)], threshold=0.005) is None
    slow = [0.5 + 0.001 * at for at in range(10)]
    assert still_rising("a", [curve(slow)], threshold=0.005) is None  # 3 rounds of 0.001
    assert still_rising("a", [curve(slow)], threshold=0.002) is not None


def test_a_rise_within_the_scatter_of_the_rounds_is_none():
    # slope 0.005, gain 0.015; off the line by 0.01, -0.02, 0.01: the gain's standard error is
    # 3 x sqrt(0.0006 / 1 / 2) = 0.052
    values = [0.5, 0.6, 0.575, 0.61]
    assert still_rising("a", [curve(values)], threshold=0.005) is None


def test_a_jittering_flat_curve_seldom_is_told_and_a_rising_one_nearly_always():
    rng = np.random.default_rng(0)
    flat, rising = np.full(10, 0.7), 0.7 + 0.01 * np.arange(10)

    def told(level):
        seeds = [curve(level + rng.normal(0, 0.005, 10)) for _ in range(3)]
        return still_rising("a", seeds, threshold=0.005) is not None

    assert sum(told(flat) for _ in range(300)) < 30
    assert sum(told(rising) for _ in range(300)) > 255


@pytest.mark.parametrize("values", [[0.5, 0.6, 0.7], [0.5, None, 0.6, 0.7], [0.5]])
def test_two_rounds_are_too_few_for_a_slope(values):
    assert still_rising("a", [curve(values)], threshold=0.005) is None


def trained(folder, name, config, seed, values):
    nothing = dict.fromkeys(("train_loss", "val_loss", "val_accuracy"))
    line = {**nothing, "sites": [], "refused": [], "missing": [], "seconds": 0.0}
    lines = [{**line, "round": at, "val_macro_auroc": value} for at, value in curve(values)]
    path = folder / f"{name}-{seed}"
    path.mkdir()
    (path / "rounds.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Training(name, seed, "", path, config, 1, path)


def test_the_warnings_come_from_what_the_trainings_left_behind(tmp_path):
    config = load_config(overrides={"compare.learning_rates": [1e-4, 1e-3, 1e-2]})
    arms, by_arm = [], {}
    for name, rate, values in (("good", 1e-3, FLAT), ("bad", 1e-4, RISING)):
        own = with_values(config, {"train.learning_rate": rate})
        arms.append(Arm(name, name.title(), "", own, {}, tmp_path))
        by_arm[name] = [trained(tmp_path, name, own, seed, values) for seed in (0, 1)]
    found = warnings_of(config, arms, by_arm)
    assert [type(each) for each in found] == [BestRoundIsLast, RateAtEdge, StillRising]
    assert {each.arm for each in found} == {"bad"}
    assert found[2].threshold == config.compare.margin / 2


def test_every_kind_is_a_fact_in_the_file_and_a_sentence_on_the_page():
    every = [
        BestRoundIsLast(arm="a", trainings=1, of_trainings=3),
        RateAtEdge(arm="a", rate=0.1, edge="highest", rates=(0.01, 0.1)),
        StillRising(arm="a", trainings=3, slope=0.004, gain=0.012, threshold=0.005),
    ]
    kinds = get_args(get_args(FairnessWarning)[0])
    assert [type(each) for each in every] == list(kinds)
    told = [json.loads(each.model_dump_json()) for each in every]
    assert told[0] == {"kind": "best-round-is-last", "arm": "a", "trainings": 1, "of_trainings": 3}
