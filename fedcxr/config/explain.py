"""What is shown of where the model looks."""

from typing import Literal

from pydantic import Field, PositiveInt

from fedcxr.section import Section


class ExplainConfig(Section):
    """Heat maps after training."""

    methods: tuple[str, ...] = Field(default=("gradcam", "cam"), min_length=1)
    """Scored against known boxes; overlays are of the first. Those that do not fit the network are
    left out, and the report says so."""
    show: Literal["outcomes", "trust"] = "outcomes"
    """Overlays of true and false positives and misses; or of `trust`: convincing ones and
    unreliable ones, frontal and lateral (`fedcxr/explain/trust.py`)."""
    labels: PositiveInt = 4
    """Overlays are made for this many labels, those with the highest AUROC."""
    images_per_outcome: int = Field(default=2, ge=0, le=20)
    """Images of each kind shown for each such label; of `trust` also of each view."""
    max_boxes: int = Field(default=400, ge=0)
    """Most boxes scored for the hit rate, drawn by seed."""
