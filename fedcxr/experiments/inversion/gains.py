"""From reconstructions to measures: each held against the best guess without an update.

Intervals are Student's t over the attacked images, which are of different patients; images that
were sought together, of one update or cohort, are taken as independent too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcxr.attacks.likeness import Floats, psnr, rank_of, ssim
from fedcxr.metrics.estimate import Estimate, Part, symmetric
from fedcxr.metrics.regime import clopper_pearson
from fedcxr.results.inversion import InvertedImage, Likeness, Reidentified
from fedcxr.results.score import Score

LEVEL = 0.95
FEWEST_CANDIDATES = 100
WHITE = 255.0


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """What reconstructions are held against: M training patients, P that the attacker knows."""

    candidates: Floats
    """(M, H, W) in [0, 1]."""
    public: Floats
    """(P, H, W)."""

    @classmethod
    def of(cls, pixels: NDArray[np.uint8], public: NDArray[np.uint8]) -> "Gallery":
        """Return it of stored images."""
        return cls(pixels / WHITE, public / WHITE)

    @property
    def mean(self) -> Floats:
        """(H, W) mean of what the attacker knows."""
        return np.asarray(self.public.mean(axis=0))

    def measure(self, found: Floats, own: int, *, number: int, mismatch: float) -> InvertedImage:
        """Return how alike a reconstruction is to the training image `own`, and what guesses are.

        Args:
            found: (H, W) in [0, 1].
            own: the true image, among the candidates.
            number: of the image, from 1.
            mismatch: of its update; nan = nothing was searched.
        """
        truth, mean = self.candidates[own], self.mean
        others = np.concatenate([np.delete(self.candidates, own, axis=0), self.public])
        return InvertedImage(
            number=number,
            mismatch=mismatch if math.isfinite(mismatch) else None,
            ssim=float(ssim(found, truth)),
            psnr=float(psnr(found, truth)),
            mean_ssim=float(ssim(mean, truth)),
            mean_psnr=float(psnr(mean, truth)),
            other_ssim=float(ssim(others, truth).max()),
            other_psnr=float(psnr(others, truth).max()),
            rank=rank_of(found, self.candidates, own, mean),
        )

    def nearest_other(self, own: int) -> Floats:
        """Return the image of another patient that is most alike to a training image, by SSIM."""
        others = np.concatenate([np.delete(self.candidates, own, axis=0), self.public])
        return np.asarray(others[int(ssim(others, self.candidates[own]).argmax())])


def ssim_gain(images: Sequence[InvertedImage]) -> Likeness:
    """Return SSIM over the images, and its paired gain over the best guess."""
    rows = [(each.ssim, each.mean_ssim, each.other_ssim) for each in images]
    return _likeness(np.array(rows))


def psnr_gain(images: Sequence[InvertedImage]) -> Likeness:
    """Return PSNR over the images, and its paired gain over the best guess."""
    rows = [(each.psnr, each.mean_psnr, each.other_psnr) for each in images]
    return _likeness(np.array(rows))


def reidentified(images: Sequence[InvertedImage], candidates: int) -> Reidentified:
    """Return how often the true image is the nearest of all candidates."""
    first = sum(each.rank == 1 for each in images)
    share = Score(
        value=first / len(images),
        ci=clopper_pearson(first, len(images), LEVEL),
    )
    if candidates < FEWEST_CANDIDATES:
        why = f"not estimable: {candidates} candidates, {FEWEST_CANDIDATES} are needed"
        share = Score(value=None, reason=why)
    return Reidentified(
        first=first,
        images=len(images),
        candidates=candidates,
        share=share,
        median_rank=float(np.median([each.rank for each in images])),
    )


def _likeness(rows: Floats) -> Likeness:
    """Return the means of (n, 3) reconstruction, mean image and other patient, and the gains."""
    found, mean = rows[:, 0], rows[:, 1]
    prior = rows[:, 1:].max(axis=1)
    return Likeness(
        found=_mean(found),
        prior=_mean(prior),
        gain=_mean(found - prior),
        gain_over_mean=_mean(found - mean),
    )


def _mean(values: Floats) -> Score:
    """Return the mean with Student's t interval."""
    value, num = float(values.mean()), len(values)
    if num < 2:
        return Score.of(Estimate(value, None, "1 image: an interval needs 2"))
    part = Part(float(values.var(ddof=1)) / num, num - 1.0)
    return Score.of(symmetric(value, (part,), LEVEL))
