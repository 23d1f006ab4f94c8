"""Words that add up: by hand, and within one step of the plain weighted mean."""

import numpy as np
import pytest

from fedcxr.errors import ConfigError, RunError
from fedcxr.secagg.quantise import (
    LOSS_RANGE,
    Layout,
    Numbers,
    Quantiser,
    quantiser_for,
    to_mean,
    to_words,
)

LAYOUT = Layout(trained=5, buffers=2, counters=1)


def numbers(update, weight, counters=(3,), loss=0.5):
    return Numbers(np.float32(update), np.int64(counters), loss, weight)


def test_a_word_is_the_level_times_the_weight():
    # 2 bits: levels 0 to 3 from -1.5 to 1.5, step 1; each value lies on one, so chance rounds
    # nothing. Buffers: 4 bits, levels 0 to 15 from -15 to 15, step 2: -15 → 0 = 00|00 and
    # 7 → 11 = 10|11. Counter 3 = 00|11. Loss 64 of 64 → 15 = 11|11.
    small = Quantiser(2, 1.5, 15.0, most_weight=100, sites=3)
    found = to_words(
        small,
        LAYOUT,
        numbers([-1.5, -0.5, 0.5, 1.5, -1.5, -15, 7], 10, loss=LOSS_RANGE),
        np.random.default_rng(0),
    )
    high, low = [0, 20, 0, 30], [0, 30, 30, 30]
    assert found.tolist() == [0, 10, 20, 30, 0, *high, *low, 10, 0, 1]
    assert found.dtype == np.uint32


def test_bits_are_those_that_the_weights_leave():
    # 2**32 / 1,000,000 = 4294.97: 4096 levels, 12 bits; at most 20
    made = [
        quantiser_for(n, 5, trained_range=1, buffer_range=1).bits for n in (10, 4096, 1_000_000)
    ]
    assert made == [20, 20, 12]
    worst = quantiser_for(1_000_000, 5, trained_range=1, buffer_range=1)
    assert worst.most_weight * worst.levels < 2**32
    with pytest.raises(ConfigError, match=r"keep 11 of its bits.*12 are needed"):
        quantiser_for(1_048_577, 5, trained_range=1, buffer_range=1)


@pytest.mark.parametrize("seed", range(3))
def test_the_mean_is_within_one_step_of_the_plain_one(seed):
    rng = np.random.default_rng(seed)
    layout = Layout(trained=70_000, buffers=300, counters=4)
    weights = [int(n) for n in rng.integers(1, 5000, 7)]
    quantiser = quantiser_for(sum(weights), 7, trained_range=0.05, buffer_range=1000.0)
    total, plain = np.zeros(layout.words, np.uint32), np.zeros(70_300)
    counters, losses = np.zeros(4), 0.0
    for weight in weights:
        update = rng.normal(0, 0.01, 70_300).astype(np.float32)
        update[70_000:] *= 5000
        steps, loss = rng.integers(0, 500, 4), float(rng.random())
        inside = np.clip(update.astype(np.float64), -0.05, 0.05)
        inside[70_000:] = update[70_000:]
        plain += weight * inside
        counters += weight * steps
        losses += weight * loss
        total += to_words(quantiser, layout, Numbers(update, steps, loss, weight), rng)
    found = to_mean(quantiser, layout, total, 7)
    error = np.abs(found.update - plain / sum(weights))
    assert error[:70_000].max() < quantiser.step
    assert error[70_000:].max() < quantiser.buffer_step * 1.001
    assert quantiser.buffer_step < 1e-4 < 1e-2 < quantiser.trained_range
    np.testing.assert_allclose(found.counters, counters / sum(weights), rtol=1e-12)
    assert found.train_loss == pytest.approx(losses / sum(weights), abs=1e-6)
    assert found.weight == sum(weights)


def test_what_is_beyond_the_range_is_clipped_and_counted():
    quantiser = quantiser_for(100, 3, trained_range=1.0, buffer_range=10.0)
    rng, total = np.random.default_rng(0), np.zeros(LAYOUT.words, np.uint32)
    total += to_words(quantiser, LAYOUT, numbers([2, -3, 1, 0, 0, 11, 0], 10), rng)
    total += to_words(quantiser, LAYOUT, numbers([0, 0, 0, 0, 1.01, 0, 0], 30), rng)
    found = to_mean(quantiser, LAYOUT, total, 2)
    assert found.clipped == 4
    # (10 · 1 + 30 · 0) / 40, (10 · -1) / 40, …
    np.testing.assert_allclose(found.update[:2], [0.25, -0.25], atol=quantiser.step)


def test_rounding_is_right_on_average():
    # A value a quarter of a step above a level is rounded up in a quarter of the cases.
    quantiser = quantiser_for(1, 3, trained_range=1.0, buffer_range=1.0)
    layout = Layout(100_000, 0, 0)
    value = -1.0 + 1000.25 * quantiser.step
    update = np.full(100_000, value, np.float64).astype(np.float32)
    words = to_words(
        quantiser, layout, Numbers(update, np.int64([]), 0.0, 1), np.random.default_rng(0)
    )
    exact = (float(update[0]) + 1.0) / quantiser.step
    assert abs(words[:100_000].mean() - exact) < 4 * 0.5 / 100_000**0.5


def test_values_that_are_not_finite_and_wrong_weights_are_refused():
    quantiser = quantiser_for(100, 3, trained_range=1.0, buffer_range=10.0)
    rng = np.random.default_rng(0)
    for update in ([np.nan, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, np.inf, 0]):
        with pytest.raises(RunError, match="not finite"):
            to_words(quantiser, LAYOUT, numbers(update, 10), rng)
    for weight in (0, -1, 101):
        with pytest.raises(RunError, match="weight is not from 1"):
            to_words(quantiser, LAYOUT, numbers([0] * 7, weight), rng)


def test_a_sum_that_is_none_is_refused():
    quantiser = quantiser_for(100, 3, trained_range=1.0, buffer_range=10.0)
    rng = np.random.default_rng(0)
    total = to_words(quantiser, LAYOUT, numbers([0] * 7, 10), rng)
    for sites, change in ((2, 0), (1, 1)):
        wrong = total + rng.integers(0, 2**32, len(total), np.uint32) * np.uint32(change)
        with pytest.raises(RunError, match="not one of the sites' words"):
            to_mean(quantiser, LAYOUT, wrong, sites)
