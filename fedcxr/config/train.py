"""How one site trains in one round."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from fedcxr.config.flag import Flag
from fedcxr.section import Section

NormalizationKind = Literal["preset", "image", "pooled"]


class AugmentConfig(Section):
    """Random views of a training image; all zero or off = none."""

    name: str = "views"
    """`views`, by the keys below, or a user's own augmentation in their place."""
    min_crop_area: float = Field(default=0.8, gt=0.0, le=1.0)
    """Smallest share of the image's area that the random resized crop keeps."""
    max_aspect: float = Field(default=1.1, ge=1.0, le=2.0)
    """Aspect ratio of the crop, drawn log-uniformly from [1/max_aspect, max_aspect]."""
    flip: float = Field(default=0.5, ge=0.0, le=1.0)
    """Probability of a horizontal flip."""
    max_rotation_deg: float = Field(default=7.0, ge=0.0, le=45.0)


class TrainConfig(Section):
    """Epochs, loss, optimiser and schedule of the sites.

    Loss, optimiser and schedule are entries of `fedcxr/training/`'s registries. A key that belongs
    to another entry than the chosen one must keep its default (`check_training`).
    """

    local_epochs: Annotated[PositiveInt, Flag("Epochs a round.")] = 1
    batch_size: Annotated[int, Flag("Images a step.")] = Field(default=32, ge=2, le=4096)
    loss: Annotated[str, Flag("bce, weighted_bce, pos_weighted_bce, focal, asymmetric.")] = "bce"
    """`bce`, `weighted_bce`, `pos_weighted_bce`, `focal`, `asymmetric`, or one that was added."""
    class_frequencies: Literal["own", "shared"] = "own"
    """`weighted_bce`, `pos_weighted_bce`: how often a label is positive, by the site's own known
    training targets, or by those of all sites, which then send their counts."""
    positive_share: tuple[Annotated[float, Field(ge=0.0, le=1.0)], ...] = ()
    """Under `class_frequencies: shared` N₊ ÷ N of each label; the server fills it in."""
    focal_gamma: float = Field(default=2.0, ge=0.0, le=10.0)
    """`focal`: exponent of the focusing factor (Lin et al. 2017, §3.2)."""
    focal_alpha: float | None = Field(default=None, gt=0.0, lt=1.0)
    """`focal`: weight of positives, 1 − alpha that of negatives; none = both 1."""
    asymmetric_gamma_neg: float = Field(default=4.0, ge=0.0, le=10.0)
    """`asymmetric`: focusing exponent of negatives (Ridnik et al. 2021, §3.1)."""
    asymmetric_gamma_pos: float = Field(default=1.0, ge=0.0, le=10.0)
    """`asymmetric`: focusing exponent of positives (the authors' code)."""
    asymmetric_clip: float = Field(default=0.05, ge=0.0, lt=1.0)
    """`asymmetric`: probability below which a negative costs nothing (Ridnik et al. 2021, §2.3)."""
    optimizer: Annotated[str, Flag("adam, adamw or sgd.")] = "adam"
    """`adam`, `adamw`, `sgd`, or one that was added."""
    learning_rate: Annotated[PositiveFloat, Flag("Of the optimiser, in the first round.")] = 1e-4
    """Of round 1, for Adam; the CheXpert paper's value (Irvin et al. 2019, §3.2)."""
    beta1: float = Field(default=0.9, ge=0.0, lt=1.0)
    """`adam`, `adamw`: decay of the mean gradient."""
    beta2: float = Field(default=0.999, ge=0.0, lt=1.0)
    """`adam`, `adamw`: decay of the mean squared gradient."""
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)
    """`sgd`: heavy-ball momentum, without dampening (He et al. 2016, §3.4); 0 = none."""
    weight_decay: NonNegativeFloat = 0.0
    """`adam`, `sgd`: L2 penalty in the gradient; `adamw`: share of the weight taken off in a step,
    times the learning rate."""
    moments: Literal["restart", "keep"] = "restart"
    """The optimiser's state at the start of a round: anew, or as the site's last round left it."""
    max_steps: PositiveInt | None = None
    """Most steps of one round at a site; none = all of its epochs."""
    lr_schedule: Annotated[str, Flag("constant, cosine, step or plateau.")] = "constant"
    """`constant`, `cosine`, `step`, `plateau`, or one that was added: the rate over the rounds."""
    lr_factor: float = Field(default=0.1, gt=0.0, lt=1.0)
    """`step`, `plateau`: what the rate is multiplied by (Rajpurkar et al. 2017, CheXNet, §2.1)."""
    lr_step: PositiveInt = 5
    """`step`: rounds of one rate; half of the default number of rounds."""
    lr_patience: PositiveInt = 1
    """`plateau`: rounds without a better validation macro AUROC until the rate falls (CheXNet)."""
    augment: AugmentConfig = AugmentConfig()
    normalization: Annotated[NormalizationKind, Flag()] = "preset"
    """`preset`: `mean` and `std` below; `image`: each image's own; `pooled`: over all sites."""
    mean: float = Field(default=0.449, ge=0.0, le=1.0)
    """Of pixels in [0, 1]: the mean of ImageNet's three channel means."""
    std: float = Field(default=0.226, gt=0.0, le=1.0)
    """Of pixels in [0, 1]: the mean of ImageNet's three channel deviations."""

    def steps(self, num_images: int) -> int:
        """Return the steps of a round on so many images; a last batch of one is dropped.

        >>> TrainConfig(batch_size=32, local_epochs=2).steps(65)
        4
        """
        whole, left = divmod(num_images, self.batch_size)
        found = max(1, self.local_epochs * (whole + (left > 1)))
        return min(self.max_steps, found) if self.max_steps else found
