"""Which dtype and memory layout the arithmetic uses: chosen once per run, imposed on every client.

On a CPU with bf16 units, bf16 + channels_last was 2.2 times the default for densenet121; without
them it is slower, so `auto` times the pairs (`probe.py`) and keeps the answer per machine.
"""

from dataclasses import dataclass

import torch
from torch import nn

from fedcxr.config.engine import Dtype
from fedcxr.config.model import ModelConfig
from fedcxr.errors import ConfigError
from fedcxr.training.probe import GAIN_TO_SWITCH, PAIRS, Pair, time_pairs


@dataclass(frozen=True, slots=True)
class Precision:
    """The run's dtype and memory layout, and why."""

    dtype: Dtype
    """Of the forward pass under autocast; parameters, loss and optimiser stay float32."""
    channels_last: bool
    why: str


def resolve_precision(
    wanted: str, *, model: ModelConfig, batch_size: int, device: str, threads: int
) -> Precision:
    """Return the pair to use; the same machine answers the same, because the times are kept.

    Args:
        wanted: `auto` (fastest pair), `fp32` (its faster layout) or `bf16` (with channels_last).
        model: name and size; the weights do not matter.
        batch_size: images a step.
        device: `cpu`, `cuda` or `cuda:N`.
        threads: of one client.
    """
    if wanted == "bf16":
        return Precision("bf16", channels_last=True, why="asked for")
    if wanted not in ("auto", "fp32"):
        raise ConfigError(f"engine.precision: {wanted!r} is not one of auto, fp32, bf16.")
    if device.startswith("cuda"):
        return _on_cuda(wanted)
    times = time_pairs(model, batch_size=batch_size, threads=threads)
    return _choose(wanted, times)


def arrange(model: nn.Module, precision: Precision, device: str) -> None:
    """Move the model to the device and into the memory layout, in place."""
    layout = torch.channels_last if precision.channels_last else torch.contiguous_format
    model.to(device=device)
    model.to(memory_format=layout)  # type: ignore[call-overload]  # torch's stub lacks it


def autocast(precision: Precision, device: str) -> torch.autocast:
    """Return the context of a forward pass: bf16 where the precision says so."""
    kind = device.partition(":")[0]
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=precision.dtype == "bf16")


def _on_cuda(wanted: str) -> Precision:
    """Return a GPU's pair without timing: its units settle it."""
    if wanted == "auto" and torch.cuda.is_bf16_supported():
        return Precision("bf16", channels_last=True, why="the GPU has bf16 units")
    why = "asked for" if wanted == "fp32" else "the GPU has no bf16 units"
    return Precision("fp32", channels_last=True, why=why)


def _choose(wanted: str, times: dict[Pair, float]) -> Precision:
    """Return the fastest fp32 pair, or the bf16 one where it is clearly faster and allowed."""
    best = min((pair for pair in PAIRS if pair.dtype == "fp32"), key=lambda pair: times[pair])
    timings = ", ".join(f"{pair.name} {1000 * times[pair]:.1f} ms" for pair in PAIRS)
    bf16 = min((pair for pair in PAIRS if pair.dtype == "bf16"), key=lambda pair: times[pair])
    asked = "asked for; layout by probe"
    if wanted == "auto":
        faster = times[best] > GAIN_TO_SWITCH * times[bf16]
        best = bf16 if faster else best
        asked = f"bf16 is {'' if faster else 'not '}{GAIN_TO_SWITCH} times as fast by probe"
    return Precision(best.dtype, best.channels_last, why=f"{asked}: {timings} a step")
