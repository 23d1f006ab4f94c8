"""The arms on a data set from elsewhere: an endpoint of its own."""

from fedcxr.results.differences import Difference
from fedcxr.results.frozen import ExternalEndpoint
from fedcxr.results.score import Score
from fedcxr.section import Section


class ExternalArm(Section):
    """One way of training, scored on an external set."""

    name: str
    macro_auroc: Score
    macro_ap: Score
    macro_by_seed: tuple[float | None, ...]
    """Of each training, partition by partition."""
    by_label: dict[str, Score]
    """AUROC of every label that the set shares with the run."""


class ExternalResult(ExternalEndpoint):
    """All arms on one external set."""

    scored: int
    """Images, or studies."""
    arms: tuple[ExternalArm, ...]
    differences: tuple[Difference, ...]
    """The pairs of the protocol, each with its verdict on this set."""
