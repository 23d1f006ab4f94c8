"""The one model of a worker process, overwritten whole for each client.

Building a DenseNet121 takes longer than copying 28 MB into one, so a process keeps a single model
and every client's parameters are copied over all of it, buffers included: nothing of the client
before is left.
"""

import gc
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn

from fedcxr.config.model import ModelConfig
from fedcxr.config.task import SiteTask, parse_task
from fedcxr.data.policies import num_outputs
from fedcxr.models.architectures import random_model
from fedcxr.parameters import ParameterSpec, spec_of
from fedcxr.schema import WireSchema, schema_of
from fedcxr.training.compiled import Forward, compile_network
from fedcxr.training.device import worker_device
from fedcxr.training.precision import Precision, arrange


@dataclass(frozen=True, slots=True)
class Worker:
    """A model on its device, with the rules of arithmetic that the server imposed."""

    model: nn.Module
    spec: ParameterSpec
    precision: Precision
    device: str
    full_batch: Forward | None = None
    """The model's forward pass, compiled for full batches; none = not asked for."""

    def schema(self, task: SiteTask) -> WireSchema:
        """Return what the task has this model's server and sites exchange."""
        return _schema(task.to_text(), self.spec)


def worker_for(task: SiteTask, threads: int) -> Worker:
    """Return this process's model for `task`, ready to compute with that many threads."""
    torch.set_num_threads(threads)
    precision = Precision(task.dtype, task.channels_last, "set by the server")
    outputs = num_outputs(task.policy, task.labels)
    is_grouped = task.batch_norm == "group"
    return _build(
        task.model.model_dump_json(), outputs, precision, task.device, task.compile, is_grouped
    )


def release() -> None:
    """Let go of the model and of what torch keeps of a GPU, so that another try has room."""
    _build.cache_clear()
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        torch.cuda.empty_cache()


@lru_cache(maxsize=4)
def _schema(task_text: str, spec: ParameterSpec) -> WireSchema:
    return schema_of(parse_task(task_text), spec)


@lru_cache(maxsize=1)
def _build(
    model_json: str,
    outputs: int,
    precision: Precision,
    device: str,
    compiled: bool,
    is_grouped: bool,
) -> Worker:
    # Starting weights come from the server, so a site needs neither the seed's nor ImageNet's.
    config = ModelConfig.model_validate_json(model_json)
    model = random_model(config, outputs, seed=0, group_norm=is_grouped)
    place = worker_device(device)
    if place != "cpu":
        torch.cuda.set_device(place)  # pinned memory would take a share of the first GPU otherwise
    arrange(model, precision, place)
    full_batch = compile_network(model) if compiled else None
    return Worker(model, spec_of(model), precision, place, full_batch)
