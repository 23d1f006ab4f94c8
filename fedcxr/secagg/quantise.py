"""Numbers as levels that add up mod 2**32 without overflow, and their weighted mean back again.

A trained number is clipped to [-R, R] and rounded to one of 2**b levels, up or down at random so
that the mean over sites and rounds is unbiased; times the site's weight it is one word. Buffers
(variances move by whole numbers), counters and the loss need more range than that: each is two
words, the upper and the lower b bits of 2b. The weights add up to at most a public total, which
gives b: the sum of `total` times the highest level stays below 2**32.

The weighted mean of what sites sent comes back exactly; it is within one step of the mean of what
they had, except where a number was clipped. How many were is one more word of the sum.

Source: Bonawitz et al. 2019, "Federated learning with autotuned communication-efficient secure
aggregation", §3, without its rotation.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedcxr.errors import ConfigError, RunError

Words = NDArray[np.uint32]
"""Numbers mod 2**32; where they are bytes, in little-endian order."""
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Counts = NDArray[np.int64]

FEWEST_BITS = 12
MOST_BITS = 20
"""More would be finer than float32 is at the range's ends."""
LOSS_RANGE = 64.0
"""Nats."""
_SLICE = 1 << 16
_ENDS = 3
"""Words at the end: the weight, how many numbers were clipped, and 1."""


@dataclass(frozen=True, slots=True)
class Quantiser:
    """What is public of how numbers become words."""

    bits: int
    """b."""
    trained_range: float
    """R: the largest change of a trained number that is not clipped."""
    buffer_range: float
    """The same of a buffer."""
    most_weight: int
    """That all sites have together."""
    sites: int
    """That are asked."""

    @property
    def levels(self) -> int:
        """Return the highest level of one word."""
        return (1 << self.bits) - 1

    @property
    def step(self) -> float:
        """Return the distance of two levels of a trained number."""
        return 2 * self.trained_range / self.levels

    @property
    def buffer_step(self) -> float:
        """Return the distance of two levels of a buffer."""
        return 2 * self.buffer_range / self.wide_levels

    @property
    def wide_levels(self) -> int:
        """Return the highest level of two words."""
        return (1 << 2 * self.bits) - 1


@dataclass(frozen=True, slots=True)
class Layout:
    """How many numbers of each kind there are."""

    trained: int
    buffers: int
    counters: int

    @property
    def words(self) -> int:
        """Return the length of what is masked."""
        return self.trained + 2 * (self.buffers + self.counters + 1) + _ENDS


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a site brings into the sum."""

    update: Floats = field(repr=False)
    """(trained + buffers,)"""
    counters: Counts = field(repr=False)
    """By how much each has moved."""
    train_loss: float
    weight: int


@dataclass(frozen=True, slots=True)
class Mean:
    """What the server learns of a round."""

    update: Doubles = field(repr=False)
    """(trained + buffers,) weighted by images."""
    counters: Doubles = field(repr=False)
    train_loss: float
    weight: int
    clipped: int
    """Numbers that some site had beyond the range, each counted once for each site."""


def quantiser_for(
    most_weight: int, sites: int, *, trained_range: float, buffer_range: float
) -> Quantiser:
    """Return the quantiser with as many bits as the weights leave.

    Args:
        most_weight: training images of all sites that are asked.
        sites: how many these are.
        trained_range: the largest change of a trained number that is not clipped.
        buffer_range: the same of a buffer.

    Raises:
        ConfigError: they leave fewer than `FEWEST_BITS`.
    """
    bits = min(MOST_BITS, (2**32 // max(1, most_weight)).bit_length() - 1)
    if bits < FEWEST_BITS:
        raise ConfigError(
            f"server.secure_aggregation: with {most_weight:,} training images in all a number "
            f"would keep {bits} of its bits in the sum, and {FEWEST_BITS} are needed. Lower "
            "server.fraction, so that a round has fewer images, or do without."
        )
    return Quantiser(bits, trained_range, buffer_range, most_weight, sites)


def to_words(
    quantiser: Quantiser, layout: Layout, numbers: Numbers, rng: np.random.Generator
) -> Words:
    """Return what a site masks.

    Args:
        quantiser: of the round.
        layout: of the model's shared part.
        numbers: the site's.
        rng: rounds up or down; it protects nothing, and may descend from the run's seed.

    Raises:
        RunError: a number is not finite, or the weight is not from 1 to the largest.
    """
    if not 0 < numbers.weight <= quantiser.most_weight:
        raise RunError("the site's weight is not from 1 to what the sites have together")
    words = np.empty(layout.words, np.uint32)
    trained = numbers.update[: layout.trained]
    clipped = 0
    for start in range(0, layout.trained, _SLICE):
        part = trained[start : start + _SLICE].astype(np.float64)
        levels, beyond = _levels(part, quantiser.trained_range, quantiser.levels, rng)
        words[start : start + len(part)] = levels
        clipped += beyond
    wide, beyond = _wide_levels(quantiser, layout, numbers, rng)
    clipped += beyond
    middle = words[layout.trained : -_ENDS]
    middle[: len(wide)], middle[len(wide) :] = wide >> quantiser.bits, wide & quantiser.levels
    words[:-_ENDS] *= np.uint32(numbers.weight)
    words[-_ENDS:] = numbers.weight, min(clipped, (2**32 - 1) // quantiser.sites), 1
    return words


def to_mean(quantiser: Quantiser, layout: Layout, total: Words, sites: int) -> Mean:
    """Return the weighted mean of what sites have brought.

    Args:
        quantiser: of the round.
        layout: of the model's shared part.
        total: (W,) the sum of their words, without any mask.
        sites: how many have brought something.

    Raises:
        RunError: it is no sum of so many sites' words.
    """
    weight, clipped, count = (int(word) for word in total[-_ENDS:])
    if count != sites or not sites <= weight <= quantiser.most_weight:
        raise RunError("the unmasked sum is not one of the sites' words; a site masked wrongly")
    update = np.empty(layout.trained + layout.buffers)
    scale = quantiser.step / weight
    for start in range(0, layout.trained, _SLICE):
        part = slice(start, min(start + _SLICE, layout.trained))
        update[part] = total[part] * scale - quantiser.trained_range
    middle = total[layout.trained : -_ENDS].astype(np.float64)
    half = len(middle) // 2
    wide = (middle[:half] * 2.0**quantiser.bits + middle[half:]) / weight
    if wide.max() > quantiser.wide_levels:
        raise RunError("the unmasked sum is not one of the sites' words; a site masked wrongly")
    ends = layout.buffers, layout.buffers + layout.counters
    update[layout.trained :] = wide[: ends[0]] * quantiser.buffer_step - quantiser.buffer_range
    loss = float(wide[-1]) * LOSS_RANGE / quantiser.wide_levels
    return Mean(update, wide[ends[0] : ends[1]], loss, weight, clipped)


def _wide_levels(
    quantiser: Quantiser, layout: Layout, numbers: Numbers, rng: np.random.Generator
) -> tuple[NDArray[np.uint64], int]:
    """Return the levels of buffers, counters and loss, and how many of them were clipped."""
    buffers = numbers.update[layout.trained :].astype(np.float64)
    top = quantiser.wide_levels
    levels, beyond = _levels(buffers, quantiser.buffer_range, top, rng)
    counters = np.clip(numbers.counters, 0, top)
    loss = min(max(numbers.train_loss, 0.0), LOSS_RANGE) / LOSS_RANGE * top  # finite, as trained
    beyond += int((counters != numbers.counters).sum()) + (numbers.train_loss > LOSS_RANGE)
    return np.concatenate(
        [levels, counters.astype(np.uint64), np.array([round(loss)], np.uint64)]
    ), beyond


def _levels(
    values: Doubles, reach: float, top: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint64], int]:
    """Return the level of each value, and how many values were beyond the range."""
    if not np.isfinite(values).all():
        raise RunError("the update is not finite; lower train.learning_rate")
    beyond = int((np.abs(values) > reach).sum())
    exact = (np.clip(values, -reach, reach) + reach) * (top / (2 * reach))
    levels = np.floor(exact + rng.random(len(exact)))
    return np.minimum(levels, top).astype(np.uint64), beyond
