"""What speaks against an arm having been trained as well as the others: facts, no sentences.

When each is given: `fedcxr/experiments/compare/fairness.py`.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from fedcxr.section import Section


class BestRoundIsLast(Section):
    """The round with the best macro AUROC on val is the last: it might have become better still."""

    kind: Literal["best-round-is-last"] = "best-round-is-last"
    arm: str
    trainings: int
    """In how many of its trainings."""
    of_trainings: int


class RateAtEdge(Section):
    """The learning rate that did best is the lowest or highest tried: the best may lie beyond."""

    kind: Literal["rate-at-edge"] = "rate-at-edge"
    arm: str
    rate: float
    edge: Literal["lowest", "highest"]
    rates: tuple[float, ...]
    """All that were tried, rising."""


class StillRising(Section):
    """The macro AUROC on val was still rising at the end."""

    kind: Literal["still-rising"] = "still-rising"
    arm: str
    trainings: int
    slope: float
    """AUROC a round over the last third of the rounds, mean over the trainings."""
    gain: float
    """AUROC that another third at this pace would add, mean over the trainings."""
    threshold: float
    """The largest gain that is let pass."""


FairnessWarning: TypeAlias = Annotated[
    BestRoundIsLast | RateAtEdge | StillRising, Field(discriminator="kind")
]
