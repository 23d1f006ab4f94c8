"""Bounds for single labels that hold together, given after the verdict about their mean.

The labels are tested only where the mean over them was shown to be non-inferior: the verdict is the
gatekeeper, so that it keeps its whole level, and the labels share theirs by Holm's rule. The bounds
are those that fit it: with at least the confidence asked for none of the true differences lies
below its bound, and a label is shown to be non-inferior where its bound is at least minus the
margin. Where not all are shown to be, a label that is has minus the margin itself for its bound:
what it might have had beyond is spent on the others.

Sources: Holm 1979, Scandinavian Journal of Statistics 6, 65-70; Westfall and Krishen 2001, Journal
of Statistical Planning and Inference 99, 25-40 (gatekeeping); Strassburger and Bretz 2008,
Statistics in Medicine 27, 4914-4927 (bounds).
"""

import math
from collections.abc import Sequence

from fedcxr.metrics.estimate import Estimate, half_width


def holm_lower_bounds(found: Sequence[Estimate], margin: float, level: float) -> list[float]:
    """Return a lower bound for each difference, nan for one without an interval, which is no test.

    Args:
        found: differences, label by label.
        margin: positive.
        level: of two-sided intervals; the bounds hold together at (1 + level) / 2.

    >>> from fedcxr.metrics.estimate import Part, symmetric
    >>> good, bad = (symmetric(value, (Part(1e-4, math.inf),), 0.95) for value in (0.02, -0.02))
    >>> [round(bound, 4) for bound in holm_lower_bounds([good], 0.01, 0.95)]  # 0.02 - 1.96 · 0.01
    [0.0004]
    >>> [round(bound, 4) for bound in holm_lower_bounds([good, bad], 0.01, 0.95)]
    [-0.01, -0.0396]
    """
    tested = [place for place, each in enumerate(found) if each.parts]
    # Holm's steps, all at once that pass with as many left: so few more can only make it easier
    left = list(tested)
    while left:
        bounds = {place: _bound(found[place], level, len(left)) for place in left}
        held = [place for place in left if bounds[place] > -margin]
        if not held:
            break
        left = [place for place in left if place not in held]
    result = [math.nan] * len(found)
    for place in tested:
        if place in left:
            result[place] = _bound(found[place], level, len(left))
        elif left:
            result[place] = -margin
        else:
            result[place] = max(-margin, _bound(found[place], level, len(tested)))
    return result


def _bound(found: Estimate, level: float, sharing: int) -> float:
    """Return the lower bound of one of so many that share the level."""
    own = 1 - (1 - level) / sharing
    return found.value - half_width(found.parts, own)
