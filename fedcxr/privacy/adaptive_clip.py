"""A clipping bound that follows the length of the updates, by a count that is noised as well.

Of each round is counted how many updates are no longer than C. The count gets noise of its own, for
which the updates' noise is a little larger, so that both together cost what σ says. C then moves
towards the length that half of the updates have.

Source: Andrew et al. 2021, "Differentially private learning with adaptive clipping", algorithm 1
and theorem 1, with its quantile, rate and share of noise.
"""

import math

QUANTILE = 0.5
"""γ: which share of updates is to be no longer than C."""
RATE = 0.2
"""η: how fast C moves; exp(±0.1) a round at most, but for noise."""
COUNT_SHARE = 1 / 20
"""Of the expected sites: σ_b, the deviation of the noise in the count."""


def updates_noise(noise: float, expected: float) -> float | None:
    """Return z, the noise of the updates over C, that with the count's makes σ; None if none does.

    A site moves the count, to which it adds ½ or -½, by ½: its noise over that is 2σ_b.

    Args:
        noise: σ of both together.
        expected: sites in a round.

    >>> round(updates_noise(1.0, 100.0), 4)
    1.005
    """
    rest = noise**-2 - (2 * COUNT_SHARE * expected) ** -2
    return rest**-0.5 if rest > 0 else None


def next_clip(clip: float, surplus: float, expected: float) -> float:
    """Return C of the next round.

    Args:
        clip: of this one.
        surplus: the noised sum of ½ of each update no longer than C, and -½ of each longer one.
        expected: sites in a round.

    >>> round(next_clip(1.0, -5.0, 10.0), 4)
    1.1052
    """
    share = min(max(surplus / expected + 0.5, 0.0), 1.0)
    return clip * math.exp(-RATE * (share - QUANTILE))
