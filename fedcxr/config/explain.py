"""What is shown of where the model looks."""

from pydantic import Field, PositiveInt

from fedcxr.section import Section


class ExplainConfig(Section):
    """Grad-CAM after training."""

    labels: PositiveInt = 4
    """Overlays are made for this many labels, those with the highest AUROC."""
    images_per_outcome: int = Field(default=2, ge=0, le=20)
    """True positives, false positives and misses shown for each such label."""
    max_boxes: int = Field(default=400, ge=0)
    """Most boxes scored for the hit rate, drawn by seed."""
