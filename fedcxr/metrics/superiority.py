"""Whether one way of training is better than another, and whether it could be by much.

The question of a study in which something is added to training. An interval wholly above 0 shows
that it helps, one wholly below 0 that it harms. One wholly below the smallest gain that would
matter shows that it does not help by so much; any other decides nothing.

Source: Piaggio et al. 2012, "Reporting of Noninferiority and Equivalence Randomized Trials", JAMA
308, 2594-2604, figure 1, read from the other side.
"""

from typing import Literal

from fedcxr.metrics.auroc import Interval

Question = Literal["non-inferiority", "superiority"]
"""What a comparison asks of an arm and the one that it is held against."""
DecidedGain = Literal["better", "no better", "worse", "inconclusive"]


def decide_gain(ci: Interval, margin: float) -> DecidedGain:
    """Return the word for an interval that is to be trusted.

    Args:
        ci: of the first arm's macro AUROC minus the second's.
        margin: the smallest gain that would matter, positive, fixed before training.

    >>> [decide_gain(ci, 0.01) for ci in ((0.001, 0.03), (-0.03, -0.001))]
    ['better', 'worse']
    >>> [decide_gain(ci, 0.01) for ci in ((-0.02, 0.009), (-0.001, 0.01))]
    ['no better', 'inconclusive']
    """
    low, high = ci
    if low > 0:
        return "better"
    if high < 0:
        return "worse"
    return "no better" if high < margin else "inconclusive"
