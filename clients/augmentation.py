"""What a site trains on in a round: its real images, its VAE's samples, or both.

The VAE is made at the site before its first round, or anew every so many rounds. A site that cannot
have one trains without samples and says why, as a number (`vae-status`). What decides the bits is
named by a key, so a VAE that is there already is taken: a run that goes on after a crash trains on
the same samples.
"""

import hashlib
import json
import logging
import math
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from clients.resident_model import Worker
from clients.site import Site, SiteLocation, SiteSplit, open_site
from clients.vae_files import SHEET, KeptVae, VaeFiles, VaeKey
from clients.vae_sheet import sheet_rows
from fedcxr.config.task import SiteTask, parse_task
from fedcxr.config.train import TrainConfig
from fedcxr.config.vae import VAE_NUMBERS, VaeStatus
from fedcxr.errors import DivergedError
from fedcxr.models.base import CxrModel
from fedcxr.models.vae import vae_size
from fedcxr.parameters import Parameters
from fedcxr.seeding import derive_seed
from fedcxr.training.frozen_features import frozen_features
from fedcxr.training.pool import ImagePool, ImageSource
from fedcxr.training.reconstruction_error import reconstruction_errors
from fedcxr.training.sample_quality import RealImages, SampleQuality, judge_samples
from fedcxr.training.sample_sheet import write_sheet
from fedcxr.training.samples import SamplePlan, draw_samples, plan_samples
from fedcxr.training.transforms import Normalization
from fedcxr.training.vae import TrainedVae, VaeProgress, train_vae
from fedcxr.wire import Order

KEEP_EVERY_S = 30.0
"""Between two checkpoints of a VAE's training; how many there are changes no bit."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingImages:
    """What a site trains on in a round, and what it may say of its VAE."""

    pool: ImagePool
    numbers: Mapping[str, float]
    """By wire key: those that the site's owner lets out, in the round that made the VAE."""


def training_images(
    location: SiteLocation,
    site: Site,
    task: SiteTask,
    order: Order,
    *,
    target: NDArray[np.float32],
    given: Parameters,
    worker: Worker,
) -> TrainingImages:
    """Return what the site trains on in this round; its VAE is made where one is due.

    Args:
        location: the site's folders.
        site: its data.
        task: the run's.
        order: the round's.
        target: (N, L) of the site's training images in this round.
        given: the model that the server sent.
        worker: its model holds what the site starts the round from; it is only read.
    """
    real = ImageSource(site.images, site.train.rows, target)
    config = task.vae
    if not config.enabled:
        return TrainingImages(ImagePool((real,)), {})
    kept = _kept_or_made(location, site, task, order, given, worker)
    numbers = _allowed(location, task, kept.numbers) if kept.made_in == order.round_num else {}
    made = ImageSource(kept.samples, np.arange(len(kept.samples)), kept.target, is_real=False)
    pretrains = config.use == "pretrain"
    if not len(kept.samples) or (pretrains and order.round_num > config.pretrain_rounds):
        return TrainingImages(ImagePool((real,)), numbers)
    if pretrains:
        return TrainingImages(ImagePool((made,), idle=len(real.rows)), numbers)
    return TrainingImages(ImagePool((real, made)), numbers)


def train_config(task: SiteTask, pool: ImagePool) -> TrainConfig:
    """Return how the site trains in this round: under `vae.same_steps` as long as without samples.

    Args:
        task: the run's.
        pool: of the round.
    """
    train, size = task.train, task.train.batch_size
    own, all_of_them = (n // size + (n % size > 1) for n in (pool.num_real, len(pool)))
    if not (task.vae.enabled and task.vae.same_steps) or len(pool) == pool.num_real:
        return train
    steps = min(train.max_steps or 10**12, train.local_epochs * own)
    epochs = -(-steps // all_of_them)
    return train.model_copy(update={"local_epochs": max(1, epochs), "max_steps": max(1, steps)})


def _allowed(
    location: SiteLocation, task: SiteTask, numbers: Mapping[str, float]
) -> dict[str, float]:
    """Return the numbers that may leave: asked for, allowed by the site's owner, and finite."""
    asked = VAE_NUMBERS if task.vae.share is None else task.vae.share
    owner = VAE_NUMBERS if location.vae_numbers is None else location.vae_numbers
    return {
        name: number
        for name, number in numbers.items()
        if name in asked and name in owner and math.isfinite(number)
    }


def _kept_or_made(
    location: SiteLocation,
    site: Site,
    task: SiteTask,
    order: Order,
    given: Parameters,
    worker: Worker,
) -> KeptVae:
    """Return the site's VAE and samples of this round."""
    every, round_num = task.vae.every, order.round_num
    since = 1 if every is None else 1 + every * ((round_num - 1) // every)
    seed = derive_seed(task.seed, "vae", site.site_id, since)
    looks = task.vae.features == "classifier"
    digest = hashlib.sha256(f"{_data_digest(location, task.to_text())}{seed}".encode()).hexdigest()
    key = VaeKey(task.labels, digest, given.sha256() if looks else "")
    files = VaeFiles((location.own_images or location.state) / task.run)
    kept = files.find(key, since=since, round_num=round_num)
    if kept is None:
        kept = replace(_make(files, site, task, key, seed, worker), made_in=round_num)
        files.write(kept)
    return kept


def _make(
    files: VaeFiles, site: Site, task: SiteTask, key: VaeKey, seed: int, worker: Worker
) -> KeptVae:
    """Return a VAE and its samples, or what the site has instead."""
    plan = plan_samples(site.train.target, task.vae, task.labels, seed=seed)
    status = _why_none(files, site, task, plan)
    if status is VaeStatus.MADE:
        try:
            return _trained(files, site, task, key, seed, worker, plan)
        except DivergedError:
            log.exception("%s trains without samples", site.site_id)
            status = VaeStatus.DIVERGED
    log.warning("%s trains without samples: %s", site.site_id, status.name)
    numbers = {"vae-status": float(status), "vae-images": float(len(site.train.rows))}
    numbers["vae-samples"] = 0.0
    nothing = np.empty((0, *site.images.shape[1:]), np.uint8)
    return KeptVae(0, key, numbers, nothing, plan.target[:0], {})


def _why_none(files: VaeFiles, site: Site, task: SiteTask, plan: SamplePlan) -> VaeStatus:
    if len(site.train.rows) < task.vae.min_images:
        return VaeStatus.TOO_FEW_IMAGES
    if not len(plan):
        return VaeStatus.NO_POSITIVES
    files.folder.mkdir(parents=True, exist_ok=True)
    needed = 2 * len(plan) * task.model.image_size**2  # two generations
    return VaeStatus.NO_ROOM if shutil.disk_usage(files.folder).free < needed else VaeStatus.MADE


def _trained(
    files: VaeFiles,
    site: Site,
    task: SiteTask,
    key: VaeKey,
    seed: int,
    worker: Worker,
    plan: SamplePlan,
) -> KeptVae:
    size, device = vae_size(task.vae, task.model.image_size), worker.device
    train = task.train
    features = None
    if task.vae.features == "classifier":
        assert isinstance(worker.model, CxrModel)
        look = Normalization(train.normalization, train.mean, train.std)
        features = frozen_features(worker.model, look, task.model.image_size)
    vae = train_vae(
        _pool(site, site.train),
        _pool(site, site.val),
        task.vae,
        size_px=size,
        device=device,
        seed=seed,
        features=features,
        progress=files.read_progress(key),
        on_epoch=_keeper(files, key),
    )
    samples = draw_samples(
        vae.model,
        plan.target,
        size_px=size,
        image_size=task.model.image_size,
        device=device,
        seed=seed,
    )
    real, held_out = _real(site, site.train), _real(site, site.val)
    quality = judge_samples(
        samples, plan, real, held_out, task.labels, device=device, seed=derive_seed(seed, "judge")
    )
    if quality.is_copying:
        log.warning(
            "%s: the VAE's samples copy training images; more images, a smaller vae.latent or a "
            "larger vae.beta make that less likely, vae.refuse_copies drops them",
            site.site_id,
        )
    rows = sheet_rows(vae.model, held_out, samples, size_px=size, device=device)
    write_sheet(files.folder / SHEET, rows)
    errors = reconstruction_errors(vae.model, real, held_out, size_px=size, device=device)
    numbers = _numbers(vae, quality) | {"vae-images": float(len(real.rows))}
    numbers |= dict(zip(("vae-mse", "vae-mean-image-mse"), errors, strict=True))
    refused = np.zeros(len(plan), dtype=bool)
    if task.vae.refuse_copies and quality.copies is not None:
        refused = quality.copies
    elif task.vae.refuse_copies:
        log.warning("%s: too few validation images to look for copies", site.site_id)
    numbers |= {"vae-samples": float((~refused).sum())}
    # Without held-out images to compare with nobody knows how many there are.
    numbers["vae-refused"] = math.nan if quality.copies is None else float(refused.sum())
    weights = {name: tensor.cpu() for name, tensor in vae.model.state_dict().items()}
    return KeptVae(0, key, numbers, samples[~refused], plan.keep(~refused).target, weights)


def _numbers(vae: TrainedVae, quality: SampleQuality) -> dict[str, float]:
    """Return what is said of a VAE and its samples; nan where it is not known."""
    terms = vae.best.val or vae.best.train
    nothing = math.nan
    return {
        "vae-status": float(VaeStatus.MADE),
        "vae-epochs": float(len(vae.history)),
        "vae-elbo": terms.elbo,
        "vae-reconstruction": terms.reconstruction,
        "vae-kl": terms.kl,
        "vae-two-sample-accuracy": quality.two_sample_accuracy,
        "vae-two-sample-p": quality.two_sample_p,
        "vae-feature-distance": quality.feature_distance,
        "vae-feature-distance-real": quality.feature_distance_real,
        "vae-recognised": quality.recognised,
        "vae-copies": nothing if quality.copies is None else float(quality.copies.sum()),
        "vae-copy-p-pixel": quality.pixel.p_value if quality.pixel else nothing,
        "vae-copy-p-feature": quality.feature.p_value if quality.feature else nothing,
    }


def _keeper(files: VaeFiles, key: VaeKey) -> Callable[[VaeProgress], None]:
    """Return what keeps a training under way now and then."""
    last = time.monotonic()

    def keep(progress: VaeProgress) -> None:
        nonlocal last
        if time.monotonic() - last >= KEEP_EVERY_S:
            files.write_progress(key, progress)
            last = time.monotonic()

    return keep


def _pool(site: Site, split: SiteSplit) -> ImagePool:
    return ImagePool.of(site.images, split.rows, split.target)


def _real(site: Site, split: SiteSplit) -> RealImages:
    return RealImages(site.images, split.rows, split.target, split.patient)


@lru_cache(maxsize=256)
def _data_digest(location: SiteLocation, task_text: str) -> str:
    """Return what decides a site's VAE beside seed and model: images, targets, settings."""
    task = parse_task(task_text)
    site = open_site(location, task)
    sha = hashlib.sha256()
    for split in (site.train, site.val):
        for start in range(0, len(split.rows), 256):
            sha.update(np.ascontiguousarray(site.images[split.rows[start : start + 256]]).data)
        sha.update(split.target.tobytes())
    settings = task.vae.model_dump(mode="json", exclude={"share"})
    look = [task.train.normalization, task.train.mean, task.train.std]
    sha.update(json.dumps([settings, task.model.model_dump(mode="json"), look]).encode())
    return sha.hexdigest()
