"""Where a run's numbers go beside its own folder: experiment trackers, at the server only."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from fedcxr.config.flag import Flag
from fedcxr.config.paths import PathText
from fedcxr.section import Section


class TrackConfig(Section):
    """The trackers that are told of a run; none = its folder alone."""

    tensorboard: Annotated[
        PathText | None, Flag("TensorBoard's event files, a folder a run below this.", is_path=True)
    ] = None
    mlflow: Annotated[str | None, Flag("Tracking URI of MLflow.")] = Field(
        default=None, min_length=1
    )
    """As `http://HOST:PORT` or `sqlite:///FILE`; who logs in does so by MLflow's own environment
    variables."""
    wandb: Annotated[str | None, Flag("Project of Weights & Biases.")] = Field(
        default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
    )
    own: Annotated[tuple[str, ...], Flag("package.module:Name.", name="--tracker")] = ()
    """Trackers of your own (`fedcxr/trackers/protocol.py`), also by entry points
    (`fedcxr.trackers`)."""

    @field_validator("mlflow")
    @classmethod
    def _without_password(cls, uri: str | None) -> str | None:
        """Refuse an address with a password: the configuration is written into the run folder."""
        if uri is not None and "@" in urlsplit(uri).netloc:
            raise ValueError(
                "holds a name or a password, and is written into the run folder; give them as "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )
        return uri
