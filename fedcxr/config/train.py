"""How one site trains in one round."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from fedcxr.config.flag import Flag
from fedcxr.section import Section

NormalizationKind = Literal["preset", "image", "pooled"]


class AugmentConfig(Section):
    """Random views of a training image; all zero or off = none."""

    min_crop_area: float = Field(default=0.8, gt=0.0, le=1.0)
    """Smallest share of the image's area that the random resized crop keeps."""
    max_aspect: float = Field(default=1.1, ge=1.0, le=2.0)
    """Aspect ratio of the crop, drawn log-uniformly from [1/max_aspect, max_aspect]."""
    flip: float = Field(default=0.5, ge=0.0, le=1.0)
    """Probability of a horizontal flip."""
    max_rotation_deg: float = Field(default=7.0, ge=0.0, le=45.0)


class TrainConfig(Section):
    """Adam on the binary cross-entropy of the known labels."""

    local_epochs: Annotated[PositiveInt, Flag("Epochs a round.")] = 1
    batch_size: Annotated[int, Flag("Images a step.")] = Field(default=32, ge=2, le=4096)
    learning_rate: Annotated[PositiveFloat, Flag("Of Adam.")] = 1e-4
    """Adam; the CheXpert paper's value (Irvin et al. 2019, §3.2)."""
    beta1: float = Field(default=0.9, ge=0.0, lt=1.0)
    beta2: float = Field(default=0.999, ge=0.0, lt=1.0)
    weight_decay: NonNegativeFloat = 0.0
    moments: Literal["restart", "keep"] = "restart"
    """Adam's moments at the start of a round: anew, or as the site's last round left them."""
    max_steps: PositiveInt | None = None
    """Most steps of one round at a site; none = all of its epochs."""
    lr_schedule: Literal["constant", "cosine"] = "constant"
    """`cosine` lowers the rate over the rounds to a twentieth of its start."""
    augment: AugmentConfig = AugmentConfig()
    normalization: Annotated[NormalizationKind, Flag()] = "preset"
    """`preset`: `mean` and `std` below; `image`: each image's own; `pooled`: over all sites."""
    mean: float = Field(default=0.449, ge=0.0, le=1.0)
    """Of pixels in [0, 1]: the mean of ImageNet's three channel means."""
    std: float = Field(default=0.226, gt=0.0, le=1.0)
    """Of pixels in [0, 1]: the mean of ImageNet's three channel deviations."""
