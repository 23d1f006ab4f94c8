"""What a site must know to take part: the part of the configuration that travels with an order.

The server writes it once per run; a site checks it at its door like any foreign text. It holds no
path: a site knows its own data.
"""

import json
from functools import lru_cache

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError

from fedcxr.config.algorithm import AlgorithmConfig
from fedcxr.config.data import BlankPolicy, LabelPolicy
from fedcxr.config.engine import Dtype
from fedcxr.config.model import ModelConfig
from fedcxr.config.privacy import PrivacyConfig, PrivacyLevel
from fedcxr.config.server import BatchNorm, CodecName, NormPolicy
from fedcxr.config.train import TrainConfig
from fedcxr.config.vae import VaeConfig
from fedcxr.errors import ConfigError
from fedcxr.secagg.graph import FEWEST_SITES
from fedcxr.secagg.quantise import Quantiser, quantiser_for
from fedcxr.secagg.statement import checks_of
from fedcxr.section import Section


class PolicyConfig(Section):
    """What uncertain and blank labels become."""

    uncertain: LabelPolicy
    uncertain_by_label: dict[str, LabelPolicy]
    smooth_low: float = Field(ge=0.0, le=1.0)
    smooth_high: float = Field(ge=0.0, le=1.0)
    self_train_after: int = Field(ge=1)
    blank: BlankPolicy
    blank_by_label: dict[str, BlankPolicy]


class SecureTask(Section):
    """How a site's numbers become words of a sum; see `fedcxr/secagg/quantise.py`."""

    most_weight: PositiveInt
    """Training images that the sites of a round have together at most."""
    sites: int = Field(ge=FEWEST_SITES)
    """Sites of a round at most."""
    trained_range: PositiveFloat
    buffer_range: PositiveFloat
    norm_factor: float | None = Field(default=None, gt=1.0)
    """How many times as long as usual an update may be, by the site's own rounds before; none =
    however long."""
    norm_policy: NormPolicy = "refuse"

    def checks(self, level: PrivacyLevel) -> tuple[str, ...]:
        """Return the names of what a site checks of its own update, of a run at a level."""
        return checks_of(has_norm=self.norm_factor is not None, has_length=level == "client")

    @property
    def quantiser(self) -> Quantiser:
        """Return the quantiser; `ConfigError` where the weights leave it too few bits."""
        return quantiser_for(
            self.most_weight,
            self.sites,
            trained_range=self.trained_range,
            buffer_range=self.buffer_range,
        )


class SiteTask(Section):
    """The same for every site and every round of a run."""

    run: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    seed: int = Field(ge=0)
    labels: tuple[str, ...] = Field(min_length=1)
    policy: PolicyConfig
    model: ModelConfig
    train: TrainConfig
    privacy: PrivacyConfig = PrivacyConfig()
    rounds: PositiveInt = 1
    """Of the run, over which a privacy budget is spread."""
    vae: VaeConfig = VaeConfig()
    algorithm: AlgorithmConfig
    counts_known: bool
    """Whether a site counts the known training targets of each label, and sends the counts."""
    batch_norm: BatchNorm
    codec: CodecName
    topk: float = Field(gt=0.0, le=1.0)
    secure: SecureTask | None = None
    """Under secure aggregation; none = the server sees each site's update."""
    dtype: Dtype
    channels_last: bool
    compile: bool
    device: str
    max_bad_fraction: float = Field(ge=0.0, lt=1.0)

    def to_text(self) -> str:
        """Return the task as canonical JSON."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


@lru_cache(maxsize=4)
def parse_task(text: str) -> SiteTask:
    """Return the task in `text`; `ConfigError` if it is not one."""
    try:
        return SiteTask.model_validate_json(text)
    except ValidationError as err:
        raise ConfigError(
            f"The server's task has {err.error_count()} wrong fields; "
            "server and site must run the same fedcxr version."
        ) from err
