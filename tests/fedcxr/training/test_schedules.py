import pytest

from fedcxr.config.server import ServerConfig
from fedcxr.config.train import TrainConfig
from fedcxr.errors import ConfigError
from fedcxr.training.schedules import learning_rate, rounds_without_better, should_stop


def test_a_constant_rate_stays():
    config = TrainConfig(learning_rate=3e-4)
    assert {learning_rate(config, r, 10, []) for r in range(1, 11)} == {3e-4}


def test_the_cosine_starts_at_the_rate_falls_and_ends_near_a_twentieth():
    config = TrainConfig(learning_rate=2.0, lr_schedule="cosine")
    rates = [learning_rate(config, r, 10, []) for r in range(1, 11)]
    assert rates[0] == 2.0
    assert rates == sorted(rates, reverse=True)
    # halfway (round 6 of 10) the cosine is 0: 2 · (0.05 + 0.95 · 0.5) = 1.05
    assert rates[5] == pytest.approx(1.05)
    # round 10: cos(0.9 π) = −0.95106 → 2 · (0.05 + 0.95 · 0.02447) = 0.14649
    assert rates[9] == pytest.approx(0.14649, abs=1e-5)


def test_one_round_of_a_cosine_has_the_full_rate():
    assert learning_rate(TrainConfig(learning_rate=0.5, lr_schedule="cosine"), 1, 1, []) == 0.5


def test_steps_multiply_the_rate_after_every_so_many_rounds():
    config = TrainConfig(learning_rate=1.0, lr_schedule="step", lr_factor=0.5, lr_step=2)
    rates = [learning_rate(config, r, 6, []) for r in range(1, 7)]
    assert rates == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


def rates_on(val_aurocs, **changes):
    """Return the rate of every round up to the one after this history."""
    config = TrainConfig(learning_rate=1.0, lr_schedule="plateau", lr_factor=0.5, **changes)
    rounds = range(1, len(val_aurocs) + 1)
    return [learning_rate(config, r, 99, val_aurocs[:r]) for r in rounds]


def test_a_plateau_lowers_the_rate_after_so_many_rounds_without_a_better_auroc():
    # best 0.6 in round 1; rounds 2 and 3 are not better: lower from round 4; round 4 is better;
    # rounds 5 and 6 are not: lower again from round 7
    history = [0.5, 0.6, 0.6, 0.55, 0.7, 0.69, 0.7]
    assert rates_on(history, lr_patience=2) == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25]


def test_a_long_plateau_lowers_the_rate_again_after_as_many_rounds():
    assert rates_on([0.6, 0.5, 0.5, 0.5], lr_patience=1) == [1.0, 0.5, 0.25, 0.125]


def test_a_round_without_auroc_is_one_without_a_better_one():
    assert rates_on([0.6, None, None], lr_patience=2) == [1.0, 1.0, 0.5]


def test_an_auroc_that_is_never_defined_lowers_no_rate_and_ends_no_run():
    assert rates_on([None] * 5, lr_patience=1) == [1.0] * 5
    assert not should_stop(ServerConfig(stop_after=1), [None] * 5)


def test_a_run_ends_after_so_many_rounds_without_a_better_auroc():
    config = ServerConfig(stop_after=2)
    history = [0.5, 0.6, 0.6, 0.7, 0.65, 0.7]
    ends = [should_stop(config, history[: r + 1]) for r in range(len(history))]
    assert ends == [False] * 5 + [True]


def test_an_improvement_below_the_smallest_one_is_none():
    # each round is better than the last, but never by more than 0.02 than the best that counted
    history = [0.6, 0.61, 0.62]
    assert rounds_without_better(history) == 0
    assert should_stop(ServerConfig(stop_after=2, min_improvement=0.02), history)
    assert not should_stop(ServerConfig(stop_after=2, min_improvement=0.02), [*history[:2], 0.63])


def test_without_a_stop_rule_no_run_ends_early():
    assert not should_stop(ServerConfig(), [0.9] + [0.1] * 50)


def test_a_schedule_that_there_is_not_is_named():
    with pytest.raises(ConfigError, match=r"no schedule 'cosin' \(did you mean 'cosine'\?\)"):
        learning_rate(TrainConfig(lr_schedule="cosin"), 1, 1, [])
