"""How long an update is once it is rounded, in whole numbers and so exactly.

A number at level k of K stands for (2k - K) R / K. Rounding moves each of T numbers by less than a
step, s = 2R / K, so an update of length L becomes one of length below L + √T s; clipping to ± R
only shortens. Under client-level privacy the noise is taken for C, and C bounds what is *summed*,
not what was trained. So a site shortens to C - √T s, rounds, and looks at the levels themselves.
"""

import math
from fractions import Fraction

import numpy as np

from fedcxr.errors import ConfigError
from fedcxr.secagg.quantise import Quantiser, Words

_SLICE = 1 << 16
"""Squares of 2**40 at most: their sum stays below 2**63."""
_SLACK = 2.0**-20
"""Of C, for the float32 numbers of a shortened update; the levels are looked at all the same."""


def length_before_rounding(quantiser: Quantiser, trained: int, longest: float) -> float:
    """Return to which length an update is shortened, so that rounded it is no longer than C.

    Args:
        quantiser: of the round.
        trained: T.
        longest: C.

    Raises:
        ConfigError: rounding alone may take more than half of C.
    """
    added = math.sqrt(trained) * quantiser.step
    if added > longest / 2:
        raise ConfigError(
            f"privacy.clip = {longest:g}: rounding {trained:,} numbers to steps of "
            f"{quantiser.step:.3g} may add {added:.3g} to an update's length, which is more than "
            f"half of it. Raise privacy.clip, or lower server.secure_range "
            f"({quantiser.trained_range:g})."
        )
    return (longest - added) * (1 - _SLACK)


def is_within(quantiser: Quantiser, levels: Words, longest: float) -> bool:
    """Return whether what levels stand for is no longer than C, without any rounding.

    Args:
        quantiser: of the round.
        levels: (T,) of one site of weight 1.
        longest: C.

    >>> quantiser = Quantiser(2, 1.5, 1.0, most_weight=3, sites=3)  # -1.5, -0.5, 0.5, 1.5
    >>> [is_within(quantiser, np.uint32([0, 1, 2]), longest) for longest in (1.66, 1.65)]  # √2.75
    [True, False]
    """
    top = quantiser.levels
    total = 0
    for start in range(0, len(levels), _SLICE):
        twice = 2 * levels[start : start + _SLICE].astype(np.int64) - top
        total += int(np.dot(twice, twice))
    return total * Fraction(quantiser.trained_range) ** 2 <= (Fraction(longest) * top) ** 2
