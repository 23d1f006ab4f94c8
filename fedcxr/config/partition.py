"""How patients are given to splits and sites."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from fedcxr.config.section import Section


class PartitionConfig(Section):
    """Whole patients to global val and test, then to sites."""

    folder: str | None = None
    """A partition folder made before, used as it is."""
    clients: PositiveInt = Field(default=5, le=10_000)
    scheme: Literal["iid", "dirichlet"] = "iid"
    alpha: PositiveFloat = 0.5
    """Concentration of the Dirichlet scheme: small = sites differ more in their labels."""
    val_fraction: float = Field(default=0.10, gt=0.0, lt=0.5)
    """Patients of the train split that the server keeps for choosing the round."""
    test_fraction: float = Field(default=0.20, gt=0.0, lt=0.5)
    """Patients held out where the data set has no official test set."""
    site_val_fraction: float = Field(default=0.10, ge=0.0, lt=0.5)
    """Patients of each site that the site keeps for its own validation."""
