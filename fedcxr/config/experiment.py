"""The whole configuration of one run."""

from typing import Annotated

from pydantic import Field

from fedcxr.config.algorithm import AlgorithmConfig
from fedcxr.config.compare import CompareConfig
from fedcxr.config.data import DataConfig
from fedcxr.config.engine import EngineConfig
from fedcxr.config.explain import ExplainConfig
from fedcxr.config.flag import Flag
from fedcxr.config.model import ModelConfig
from fedcxr.config.partition import PartitionConfig
from fedcxr.config.paths import PathText
from fedcxr.config.privacy import PrivacyConfig
from fedcxr.config.server import ServerConfig
from fedcxr.config.track import TrackConfig
from fedcxr.config.train import TrainConfig
from fedcxr.config.vae import VaeConfig
from fedcxr.section import Section


class ExperimentConfig(Section):
    """Everything a run depends on; written into the run folder as `config.yaml`."""

    name: Annotated[str, Flag("Part of the run folder's name.")] = Field(
        default="quickstart", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
    )
    seed: Annotated[int, Flag("Root of all random streams.")] = Field(default=0, ge=0)
    runs_dir: Annotated[PathText, Flag("Where run folders go.")] = "runs"
    data: DataConfig = DataConfig()
    partition: PartitionConfig = PartitionConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    vae: VaeConfig = VaeConfig()
    algorithm: AlgorithmConfig = Field(default_factory=AlgorithmConfig)
    privacy: PrivacyConfig = PrivacyConfig()
    server: ServerConfig = ServerConfig()
    engine: EngineConfig = EngineConfig()
    explain: ExplainConfig = ExplainConfig()
    track: TrackConfig = TrackConfig()
    compare: CompareConfig = CompareConfig()
