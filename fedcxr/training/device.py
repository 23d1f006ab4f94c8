"""Which device to compute on."""

import torch

from fedcxr.errors import ConfigError


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
    if device.type != "cuda" or (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"engine.device = {wanted!r}: this machine has "
            f"{torch.cuda.device_count()} CUDA devices. Use auto or cpu."
        )
    return f"cuda:{device.index or 0}"
