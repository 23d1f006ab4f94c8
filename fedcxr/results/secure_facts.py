"""What a run's manifest says of secure aggregation: graph, threshold and quantiser."""

from pydantic import BaseModel, ConfigDict


class SecureFacts(BaseModel):
    """Of one run; what else the manifest says of it is for who reads that."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sites: int
    """That a round asks."""
    degree: int
    """Neighbours of each, with whom it shares masks."""
    threshold: int
    """Shares that open a secret."""
    fewest: int
    """Sites that must be in the sum."""
    privacy_failure: float
    """Probability that the order of the circle shows what should be hidden."""
    correctness_failure: float
    """Probability that a round ends without a sum though no more are silent than may be."""
    range: float
    """Beyond which a trained number's change is clipped."""
    step: float
    """Of the quantiser."""
