"""The configuration: frozen pydantic models, one file per section, read once at the door."""

from fedcxr.config.data import DataConfig, LabelPolicy, SyntheticConfig
from fedcxr.config.engine import EngineConfig
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.explain import ExplainConfig
from fedcxr.config.load import load_config, to_yaml
from fedcxr.config.model import ModelConfig
from fedcxr.config.partition import PartitionConfig
from fedcxr.config.server import ServerConfig
from fedcxr.config.train import AugmentConfig, TrainConfig

__all__ = [
    "AugmentConfig",
    "DataConfig",
    "EngineConfig",
    "ExperimentConfig",
    "ExplainConfig",
    "LabelPolicy",
    "ModelConfig",
    "PartitionConfig",
    "ServerConfig",
    "SyntheticConfig",
    "TrainConfig",
    "load_config",
    "to_yaml",
]
