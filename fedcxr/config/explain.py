"""What is shown of where the model looks."""

from pydantic import Field, PositiveInt

from fedcxr.section import Section


class ExplainConfig(Section):
    """Heat maps after training."""

    methods: tuple[str, ...] = Field(default=("gradcam", "cam"), min_length=1)
    """Scored against known boxes; overlays are of the first. Those that do not fit the network are
    left out, and the report says so."""
    labels: PositiveInt = 4
    """Overlays are made for this many labels, those with the highest AUROC."""
    images_per_outcome: int = Field(default=2, ge=0, le=20)
    """True positives, false positives and misses shown for each such label."""
    max_boxes: int = Field(default=400, ge=0)
    """Most boxes scored for the hit rate, drawn by seed."""
