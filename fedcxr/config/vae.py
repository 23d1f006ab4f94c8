"""Each site's own variational auto-encoder, and what becomes of its samples."""

from enum import IntEnum
from typing import Annotated, Literal, get_args

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from fedcxr.config.flag import Flag
from fedcxr.section import Section

VaeNumber = Literal[
    "vae-status",
    "vae-images",
    "vae-samples",
    "vae-refused",
    "vae-epochs",
    "vae-elbo",
    "vae-reconstruction",
    "vae-kl",
    "vae-mse",
    "vae-mean-image-mse",
    "vae-two-sample-accuracy",
    "vae-two-sample-p",
    "vae-feature-distance",
    "vae-feature-distance-real",
    "vae-recognised",
    "vae-copies",
    "vae-copy-p-pixel",
    "vae-copy-p-feature",
]
"""Every number of a VAE that may leave a site, where the site's owner allows it."""
VAE_NUMBERS: tuple[VaeNumber, ...] = get_args(VaeNumber)


Added = Literal["vae", "copies", "classical"]
"""What is added to a site's real images: see `VaeConfig.added`."""


class VaeStatus(IntEnum):
    """What became of what a site was to add, its VAE's samples or a control: `vae-status`."""

    MADE = 0
    TOO_FEW_IMAGES = 1
    NO_POSITIVES = 2
    """Of any label that is to be sampled."""
    NO_ROOM = 3
    """On the site's disk, for the samples."""
    DIVERGED = 4


class VaeConfig(Section):
    """What each site's VAE is, how it is trained, and how its samples are used.

    Neither the VAE nor a sample ever leaves the site. In the mean over the sites real images alone
    count. Under `privacy.level: patient` it is trained by DP-SGD
    (`fedcxr/training/private_vae.py`).
    """

    enabled: Annotated[
        bool, Flag("Each site trains a VAE of its own and adds samples of it.", name="--vae")
    ] = False
    added: Added = "vae"
    """What is added: samples of the site's `vae`; or, to tell what those bring, as many real
    training images, those whose label vectors the samples would have: `copies` of them as they are,
    or `classical`, each seen once by a random view (`train.augment`) and stored. Neither trains a
    VAE."""
    every: PositiveInt | None = None
    """Rounds from one VAE to the next, each made anew; none = one, before the site's first round.
    """
    use: Literal["mix", "pretrain"] = "mix"
    """`mix`: samples among the real images, in every round; `pretrain`: samples alone in the first
    `pretrain_rounds` rounds, real images alone in those after."""
    pretrain_rounds: PositiveInt = 1
    labels: tuple[str, ...] = ()
    """Whose positives are sampled; none = every label that has a positive at the site. Those with
    the fewest positives come first, until `max_ratio` is reached."""
    samples_per_label: PositiveInt = Field(default=200, le=100_000)
    """Samples of each such label's positives; their label vectors are drawn from the site's own."""
    classes: Literal["positive", "both"] = "positive"
    """`both`: as many samples of each label's negatives besides, as a balanced binary task wants.
    """
    max_ratio: float = Field(default=1.0, gt=0.0, le=5.0)
    """Most samples for each real training image; under patient-level privacy for each patient."""
    same_steps: bool = True
    """A round takes as many steps as the site's real images alone would, so that what samples bring
    is not what more training brings; off = whole epochs over both."""
    size_px: int | None = Field(default=None, ge=32, le=256)
    """Side of what the VAE sees and makes, pixels: 4 to 7 times a power of 2, and a divisor of
    `model.image_size`, to which samples are enlarged; none = `model.image_size`."""
    latent: int = Field(default=16, ge=2, le=1024)
    """Numbers of the code of an image."""
    width: int = Field(default=16, ge=8, le=128)
    """Channels of the first convolution; each further one has twice as many, up to 8 times."""
    beta: PositiveFloat = 1.0
    """Weight of the KL divergence (Higgins et al. 2017)."""
    kl_warmup_epochs: NonNegativeInt = 10
    """Epochs over which that weight rises from 0 (Sønderby et al. 2016, §3.2)."""
    reconstruction: Literal["mse", "ssim"] = "mse"
    features: Literal["none", "classifier"] = "none"
    """`classifier`: reconstructions are to look alike to the network that the site is given in the
    round as well (Hou et al. 2017); with `model.weights: imagenet` in round 1 that is ImageNet's.
    """
    feature_weight: PositiveFloat = 0.1
    """Share of that term: 1 = as large as the pixels' at the beginning."""
    epochs: PositiveInt = Field(default=100, le=10_000)
    """Most epochs; under patient-level privacy so many, and all of them are paid for."""
    patience: PositiveInt = 10
    """Epochs without a better loss on the site's own validation patients until training ends."""
    batch_size: int = Field(default=32, ge=2, le=4096)
    learning_rate: PositiveFloat = 1e-3
    """Of Adam."""
    min_images: int = Field(default=100, ge=20)
    """Training images that a site's VAE needs: one of fewer learns them by heart. A site that has
    fewer trains without samples. Under patient-level privacy, training patients."""
    refuse_copies: Annotated[
        bool, Flag("Drop samples that copy a training image.", name="--vae-refuse-copies")
    ] = False
    """Drop the samples that lie nearer to a training image than chance explains."""
    share: tuple[VaeNumber, ...] | None = None
    """The numbers that a simulated site tells of its VAE; none = all. A real site's owner says so
    on the site's own machine (`vae-numbers` in the node config), and says none by default."""

    @property
    def trains(self) -> bool:
        """Whether sites train VAEs; controls of them train none."""
        return self.enabled and self.added == "vae"

    def is_made(self, round_num: int) -> bool:
        """Return whether a site that is in every round makes a VAE in this one.

        >>> [VaeConfig(enabled=True, every=2).is_made(number) for number in (1, 2, 3)]
        [True, False, True]
        """
        every = self.every or round_num
        return self.trains and (round_num - 1) % every == 0


OF_A_VAE = (
    "size_px",
    "latent",
    "width",
    "beta",
    "kl_warmup_epochs",
    "reconstruction",
    "features",
    "feature_weight",
    "epochs",
    "patience",
    "batch_size",
    "learning_rate",
    "refuse_copies",
)
"""Keys that act only where a VAE is trained, and not on copies of real images."""
