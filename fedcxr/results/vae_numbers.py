"""What sites said of their VAEs and samples: numbers alone, and only those that their owners allow.

What a site did not say is None.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from fedcxr.config.vae import VaeStatus
from fedcxr.metrics.copying import COPY_LEVEL
from fedcxr.section import Section

_STATUS_WORDS = {
    VaeStatus.MADE: "trained on samples as well",
    VaeStatus.TOO_FEW_IMAGES: "had too few images for a VAE and trained without samples",
    VaeStatus.NO_POSITIVES: "had no positives of the labels to sample and trained without samples",
    VaeStatus.NO_ROOM: "had no room on its disk for samples and trained without them",
    VaeStatus.DIVERGED: "trained without samples: its VAE diverged; lower vae.learning_rate",
}


class VaeNumbers(Section):
    """One site's VAE, as the site tells of it; fields by wire key without `vae-`."""

    status: Literal[0, 1, 2, 3, 4] | None = None
    """See `VaeStatus`."""
    images: float | None = Field(default=None, ge=0)
    """Real training images behind it."""
    samples: float | None = Field(default=None, ge=0)
    """That are trained on."""
    refused: float | None = Field(default=None, ge=0)
    """Samples that were dropped as copies."""
    epochs: float | None = Field(default=None, ge=0)
    elbo: float | None = None
    """Of the site's validation images, nats an image; so the next two."""
    reconstruction: float | None = None
    kl: float | None = None
    mse: float | None = Field(default=None, ge=0)
    """Mean squared error of reconstructed validation images, pixels in [0, 1]."""
    mean_image_mse: float | None = Field(default=None, ge=0)
    """Of the mean training image in their place."""
    two_sample_accuracy: float | None = Field(default=None, ge=0, le=1)
    """Share of images that a classifier told right: real or sampled; ½ = by guessing."""
    two_sample_p: float | None = Field(default=None, ge=0, le=1)
    feature_distance: float | None = None
    """Kernel distance of samples to validation images, in the features of a small network that the
    site trained on its own images; no FID, and comparable within the site alone."""
    feature_distance_real: float | None = None
    """Of training to validation images, likewise."""
    recognised: float | None = Field(default=None, ge=0, le=1)
    """Macro AUROC of the findings that samples were made for, by a network trained on real images.
    """
    copies: float | None = Field(default=None, ge=0)
    """Samples nearer to a training image than 99 of 100 would be by chance."""
    copy_p_pixel: float | None = Field(default=None, ge=0, le=1)
    """Of the samples being nearer to training than to held-out patients, in pixels."""
    copy_p_feature: float | None = Field(default=None, ge=0, le=1)

    @classmethod
    def from_wire(cls, numbers: Mapping[str, float]) -> "VaeNumbers":
        """Return what a reply holds; `ValidationError` for a number out of its range."""
        prefix = "vae-"
        own = {key: value for key, value in numbers.items() if key.startswith(prefix)}
        tree: dict[str, Any] = {
            key.removeprefix(prefix).replace("-", "_"): value for key, value in own.items()
        }
        if "status" in tree and float(tree["status"]).is_integer():
            tree["status"] = int(tree["status"])
        return cls.model_validate(tree)

    @property
    def is_copying(self) -> bool:
        """Whether the samples copy training images, by what the site has said."""
        p_values = (self.copy_p_pixel, self.copy_p_feature)
        return any(p is not None and p <= COPY_LEVEL for p in p_values)

    def status_words(self) -> str:
        """Return what became of the VAE, as the end of a sentence about the site."""
        return (
            "said nothing of a VAE"
            if self.status is None
            else _STATUS_WORDS[VaeStatus(self.status)]
        )


class SiteVae(Section):
    """The newest VAE of a site."""

    site_id: str
    made_in: int
    """Round before whose training it was made."""
    numbers: VaeNumbers


def site_vaes(rounds: list[dict[str, Any]]) -> tuple[SiteVae, ...]:
    """Return each site's newest VAE from the lines of rounds.jsonl, by site id."""
    newest: dict[str, SiteVae] = {}
    for line in rounds:
        for row in line["sites"]:
            if "vae" in row:
                numbers = VaeNumbers.model_validate(row["vae"])
                newest[row["site_id"]] = SiteVae(
                    site_id=row["site_id"], made_in=line["round"], numbers=numbers
                )
    return tuple(newest[site_id] for site_id in sorted(newest))
