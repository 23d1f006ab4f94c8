"""How long a training step takes in each pair of dtype and memory layout, measured and kept.

A few steps of each pair, taken in turn so that a busy moment hits all alike, and the median; two
steps are enough where no other choice is near.
Large images are stood in for by smaller ones: the ranking is the same, the wait is not.
"""

import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from fedcxr.atomic import write_text_atomically
from fedcxr.config.engine import Dtype
from fedcxr.config.model import ModelConfig
from fedcxr.cores import cores
from fedcxr.home import home_folder
from fedcxr.models.architectures import MODELS, random_model
from fedcxr.runs.versions import processor_name
from fedcxr.training.losses import masked_bce

_BUDGET_S = 1.2
"""Timed steps stop after this; the first, untimed ones come on top."""
_MAX_STEPS = 7
_CLEAR = 1.15
"""How far a ratio of two times must be from the point where the choice turns to be settled early:
the times of one machine differ by a tenth."""
GAIN_TO_SWITCH = 1.3
"""bf16 must be this much faster than fp32 before `auto` gives up the exacter arithmetic. The probes
of one machine differ by a tenth, and densenet_small gains that much: with a lower bar the default
run had one result today and another tomorrow."""
_MAX_SIZE_PX = 96
_FEW_PARAMETERS = 1_000_000
"""Below this a step takes more images, or fixed costs would decide."""
_NUM_LABELS = 14


@dataclass(frozen=True, slots=True)
class Pair:
    """A dtype with a memory layout."""

    dtype: Dtype
    channels_last: bool

    @property
    def name(self) -> str:
        """Return what the pair is called in files and messages."""
        return f"{self.dtype}+channels_last" if self.channels_last else self.dtype


PAIRS = (Pair("fp32", False), Pair("fp32", True), Pair("bf16", True))


def time_pairs(model: ModelConfig, *, batch_size: int, threads: int) -> dict[Pair, float]:
    """Return seconds a step on the CPU for each of `PAIRS`, from the kept file where it is there.

    Args:
        model: name and image size.
        batch_size: images a step.
        threads: of one client; torch's own number is put back afterwards.
    """
    path = home_folder() / "precision.json"
    key = _machine_key(model, batch_size, threads)
    kept = _read(path)
    if key not in kept:
        times = _measure(model, batch_size, threads)
        kept = {**_read(path), key: {pair.name: times[pair] for pair in PAIRS}}
        write_text_atomically(path, json.dumps(kept, indent=1, sort_keys=True))
    return {pair: kept[key][pair.name] for pair in PAIRS}


def _measure(model: ModelConfig, batch_size: int, threads: int) -> dict[Pair, float]:
    """Return the median step of each pair, after one step each that is not counted."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        bench = _Bench(model, batch_size)
        for pair in PAIRS:
            bench.step_s(pair)
        taken: dict[Pair, list[float]] = {pair: [] for pair in PAIRS}
        end = time.perf_counter() + _BUDGET_S
        while len(taken[PAIRS[0]]) < _MAX_STEPS:
            for pair in PAIRS:
                taken[pair].append(bench.step_s(pair))
            if time.perf_counter() > end or _is_settled(taken):
                break
        return {pair: statistics.median(seconds) for pair, seconds in taken.items()}
    finally:
        torch.set_num_threads(before)


def _is_settled(taken: dict[Pair, list[float]]) -> bool:
    """Return whether two steps or more say which layout fp32 takes and whether bf16 pays.

    >>> plain, last, half = PAIRS
    >>> _is_settled({plain: [0.20, 0.20], last: [0.14, 0.14], half: [0.08, 0.08]})
    True
    >>> _is_settled({plain: [0.20, 0.20], last: [0.14, 0.14], half: [0.11, 0.11]})
    False
    """
    if min(map(len, taken.values())) < 2:
        return False
    fp32 = sorted(statistics.median(taken[pair]) for pair in PAIRS if pair.dtype == "fp32")
    bf16 = min(statistics.median(taken[pair]) for pair in PAIRS if pair.dtype == "bf16")
    gain = fp32[0] / bf16 / GAIN_TO_SWITCH
    return fp32[-1] > _CLEAR * fp32[0] and max(gain, 1 / gain) > _CLEAR


class _Bench:
    """One model and one batch of made-up images, stepped in any pair.

    A step is forward and backward: an optimiser works on the same float32 values in every pair.
    """

    def __init__(self, config: ModelConfig, batch_size: int) -> None:
        size = min(config.image_size, _MAX_SIZE_PX)
        if MODELS.reference(config.name):
            size = config.image_size  # a user's own may take no other
        stand_in = config.model_copy(update={"image_size": size})
        self._model = random_model(stand_in, _NUM_LABELS, seed=0)
        small = sum(tensor.numel() for tensor in self._model.parameters()) < _FEW_PARAMETERS
        images = (32 if small else 8) * 64**2 // size**2
        shape = (max(2, min(batch_size, images)), 1, size, size)
        self._images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        self._target = torch.zeros(len(self._images), _NUM_LABELS)

    def step_s(self, pair: Pair) -> float:
        """Return the seconds of one forward and backward pass; moving the layout is not timed."""
        layout = torch.channels_last if pair.channels_last else torch.contiguous_format
        self._model.to(memory_format=layout)  # type: ignore[call-overload]  # torch's stub lacks it
        self._model.zero_grad(set_to_none=True)
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=pair.dtype == "bf16"):
            logits = self._model(self._images)
        masked_bce(logits.float(), self._target).backward()  # type: ignore[no-untyped-call]
        return time.perf_counter() - start


def _machine_key(model: ModelConfig, batch_size: int, threads: int) -> str:
    """Return what the times depend on, as one line."""
    parts = (
        processor_name(),
        f"{cores()} cores",
        torch.backends.cpu.get_cpu_capability(),
        f"torch {torch.__version__}",
        f"{threads} threads",
        f"{model.name} {model.image_size} px",
        f"batch {batch_size}",
    )
    return " | ".join(parts)


def _read(path: Path) -> dict[str, dict[str, float]]:
    """Return the kept times; nothing where the file is missing or damaged, for it can be remade."""
    try:
        kept = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(kept, dict):
        return {}
    names = {pair.name for pair in PAIRS}
    return {
        key: times
        for key, times in kept.items()
        if isinstance(times, dict)
        and names <= times.keys()
        and all(isinstance(value, int | float) for value in times.values())
    }
