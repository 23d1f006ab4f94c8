"""The best plain PyTorch loop over cached images: no federation, nothing per client.

One model, fused Adam, full batches straight from the cache's memory map, with the normalisation,
augmentation, dtype, memory layout and ReLUs in place that a site's training has. It says `ready`
when it is warm, waits for a file to appear, so that several can start together, and prints one JSON
line with its images and the times of its start and end.

    python -m benchmarks.plain_loop --cache DIR --model densenet121 --image-size 64 \
        --batch-size 32 --images 1280 --threads 1 --dtype bf16 --channels-last --go FILE
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from fedcxr.config.model import ModelConfig
from fedcxr.config.train import TrainConfig
from fedcxr.data.cache.store import open_cache
from fedcxr.models.architectures import build_model
from fedcxr.training.batches import Batch, gather, on_device
from fedcxr.training.compiled import compile_network
from fedcxr.training.precision import Precision, arrange, autocast
from fedcxr.training.transforms import Normalization, augment, draw_views, normalize

WARM_UP_STEPS = 3
NUM_LABELS = 14
CONFIG = TrainConfig()
LONGEST_WAIT_S = 600.0


class Loop:
    """One network and its optimiser."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.device, self.size = args.device, args.batch_size
        self.precision = Precision(args.dtype, args.channels_last, "given")
        config = ModelConfig(name=args.model, image_size=args.image_size)
        model = build_model(config, NUM_LABELS, seed=0)
        arrange(model, self.precision, self.device)
        for module in model.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = True
        model.train()
        self.optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
        self.forward = compile_network(model) if args.compile else model
        self.images: NDArray[np.uint8] = open_cache(args.cache).images
        self.rng, self.generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
        self.target = torch.rand(self.size, NUM_LABELS, generator=self.generator).round()

    def run(self, num_steps: int) -> None:
        """Take so many steps of full batches, to the end of the last."""
        normalization = Normalization("preset", CONFIG.mean, CONFIG.std)
        for pixels, target, views in on_device(self._batches(num_steps), self.device):
            inputs = augment(normalize(pixels, normalization), views)
            with autocast(self.precision, self.device):
                logits = self.forward(inputs)
            loss = F.binary_cross_entropy_with_logits(logits.float(), target)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
        if self.device != "cpu":
            torch.cuda.synchronize(self.device)

    def _batches(self, num_steps: int) -> Iterator[Batch]:
        for _ in range(num_steps):
            rows = self.rng.integers(len(self.images), size=self.size)
            views = draw_views(self.size, CONFIG.augment, self.generator)
            yield gather(self.images, rows), self.target, views


def main() -> None:
    """Run the loop that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--image-size", type=int, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--images", type=int, required=True, help="A multiple of the batch size.")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--dtype", choices=["fp32", "bf16"], required=True)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--go", type=Path, required=True, help="The file to wait for.")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    loop = Loop(args)
    loop.run(WARM_UP_STEPS)
    print("ready", flush=True)
    _wait_for(args.go)
    begun = time.monotonic()
    loop.run(args.images // args.batch_size)
    ended = time.monotonic()
    images = args.images // args.batch_size * args.batch_size
    print(json.dumps({"images": images, "begun": begun, "ended": ended}), flush=True)


def _wait_for(file: Path) -> None:
    end = time.monotonic() + LONGEST_WAIT_S
    while not file.exists():
        if time.monotonic() > end:
            raise TimeoutError(f"{file} did not appear in {LONGEST_WAIT_S:.0f} s")
        time.sleep(0.002)


if __name__ == "__main__":
    main()
