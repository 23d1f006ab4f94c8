"""How much memory one client's training takes, and so how many clients can train at once.

On a CPU it is worked out from what a forward pass of two images keeps (`footprint.py`). On a GPU
one step is run and measured. Where sites train VAEs, the larger of the two trainings counts; where
patients are protected, the gradients of single images do. All this changes only how many clients
train at once, never a bit of the result.
"""

import logging
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from fedcxr.config.engine import Dtype
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.model import ModelConfig
from fedcxr.config.train import TrainConfig
from fedcxr.config.vae import VaeConfig
from fedcxr.models.architectures import random_model
from fedcxr.models.vae import build_vae, vae_size
from fedcxr.training.footprint import IMAGES, Footprint, footprint_of
from fedcxr.training.free_memory import free_bytes
from fedcxr.training.frozen_features import frozen_features
from fedcxr.training.loop import train_site
from fedcxr.training.pool import ImagePool
from fedcxr.training.precision import Precision, resolve_precision
from fedcxr.training.transforms import Normalization
from fedcxr.training.vae import train_vae

SHARE = 0.85
"""Of the free memory that clients may fill; the server's own evaluation needs some of the rest."""

_WORKSPACE = 1.35
"""A step's peak over its saved activations: gradients on the way back, reordered copies. Measured
on densenet_small and densenet121, fp32 and bf16, 32 to 224 px, batches of 4 to 128: 1.3 to 1.4."""
_FIXED = 40 << 20
"""Compiled operations and buffers of oneDNN after a few steps."""
_PROCESS = 400 << 20
"""What a worker process has for itself once it has imported torch and Flower; 382 MB measured."""
_GPU_CONTEXT = 1 << 30
"""What CUDA takes for each process besides torch's tensors: 626 MB on an H200, and some over."""
_USUAL_LABELS = 14
_PRIVATE_FIXED = 150 << 20
_PRIVATE_ACTIVATIONS = 3.5
_PRIVATE_GRADIENTS = 5
"""Copies that DP-SGD's step holds at its peak of a physical batch's activations and of its images'
gradients. Measured on densenet_small and densenet121, 64 and 224 px, physical batches of 4 to 128:
the estimate is 0.92 to 1.05 times the peak."""

_ALLOCATORS = re.compile(
    "DefaultCPUAllocator: (can't allocate|not enough) memory"
    "|CUDA error: out of memory|(CUDNN|CUBLAS)_STATUS_ALLOC_FAILED"
)
"""What torch's allocators and NVIDIA's libraries say in a plain RuntimeError."""

log = logging.getLogger(__name__)


def fit_workers(
    config: ExperimentConfig, wanted: int, *, device: str, client_gpus: Sequence[int] = ()
) -> int:
    """Return how many clients train at once: `wanted`, or as many as the free memory has room for.

    A number that the user gave (`engine.workers`, `engine.client_gpus`) is kept, with a warning.

    Args:
        config: the run's.
        wanted: clients at once by the number of cores, or the user's.
        device: resolved.
        client_gpus: worker n computes on GPU number client_gpus[n % len]; empty = all on `device`.
    """
    if wanted == 1:
        return 1
    if device == "cpu":
        room = _room_on_cpu(config, wanted)
    else:
        gpus = client_gpus or (torch.device(device).index or 0,)
        room = _room_on_gpus(config, wanted, gpus)
    if room >= wanted:
        return wanted
    if config.engine.workers is not None or client_gpus:
        log.warning(
            "%d clients at once are asked for, and the free memory has room for about %d; "
            "give --workers %d if they run out of it",
            wanted,
            room,
            room,
        )
        return wanted
    log.warning("the free memory has room for %d clients at once, not for %d", room, wanted)
    return room


def concurrency(wanted: int, need_bytes: int, free_bytes: int | None) -> int:
    """Return how many of the wanted clients fit into a share of the free memory, at least one.

    >>> concurrency(8, 10, 100), concurrency(8, 200, 100), concurrency(8, 10, None)
    (8, 1, 8)
    """
    if free_bytes is None:
        return wanted
    return max(1, min(wanted, int(SHARE * free_bytes) // need_bytes))


@lru_cache(maxsize=8)
def footprint(model: ModelConfig, num_labels: int = _USUAL_LABELS) -> Footprint:
    """Return what two images through the network show of its size; the weights do not matter."""
    network = random_model(model, num_labels, seed=0).train()
    return footprint_of(network, torch.zeros(IMAGES, 1, model.image_size, model.image_size))


@lru_cache(maxsize=8)
def vae_footprint(vae: VaeConfig, image_size: int, num_labels: int) -> Footprint:
    """Return likewise the size of a run's VAE."""
    size = vae_size(vae, image_size)
    network = build_vae(vae, size_px=size, num_labels=num_labels, seed=0).train()
    inputs = ((1, size, size), (2 * num_labels,), (vae.latent,))
    return footprint_of(network, *(torch.zeros(IMAGES, *shape) for shape in inputs))


def training_bytes(model: ModelConfig, num_labels: int, batch_size: int, dtype: Dtype) -> int:
    """Return an estimate of what training takes on a CPU at its peak, beside the process itself.

    Values, gradients and Adam's two moments are float32, and what other optimisers keep is counted
    as those two; under bf16 there is a bf16 copy of the
    values as well, and activations take half.
    """
    found = footprint(model, num_labels)
    half = dtype == "bf16"
    copies = 4 * 4 + 2 * half  # bytes a number
    kept = batch_size * (found.floats_per_image / (2 if half else 1) + found.others_per_image)
    return _FIXED + copies * found.trainable + int(_WORKSPACE * kept)


def private_bytes(model: ModelConfig, num_labels: int, physical_batch: int) -> int:
    """Return an estimate of what training by DP-SGD takes at its peak, beside the process itself.

    Args:
        model: of the classifier.
        num_labels: of its.
        physical_batch: images whose gradients are held at once.
    """
    found = footprint(model, num_labels)
    kept = _PRIVATE_ACTIVATIONS * (found.floats_per_image + found.others_per_image)
    each = kept + _PRIVATE_GRADIENTS * 4 * found.trainable
    return _PRIVATE_FIXED + 4 * 4 * found.trainable + int(physical_batch * each)


def vae_bytes(vae: VaeConfig, model: ModelConfig, num_labels: int) -> int:
    """Return an estimate of what training a site's VAE takes on a CPU, beside the process itself.

    The classifier is there meanwhile, its activations only where reconstructions are to look alike
    to it. After each epoch there are copies of the VAE's weights, of its best ones and of Adam's
    moments. What becomes of the samples is not counted: their number is the site's.
    """
    own, classifier = (
        vae_footprint(vae, model.image_size, num_labels),
        footprint(model, num_labels),
    )
    kept = own.floats_per_image + own.others_per_image
    if vae.features == "classifier":
        kept += classifier.floats_per_image + classifier.others_per_image
    numbers = 4 * 4 * classifier.trainable + 8 * 4 * own.trainable
    return _FIXED + numbers + int(_WORKSPACE * vae.batch_size * kept)


def measured_bytes(
    model: ModelConfig, num_labels: int, train: TrainConfig, *, precision: Precision, device: str
) -> int:
    """Return what one client takes of a GPU: a real step of a full batch, and CUDA's own share.

    Raises:
        torch.OutOfMemoryError: one step does not fit.
    """
    network = random_model(model, num_labels, seed=0)
    num, size = train.batch_size, model.image_size
    before = _reserved_before(device)
    train_site(
        network,
        ImagePool.of(
            np.zeros((num, size, size), np.uint8),
            np.arange(num),
            np.zeros((num, num_labels), np.float32),
        ),
        config=train.model_copy(update={"local_epochs": 2}),
        learning_rate=train.learning_rate,
        normalization=Normalization("preset", train.mean, train.std),
        precision=precision,
        device=device,
        seed=0,
    )
    taken = torch.cuda.max_memory_reserved(device) - before
    del network
    torch.cuda.empty_cache()
    return taken + _GPU_CONTEXT


def measured_vae_bytes(vae: VaeConfig, model: ModelConfig, num_labels: int, *, device: str) -> int:
    """Return what training a site's VAE takes of a GPU: two epochs of a full batch, as above.

    Raises:
        torch.OutOfMemoryError: one step does not fit.
    """
    size = vae_size(vae, model.image_size)
    looks, features = Normalization("preset", 0.449, 0.226), None
    before = _reserved_before(device)
    if vae.features == "classifier":
        network = random_model(model, num_labels, seed=0).to(device)
        features = frozen_features(network, looks, model.image_size)
    blank = ImagePool.of(
        np.zeros((vae.batch_size, model.image_size, model.image_size), np.uint8),
        np.arange(vae.batch_size),
        np.zeros((vae.batch_size, num_labels), np.float32),
    )
    short = vae.model_copy(update={"epochs": 2})
    train_vae(blank, None, short, size_px=size, device=device, seed=0, features=features)
    taken = torch.cuda.max_memory_reserved(device) - before
    torch.cuda.empty_cache()
    return taken + _GPU_CONTEXT


def _reserved_before(device: str) -> int:
    """Return what torch has of a GPU now, from which on its peak is measured."""
    # The statistics of a GPU that nothing has used yet are an error of torch.
    torch.cuda.init()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_reserved(device)


def is_out_of_memory(err: BaseException) -> bool:
    """Return whether the error says that memory ran out, the processor's or a GPU's."""
    if isinstance(err, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(err, RuntimeError) and _ALLOCATORS.search(str(err)) is not None


def _room_on_cpu(config: ExperimentConfig, wanted: int) -> int:
    # Which dtype `auto` takes is known only after the probe of precision; fp32 takes more.
    dtype: Dtype = "bf16" if config.engine.precision == "bf16" else "fp32"
    num_labels = _num_labels(config)
    need = training_bytes(config.model, num_labels, config.train.batch_size, dtype)
    if config.privacy.level == "patient":
        need = private_bytes(config.model, num_labels, config.privacy.physical_batch)
    if config.vae.trains:
        need = max(need, vae_bytes(config.vae, config.model, num_labels))
    return concurrency(wanted, need + _PROCESS, free_bytes())


def _room_on_gpus(config: ExperimentConfig, wanted: int, gpus: Sequence[int]) -> int:
    """Return the largest number of workers, dealt to `gpus` in turn, that fits on each of them."""
    device, num_labels = f"cuda:{gpus[0]}", _num_labels(config)
    precision = resolve_precision(
        config.engine.precision,
        model=config.model,
        batch_size=config.train.batch_size,
        device=device,
        threads=1,
    )
    try:
        need = measured_bytes(
            config.model, num_labels, config.train, precision=precision, device=device
        )
        if config.privacy.level == "patient":  # worked out: not measured there yet
            need += private_bytes(config.model, num_labels, config.privacy.physical_batch)
        if config.vae.trains:
            of_vae = measured_vae_bytes(config.vae, config.model, num_labels, device=device)
            need = max(need, of_vae)
    except torch.OutOfMemoryError:
        return 1
    free = {gpu: torch.cuda.mem_get_info(gpu)[0] for gpu in set(gpus)}

    def fits(workers: int) -> bool:
        loads = Counter(gpus[n % len(gpus)] for n in range(workers))
        return all(concurrency(load, need, free[gpu]) == load for gpu, load in loads.items())

    return max((n for n in range(2, wanted + 1) if fits(n)), default=1)


def _num_labels(config: ExperimentConfig) -> int:
    return len(config.data.labels or ()) or _USUAL_LABELS
