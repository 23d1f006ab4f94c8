"""Which device to compute on, and how a GPU is kept to the same bits each time."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from fedcxr.errors import ConfigError

WORKER_DEVICE = "FEDCXR_WORKER_DEVICE"
"""Environment variable in which an engine gives a worker a GPU of its own, as in `cuda:1`."""


def resolve_device(wanted: str) -> str:
    """Return `cpu` or `cuda:N`; `auto` takes the first GPU where there is one.

    Raises:
        ConfigError: a GPU is asked for that is not there, or the name is none.
    """
    if wanted == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError as err:
        raise ConfigError(
            f"engine.device = {wanted!r}: expected auto, cpu, cuda or cuda:N."
        ) from err
    if device.type == "cpu":
        return "cpu"
    # torch keeps the number in a byte: cuda:999 comes back as cuda:-25
    if device.type != "cuda" or not 0 <= (device.index or 0) < torch.cuda.device_count():
        raise ConfigError(
            f"engine.device = {wanted!r}: this machine has "
            f"{torch.cuda.device_count()} CUDA devices. Use auto or cpu."
        )
    return f"cuda:{device.index or 0}"


def worker_device(wanted: str) -> str:
    """Return this process's device: `wanted`, or the GPU that the engine gave it.

    Raises:
        ConfigError: a GPU is asked for or given that is not there.
    """
    device = resolve_device(wanted)
    given = os.environ.get(WORKER_DEVICE)
    return resolve_device(given) if given and device != "cpu" else device


def check_gpus(client_gpus: Sequence[int]) -> None:
    """Raise ConfigError unless this machine has every GPU that the clients are given."""
    number = torch.cuda.device_count()
    missing = sorted({gpu for gpu in client_gpus if not 0 <= gpu < number})
    if missing:
        raise ConfigError(
            f"engine.client_gpus names {', '.join(f'GPU {gpu}' for gpu in missing)}; this machine "
            f"has {number} CUDA devices, numbered from 0. Name those, or leave client_gpus out."
        )


@contextmanager
def repeatable(device: str) -> Iterator[None]:
    """Let cuDNN choose only among algorithms that give the same bits each time.

    By its own default it may sum gradients in any order. It never times algorithms against one
    another here (`benchmark` stays off): the fastest can be another one today than yesterday.
    TF32 stays as torch has it, since it changes bits but not from run to run.
    """
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = before or device.startswith("cuda")
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


@contextmanager
def full_float32() -> Iterator[None]:
    """Let a GPU multiply float32 as such, not rounded to TF32's ten bits."""
    convolutions, products = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = convolutions
        torch.backends.cuda.matmul.allow_tf32 = products
