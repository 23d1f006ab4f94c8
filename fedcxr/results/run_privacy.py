"""What a run writes of the protection of the sites' patients, and of what it has cost."""

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    """A part of a file that holds more."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class SitePrivacy(_Part):
    """How a site's patients are protected, where the server knows how many there are."""

    site_id: str
    patients: int
    rate: float | None = None
    """q: with which probability a step takes a patient; None where there is none to train on."""
    steps: int | None = None
    """A round."""
    noise: float | None = None
    """σ: the noise's deviation over the clipping bound."""
    vae_steps: int = 0
    """Of each of its VAEs, with the same q and σ."""


class RunEpsilon(_Part):
    """The most that any site can have spent so far."""

    rdp: float
    prv: float | None


class RunPrivacy(_Part):
    """What protects the sites' patients."""

    level: str
    epsilon: float | None
    delta: float | None
    clip: float
    adaptive_clip: bool = False
    """Whether C begins at `clip` and follows the updates."""
    noise: float | None = None
    """σ of the whole run; of each site's own where patients are protected, see `sites`."""
    rate: float | None = None
    """With which probability a round asks a site, where sites are protected as a whole."""
    num_sites: int | None = None
    sites: tuple[SitePrivacy, ...] = ()
    """Empty where real sites do not say how many patients they have."""
    epsilon_among_sites: RunEpsilon | None = None
    """Under secure aggregation of sites: against one that takes part, and so knows who does."""
