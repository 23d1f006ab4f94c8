"""A rounded update is never longer than the bound that the noise is taken for."""

from fractions import Fraction

import numpy as np
import pytest

from clients.secure_update import bounded_words
from fedcxr.errors import ConfigError, RunError
from fedcxr.secagg.quantise import Layout, Quantiser, quantiser_for, to_mean
from fedcxr.secagg.sensitivity import is_within, length_before_rounding

COARSE = Quantiser(6, 1.0, 10.0, most_weight=10, sites=10)  # steps of 2/63
LAYOUT = Layout(trained=40, buffers=3, counters=1)


class Highest:
    """Rounds every number away from 0 where it can: no draw makes an update longer."""

    def __init__(self, values):
        self.up = (np.asarray(values) > 0) * (1 - 2.0**-53)

    def random(self, count):
        return self.up if count == len(self.up) else np.zeros(count)


def exact_length_squared(quantiser, levels):
    """Return by whole numbers what `is_within` compares, here a number at a time."""
    unit = Fraction(quantiser.trained_range) / quantiser.levels
    return sum((unit * (2 * int(level) - quantiser.levels)) ** 2 for level in levels)


def test_rounding_can_make_an_update_longer_and_by_no_more_than_the_bound_says():
    # Each of 40 numbers just above a level, all rounded up: longer than it was, by below √40 steps.
    values = np.float32([(2 * 40 - 63) / 63 + 1e-4] * 40)
    levels = np.floor((values + 1) * 31.5 + (1 - 2.0**-53)).astype(np.uint32)
    before = float(np.linalg.norm(values.astype(np.float64)))
    assert not is_within(COARSE, levels, before)
    assert is_within(COARSE, levels, before + np.sqrt(40) * COARSE.step)
    assert exact_length_squared(COARSE, levels) > Fraction(before) ** 2


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("length", [0.0, 0.3, 1.0, 30.0])
def test_whatever_was_trained_and_drawn_no_site_brings_more_than_c(seed, length):
    rng = np.random.default_rng(seed)
    clip = 1.0
    update = np.zeros(43, np.float32)
    direction = rng.standard_normal(40) * (rng.random(40) < rng.random())  # some of them sparse
    update[:40] = length * direction / max(np.linalg.norm(direction), 1e-9)
    update[40:] = 5.0  # buffers, which no noise covers
    for draws in (rng, Highest(update[:40])):
        words = bounded_words(COARSE, LAYOUT, update, clip, draws)
        assert exact_length_squared(COARSE, words[:40]) <= Fraction(clip) ** 2
        # The decoded sum moves by as much with this site as without it.
        other = bounded_words(COARSE, LAYOUT, -update, clip, np.random.default_rng(seed))
        alone = to_mean(COARSE, LAYOUT, other, 1).update[:40]
        both = 2 * to_mean(COARSE, LAYOUT, words + other, 2).update[:40]
        assert np.linalg.norm(both - alone) <= clip * (1 + 1e-12)


def test_without_the_room_for_rounding_the_bound_would_be_broken():
    update = np.zeros(43, np.float32)
    update[:40] = 1 / np.sqrt(40)
    draws = Highest(update[:40])
    levels = np.floor((update[:40].astype(float) + 1) * 31.5 + draws.random(40)).astype(np.uint32)
    assert not is_within(COARSE, levels, 1.0)
    assert is_within(COARSE, bounded_words(COARSE, LAYOUT, update, 1.0, draws)[:40], 1.0)


def test_nothing_but_the_update_is_in_the_words():
    update = np.full(43, 0.01, np.float32)
    found = to_mean(
        COARSE, LAYOUT, bounded_words(COARSE, LAYOUT, update, 1.0, np.random.default_rng(0)), 1
    )
    assert np.abs(found.update[40:]).max() <= COARSE.buffer_step
    assert found.counters.tolist() == [0.0]
    assert (found.train_loss, found.weight, found.clipped) == (0.0, 1, 0)
    with pytest.raises(RunError, match="not finite"):
        bounded_words(COARSE, LAYOUT, np.full(43, np.nan, np.float32), 1.0, None)


def test_a_bound_that_rounding_alone_may_use_up_is_refused():
    # √40 · 2/63 = 0.2008, more than half of 0.4
    with pytest.raises(ConfigError, match=r"privacy\.clip = 0\.4: rounding 40 numbers"):
        length_before_rounding(COARSE, 40, 0.4)
    assert length_before_rounding(COARSE, 40, 1.0) == pytest.approx(1 - 0.2008, abs=1e-4)
    # densenet121 at the usual range and 20 sites: of C = 1 half a thousandth is for rounding.
    usual = quantiser_for(20, 20, trained_range=0.1, buffer_range=1000.0)
    assert length_before_rounding(usual, 7_000_000, 1.0) == pytest.approx(0.9995, abs=1e-4)


def test_long_updates_are_compared_in_whole_numbers():
    # 200,000 numbers at the ends: squares add up to 2e5 · (2**20 - 1)², more than floats can hold.
    quantiser = quantiser_for(3, 3, trained_range=0.1, buffer_range=1.0)
    levels = np.full(200_000, quantiser.levels, np.uint32)
    longest = 0.1 * 200_000**0.5
    assert not is_within(quantiser, levels, longest * (1 - 1e-12))
    assert is_within(quantiser, levels, longest * (1 + 1e-12))
