"""What a run promises of its patients or its sites, and at which price."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from fedcxr.config.flag import Flag
from fedcxr.section import Section

PrivacyLevel = Literal["none", "patient", "client", "update"]


class PrivacyConfig(Section):
    """Differential privacy: of whom, and how much noise."""

    level: Annotated[PrivacyLevel, Flag("Who is protected: {choices}.", name="--privacy")] = "none"
    """`patient`: each patient of a site against whoever sees its updates (DP-SGD at the site);
    `client`: each site as a whole against whoever sees the models, not against the server;
    `update`: each site's update as a whole against the server too (noise at the site)."""
    epsilon: Annotated[PositiveFloat | None, Flag("Budget over all rounds; sets the noise.")] = None
    """ε that no site may exceed; the noise follows from it. One of `epsilon` and `noise`."""
    noise: Annotated[PositiveFloat | None, Flag("Noise over the clipping bound.")] = None
    """σ: the deviation of the noise over `clip`; ε follows from it."""
    delta: Annotated[float | None, Flag("Below 1/patients, or 1/sites.")] = Field(
        default=None, gt=0.0, lt=1.0
    )
    """δ; none = a tenth of 1/patients of the smallest site (or of 1/sites)."""
    clip: Annotated[PositiveFloat, Flag("Largest norm of what one contributes.")] = 1.0
    """C: a patient's gradient, or a site's update, is shortened to this L2 norm."""
    adaptive_clip: bool = False
    """`client`: C begins at `clip` and follows the median length of the updates (Andrew et al.
    2021)."""
    physical_batch: PositiveInt = 32
    """`patient`: images whose gradients are in memory at once; changes no result beyond rounding.
    """
