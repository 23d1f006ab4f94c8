"""A site's VAE at 64 px against a plain PyTorch loop: training, and 1,000 samples.

The plain loop has the same network, batches, loss and fused Adam, goes through the validation
images after each epoch as early stopping does, and keeps nothing. Measured in turn, plain – ours –
plain, each plain figure the mean of before and after, on one thread (a client's own where sites are
more than cores) and on two.

    python -m benchmarks.vae            # three minutes
    python -m benchmarks.vae --short    # 20 s, one thread
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from benchmarks.result import Result, Row, Table, run_as_command, spread
from fedcxr.config.vae import VaeConfig
from fedcxr.models.vae import ConditionalVae, build_vae
from fedcxr.training.pool import ImagePool
from fedcxr.training.samples import draw_samples
from fedcxr.training.vae import train_vae
from fedcxr.training.vae_losses import gaussian_nll, kl_divergence

GOAL, GOAL_S = 0.9, 5.0
SIZE_PX, LABELS = 64, 14
TRAIN, VAL = 320, 64
SAMPLES, BATCH = 1000, 100
CONFIG = VaeConfig(enabled=True)


def measure(short: bool) -> Result:
    """Measure training and sampling on one thread, in the long form on two as well."""
    rows, lines, figures = [], [], {}
    before = torch.get_num_threads()
    for threads in (1,) if short else (1, 2):
        torch.set_num_threads(threads)
        epochs, repeats = (3, 1) if short else (12, 5)
        trained = in_turn(
            lambda n=epochs: train_plainly(n), lambda n=epochs: train_ours(n), repeats
        )
        sampled = in_turn(sample_plainly, sample_ours, repeats)
        of_threads = f"{threads} thread{'s' * (threads > 1)}"
        for what, found, number in (
            ("training", trained, epochs * TRAIN),
            ("sampling", sampled, SAMPLES),
        ):
            ratios = [plain / ours for plain, ours in found]
            ratio, rates = statistics.median(ratios), list(zip(*found, strict=True))
            met = None if short else ratio >= GOAL
            rows.append(
                Row(f"{what}, {of_threads}: ours ÷ plain", f"≥ {GOAL}", spread(ratios, 3), met)
            )
            lines.append(
                [what, of_threads, *(spread([number / s for s in each], 0) for each in rates)]
            )
            figures[f"{what}, {of_threads}"] = {"plain_s": rates[0], "ours_s": rates[1]}
        took = statistics.median([ours for _, ours in sampled])
        rows.append(
            Row(
                f"{SAMPLES:,} samples, {of_threads}",
                f"< {GOAL_S:.0f} s",
                f"{took:.2f} s",
                took < GOAL_S,
            )
        )
    torch.set_num_threads(before)
    return Result(
        name="vae",
        title="A site's VAE against a plain loop",
        command="python -m benchmarks.vae",
        short=short,
        rows=rows,
        tables=[Table("", ["images/s", "threads", "plain loop", "ours"], lines)],
        notes=NOTES,
        figures=figures,
    )


def in_turn(
    plain: Callable[[], float], ours: Callable[[], float], repeats: int
) -> list[tuple[float, float]]:
    """Return the seconds of both, after a try of each; plain ones are means of before and after."""
    plain()
    ours()
    found = []
    for _ in range(repeats):
        first, own, last = plain(), ours(), plain()
        found.append(((first + last) / 2, own))
    return found


def images(number: int, seed: int) -> NDArray[np.uint8]:
    """Return (number, S, S) made-up images."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (number, SIZE_PX, SIZE_PX), dtype=np.uint8)


def targets(number: int, seed: int) -> NDArray[np.float32]:
    """Return (number, L) made-up label vectors."""
    return np.random.default_rng(seed).integers(0, 2, (number, LABELS)).astype(np.float32)


def train_ours(epochs: int) -> float:
    """Return the seconds of a site's training."""
    train, val = (
        ImagePool.of(images(n, seed), np.arange(n), targets(n, seed))
        for seed, n in enumerate((TRAIN, VAL))
    )
    config = CONFIG.model_copy(update={"epochs": epochs, "patience": epochs})
    begun = time.perf_counter()
    train_vae(train, val, config, size_px=SIZE_PX, device="cpu", seed=0)
    return time.perf_counter() - begun


def train_plainly(epochs: int) -> float:
    """Return the seconds of the plain loop."""
    (stored, asked), (held, told) = (
        (torch.from_numpy(images(n, seed)), known(targets(n, seed)))
        for seed, n in enumerate((TRAIN, VAL))
    )
    begun = time.perf_counter()
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=CONFIG.learning_rate, fused=True)
    for epoch in range(1, 1 + epochs):
        weight = min(1.0, epoch / CONFIG.kl_warmup_epochs)
        model.train()
        for picked in torch.randperm(TRAIN).split(CONFIG.batch_size):
            loss = sum_of_terms(model, stored[picked], asked[picked], weight)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            for picked in torch.arange(VAL).split(CONFIG.batch_size):
                float(sum_of_terms(model, held[picked], told[picked], 1.0))
    return time.perf_counter() - begun


def sum_of_terms(
    model: ConditionalVae, stored: torch.Tensor, asked: torch.Tensor, weight: float
) -> torch.Tensor:
    """Return the loss of a batch of stored images (B, S, S)."""
    pixels = stored.unsqueeze(1).float() / 255.0
    made, codes, prior = model(pixels, asked, torch.randn(len(pixels), model.latent))
    error = gaussian_nll(F.mse_loss(made, pixels), SIZE_PX**2)
    return error + weight * kl_divergence(codes, prior)


def sample_ours() -> float:
    """Return the seconds of a site's drawing of samples."""
    model, target = network().eval(), targets(SAMPLES, 2)
    begun = time.perf_counter()
    draw_samples(model, target, size_px=SIZE_PX, image_size=SIZE_PX, device="cpu", seed=0)
    return time.perf_counter() - begun


def sample_plainly() -> float:
    """Return the seconds of the plain loop."""
    model, asked = network().eval(), known(targets(SAMPLES, 2))
    begun = time.perf_counter()
    with torch.inference_mode():
        for part in asked.split(BATCH):
            codes = model.expect(part).at(torch.randn(len(part), model.latent))
            (model.decode(codes, part) * 255).round().to(torch.uint8)
    return time.perf_counter() - begun


def network() -> ConditionalVae:
    """Return the network, with the same values every time."""
    return build_vae(CONFIG, size_px=SIZE_PX, num_labels=LABELS, seed=0)


def known(target: NDArray[np.float32]) -> torch.Tensor:
    """Return label vectors, all known, as a VAE is told them."""
    values = torch.from_numpy(target)
    return torch.cat([values, torch.ones_like(values)], dim=1)


NOTES = (
    f"{TRAIN} training and {VAL} validation images of {SIZE_PX} px, as a site of the quickstart "
    f"has; batches of {CONFIG.batch_size}, {CONFIG.width} channels and {CONFIG.latent} numbers of "
    "the code.",
    "Ours makes its batches through the image pool, keeps the weights of the best epoch and can go "
    "on after any; the plain loop does none of that.",
)


if __name__ == "__main__":
    run_as_command(measure, __doc__)
