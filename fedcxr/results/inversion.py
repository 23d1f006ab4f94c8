"""What gradient inversion made of a site's updates, for each way of protecting them."""

from pathlib import Path
from typing import Literal

from fedcxr.results.score import Score
from fedcxr.results.validation import read_typed
from fedcxr.section import Section

FILE = "result.json"
Measure = Literal["ssim", "psnr"]


class InvertedImage(Section):
    """One image that was attacked, under one protection."""

    number: int
    """Of the image, from 1."""
    mismatch: float | None
    """Of its update at the end of the search; None where nothing is searched."""
    ssim: float
    psnr: float
    """dB."""
    mean_ssim: float
    """Of the mean of the server's own radiographs."""
    mean_psnr: float
    other_ssim: float
    """Of the other patient's image that is most alike, chosen with knowledge of the true one."""
    other_psnr: float
    rank: int
    """At which place the true image is among the candidates nearest to the reconstruction."""


class Likeness(Section):
    """A measure over the images."""

    found: Score
    """Mean of the reconstructions."""
    prior: Score
    """Mean of the best guess without an update: the mean image or another patient's, whichever is
    more alike for the image."""
    gain: Score
    """Mean of the paired difference."""
    gain_over_mean: Score
    """The same over the mean image, the best guess that needs no knowledge of the true one."""


class Reidentified(Section):
    """How often the nearest training image is the true one."""

    first: int
    images: int
    candidates: int
    """Training patients among whom it is sought."""
    share: Score
    """With the exact interval."""
    median_rank: float


class Inversion(Section):
    """All of one protection."""

    protection: str
    title: str
    cohort: int
    """Sites whose updates are seen as a sum; 1 = the site's own is seen."""
    ssim: Likeness
    psnr: Likeness
    reidentified: Reidentified
    images: tuple[InvertedImage, ...]
    seconds: float

    @property
    def beats_prior(self) -> bool:
        """Whether the images are more alike than the best guess, with an interval above 0."""
        return any(
            each.gain.ci is not None and each.gain.ci[0] > 0 for each in (self.ssim, self.psnr)
        )


class LabelMix(Section):
    """What the gradient of the head's bias tells of a site's labels, under one protection."""

    protection: str
    title: str
    images: int
    """Of the update."""
    error: float
    """Mean over labels of the distance between told and true share of positives of the site."""
    prior_error: float
    """The same of the server's own validation patients' shares."""
    largest_error: float
    cohort: int = 1
    """Sites in what is seen."""
    cohort_error: float | None = None
    """As `error`, of the share of all these sites together; an older fedcxr did not tell it."""


class InversionResult(Section):
    """An attack on one site."""

    format: Literal[1] = 1
    fedcxr: str
    run: str
    """Empty = no run: synthetic data and the initial model."""
    is_synthetic: bool
    source: str
    model: str
    image_size: int
    parameters: int
    site: str
    round_num: int
    """Whose model the site was sent; 0 = the initial one."""
    crafted: bool
    """Whether its head was of random numbers, as a hostile server may send it."""
    method: Literal["cosine", "layers", "tokens"]
    per_update: int
    """Images of an update."""
    batch_size: int
    local_steps: int
    learning_rate: float
    steps: int
    """Of the search."""
    restarts: int
    statistics: float
    """Weight of batch-norm statistics, where they are sent."""
    clip: float
    noise: float
    public: int
    """Validation patients that the attacker knows."""
    level: float
    """Of the intervals."""
    inversions: tuple[Inversion, ...]
    label_mix: tuple[LabelMix, ...] = ()
    missing: tuple[str, ...] = ()
    """What belongs to it and was not done; a sentence each."""

    def of(self, protection: str) -> Inversion | None:
        """Return what was found under a protection, if it was attacked."""
        return next((each for each in self.inversions if each.protection == protection), None)


def read_inversion(folder: Path) -> InversionResult:
    """Return the result in an attack's folder.

    Raises:
        ArtefactError: there is none, or it is damaged.
    """
    return read_typed(folder / FILE, InversionResult, "Attack again: `fedcxr attack inversion`.")
