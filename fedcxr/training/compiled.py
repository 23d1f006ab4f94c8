"""`torch.compile` of the one network of a process, for full batches.

Off by default: on 2 cores densenet121 at 64 px took 126 to 181 s to compile, and then trained 1.04
times as fast in fp32 and 1.12 times in bf16, so that it pays after some 200,000 images of a client
process. There is one compile: the shape is that of a full batch, and a client's last, smaller batch
goes through the same parameters uncompiled. Predictions are never compiled. The compiled network's
last bits are not those of the plain one.
"""

import os
import shutil
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fedcxr.errors import ConfigError

Forward = Callable[[Tensor], Tensor]


def compile_network(model: nn.Module, backend: str | Callable[..., object] = "inductor") -> Forward:
    """Return the network's forward pass, compiled when it is first called; parameters are shared.

    Several processes that compile the same network find one another's graphs in torch's cache. For
    a GPU the compiler chooses among ways to sum by timing them, which would give other bits another
    day; its deterministic mode does not.
    """
    options: dict[str, Any] | None = {"deterministic": True} if backend == "inductor" else None
    forward: Forward = torch.compile(model, dynamic=False, backend=backend, options=options)
    return forward


def check_compile(device: str) -> None:
    """Raise ConfigError where `torch.compile` could not build its code for the device."""
    compilers = _compilers(device)
    if not any(shutil.which(name) for name in compilers):
        raise ConfigError(
            f"engine.compile: torch.compile needs a compiler, and {' or '.join(compilers)} "
            "is not there. Install it, or leave compile off."
        )
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.is_file():
        raise ConfigError(
            f"engine.compile: torch.compile needs Python's headers, and {header} is not there. "
            "Install them (python3-dev), or leave compile off."
        )


def _compilers(device: str) -> list[str]:
    """Return where torch's code generators look: C++ for a CPU, C for Triton's launchers."""
    if device.startswith("cuda"):
        named = os.environ.get("CC")
        return [named] if named else ["gcc", "clang"]
    return [os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")]
