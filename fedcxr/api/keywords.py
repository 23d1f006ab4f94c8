"""The keywords of the verbs, for type checkers and editors.

Made of the configuration's flags by `tests/fedcxr/api/test_keywords.py`; not to be edited.
"""

from collections.abc import Sequence
from os import PathLike
from typing import TypedDict

AnyPath = str | PathLike[str]


class SimulateKeywords(TypedDict, total=False):
    """Of `fedcxr.simulate`."""

    name: str | None
    seed: int | None
    runs_dir: AnyPath | None
    data: AnyPath | Sequence[AnyPath] | None
    views: str | None
    labels: str | Sequence[str] | None
    task: str | None
    label_table: str | None
    score_by: str | None
    uncertain: str | None
    accept_changed_data: bool | None
    follow_links: bool | None
    partition: AnyPath | None
    clients: int | None
    scheme: str | None
    alpha: float | None
    exponent: float | None
    attribute: str | None
    sites_file: AnyPath | None
    min_images: int | None
    min_positives: int | None
    folds: int | None
    fold: int | None
    model: object
    image_size: int | None
    weights: AnyPath | None
    local_epochs: int | None
    batch_size: int | None
    loss: object
    optimizer: object
    learning_rate: float | None
    lr_schedule: object
    normalization: str | None
    vae: bool | None
    vae_refuse_copies: bool | None
    algorithm: object
    privacy: str | None
    epsilon: float | None
    noise: float | None
    delta: float | None
    clip: float | None
    rounds: int | None
    stop_after: int | None
    fraction: float | None
    aggregator: object
    batch_norm: str | None
    codec: str | None
    topk: float | None
    secure_aggregation: bool | None
    engine: str | None
    workers: int | None
    threads_per_client: int | None
    device: str | None
    precision: str | None
    compile: bool | None
    client_gpus: str | int | Sequence[int] | None
    ray_address: str | None
    cpus_per_client: float | None
    gpus_per_client: float | None
    tensorboard: AnyPath | None
    mlflow: str | None
    wandb: str | None
    tracker: object


class CompareKeywords(TypedDict, total=False):
    """Of `fedcxr.compare`."""

    name: str | None
    seed: int | None
    runs_dir: AnyPath | None
    data: AnyPath | Sequence[AnyPath] | None
    views: str | None
    labels: str | Sequence[str] | None
    task: str | None
    label_table: str | None
    score_by: str | None
    uncertain: str | None
    accept_changed_data: bool | None
    follow_links: bool | None
    partition: AnyPath | None
    clients: int | None
    scheme: str | None
    alpha: float | None
    exponent: float | None
    attribute: str | None
    sites_file: AnyPath | None
    min_images: int | None
    min_positives: int | None
    folds: int | None
    fold: int | None
    model: object
    image_size: int | None
    weights: AnyPath | None
    local_epochs: int | None
    batch_size: int | None
    loss: object
    optimizer: object
    learning_rate: float | None
    lr_schedule: object
    normalization: str | None
    vae: bool | None
    vae_refuse_copies: bool | None
    algorithm: object
    privacy: str | None
    epsilon: float | None
    noise: float | None
    delta: float | None
    clip: float | None
    rounds: int | None
    stop_after: int | None
    fraction: float | None
    aggregator: object
    batch_norm: str | None
    codec: str | None
    topk: float | None
    secure_aggregation: bool | None
    engine: str | None
    workers: int | None
    threads_per_client: int | None
    device: str | None
    precision: str | None
    compile: bool | None
    client_gpus: str | int | Sequence[int] | None
    ray_address: str | None
    cpus_per_client: float | None
    gpus_per_client: float | None
    tensorboard: AnyPath | None
    mlflow: str | None
    wandb: str | None
    tracker: object
    arms: str | Sequence[str] | None
    augmentations: str | Sequence[str] | None
    models: str | Sequence[str] | None
    seeds: int | None
    partitions: int | None
    external: AnyPath | Sequence[AnyPath] | None
    margin: float | None
    primary_labels: str | Sequence[str] | None
    learning_rates: str | float | Sequence[float] | None
    at_once: int | None


class PartitionKeywords(TypedDict, total=False):
    """Of `fedcxr.partition`."""

    data: AnyPath | Sequence[AnyPath] | None
    seed: int | None
    views: str | None
    labels: str | Sequence[str] | None
    task: str | None
    label_table: str | None
    follow_links: bool | None
    clients: int | None
    scheme: str | None
    alpha: float | None
    exponent: float | None
    attribute: str | None
    sites_file: AnyPath | None
    min_images: int | None
    min_positives: int | None
    folds: int | None
    fold: int | None
