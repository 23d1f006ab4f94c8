"""Torch's global generators, lent to one user at a time.

Layers draw their first values, and dropout its masks, from torch's global generators: there is no
way to hand them another. So whoever needs such draws to follow from a seed takes the generators,
seeds them, and puts them back. Two threads of one process that did so at once would draw from one
another's stream: the second waits.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lent = threading.RLock()


@contextmanager
def seeded_generators(seed: int, device: str = "cpu") -> Iterator[None]:
    """Hold torch's global generators, seeded, and put them back as they were afterwards.

    Args:
        seed: of the draws in between.
        device: `cpu`, or a GPU whose generator is seeded as well.
    """
    gpus = [torch.device(device).index or 0] if device.startswith("cuda") else []
    with _lent, torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(seed)
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        yield
