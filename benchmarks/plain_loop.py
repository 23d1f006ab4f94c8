"""The best plain PyTorch loop over cached images: no federation, nothing per client.

One model, fused Adam, the same normalisation, augmentation, dtype and memory layout as a site's
training, straight from the cache's memory map. Prints one JSON line with its images and seconds;
waits for a line on standard input before it starts, so that two can start together.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from fedcxr.config.model import ModelConfig
from fedcxr.config.train import TrainConfig
from fedcxr.data.cache.store import open_cache
from fedcxr.models.registry import build_model
from fedcxr.training.precision import Precision, arrange, autocast
from fedcxr.training.transforms import Normalization, augment, normalize

WARM_UP_STEPS = 3


def main() -> None:
    """Run the loop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--image-size", type=int, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--dtype", choices=["fp32", "bf16"], required=True)
    parser.add_argument("--channels-last", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    precision = Precision(args.dtype, args.channels_last, "given")
    model = build_model(ModelConfig(name=args.model, image_size=args.image_size), 14, seed=0)
    arrange(model, precision, "cpu")
    images, size = open_cache(args.cache).images, args.batch_size
    order = np.random.default_rng(0).integers(len(images), size=args.images + WARM_UP_STEPS * size)
    target = torch.rand(size, 14, generator=torch.Generator().manual_seed(0)).round()
    config, generator = TrainConfig(), torch.Generator().manual_seed(0)
    normalization = Normalization("preset", config.mean, config.std)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    model.train()

    def step(rows: np.ndarray) -> None:
        inputs = normalize(torch.from_numpy(images[rows]), normalization)
        inputs = augment(inputs, config.augment, generator)
        with autocast(precision, "cpu"):
            logits = model(inputs)
        loss = F.binary_cross_entropy_with_logits(logits.float(), target[: len(rows)])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    for start in range(0, WARM_UP_STEPS * size, size):
        step(order[start : start + size])
    print("ready", flush=True)
    sys.stdin.readline()
    begun = time.time()
    for start in range(WARM_UP_STEPS * size, len(order), size):
        step(order[start : start + size])
    print(json.dumps({"images": args.images, "begun": begun, "ended": time.time()}), flush=True)


if __name__ == "__main__":
    main()
