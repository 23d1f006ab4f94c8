"""What a site trains on in a round: its real images, what is added to them, or both.

Added are the samples of a VAE, made at the site before its first round, or anew every so many
rounds; or, as a control, real images again. A site that cannot have a VAE trains without, also
where a control asks, and says why, as a number (`vae-status`). What decides the bits is named by a
key, so what is there already is taken: a run that goes on after a crash trains on the same images.
"""

import hashlib
import json
import logging
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from clients.resident_model import Worker
from clients.site import Site, SiteLocation, open_site
from clients.site_vae import make_vae
from clients.vae_files import KeptVae, VaeFiles, VaeKey
from fedcxr.config.task import SiteTask, parse_task
from fedcxr.config.train import TrainConfig
from fedcxr.config.vae import VAE_NUMBERS, VaeStatus
from fedcxr.errors import DivergedError
from fedcxr.parameters import Parameters
from fedcxr.training.controls import real_again
from fedcxr.training.pool import ImagePool, ImageSource
from fedcxr.training.samples import SamplePlan, plan_samples, plan_seed
from fedcxr.wire import Order

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingImages:
    """What a site trains on in a round, and what it may say of what was added."""

    pool: ImagePool
    numbers: Mapping[str, float]
    """By wire key: those that the site's owner lets out, in the round that made it."""


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
    """Return what the site trains on in this round; what is added is made where it is due.

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
    """Return what is added in this round, with the VAE where it is one's samples."""
    every, round_num = task.vae.every, order.round_num
    since = 1 if every is None else 1 + every * ((round_num - 1) // every)
    seed = plan_seed(task.seed, site.site_id, since)
    looks = task.vae.features == "classifier"
    digest = hashlib.sha256(f"{data_digest(location, task.to_text())}{seed}".encode()).hexdigest()
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
    """Return what is added to the site's real images; nothing where it cannot have a VAE."""
    plan = plan_samples(site.train.target, task.vae, task.labels, seed=seed)
    status = _why_none(files, site, task, plan)
    if status is VaeStatus.MADE:
        if task.vae.added != "vae":
            rows = site.train.rows[plan.row]
            views = task.train.augment if task.vae.added == "classical" else None
            return _told(status, site, key, plan, real_again(site.images, rows, views, seed=seed))
        try:
            return make_vae(files, site, task, key, plan=plan, seed=seed, worker=worker)
        except DivergedError:
            log.exception("%s trains on real images alone", site.site_id)
            status = VaeStatus.DIVERGED
    log.warning("%s trains on real images alone: %s", site.site_id, status.name)
    nothing = np.empty((0, *site.images.shape[1:]), np.uint8)
    return _told(status, site, key, plan.keep(np.zeros(len(plan), bool)), nothing)


def _told(
    status: VaeStatus, site: Site, key: VaeKey, plan: SamplePlan, images: NDArray[np.uint8]
) -> KeptVae:
    """Return images without a VAE behind them, and what is said of them."""
    numbers = {
        "vae-status": float(status),
        "vae-images": float(len(site.train.rows)),
        "vae-samples": float(len(images)),
    }
    return KeptVae(0, key, numbers, images, plan.target, {})


def _why_none(files: VaeFiles, site: Site, task: SiteTask, plan: SamplePlan) -> VaeStatus:
    if len(site.train.rows) < task.vae.min_images:
        return VaeStatus.TOO_FEW_IMAGES
    if not len(plan):
        return VaeStatus.NO_POSITIVES
    return VaeStatus.MADE if has_room(files, task, len(plan)) else VaeStatus.NO_ROOM


def has_room(files: VaeFiles, task: SiteTask, samples: int) -> bool:
    """Return whether two generations of samples find room on the disk."""
    files.folder.mkdir(parents=True, exist_ok=True)
    needed = 2 * samples * task.model.image_size**2
    return shutil.disk_usage(files.folder).free >= needed


@lru_cache(maxsize=256)
def data_digest(location: SiteLocation, task_text: str) -> str:
    """Return what decides what is added beside seed and model: images, targets, settings."""
    task = parse_task(task_text)
    site = open_site(location, task)
    sha = hashlib.sha256()
    for split in (site.train, site.val):
        for start in range(0, len(split.rows), 256):
            sha.update(np.ascontiguousarray(site.images[split.rows[start : start + 256]]).data)
        sha.update(split.target.tobytes())
    settings = task.vae.model_dump(mode="json", exclude={"share"})
    train = task.train
    look = [train.normalization, train.mean, train.std, train.augment.model_dump(mode="json")]
    sha.update(json.dumps([settings, task.model.model_dump(mode="json"), look]).encode())
    return sha.hexdigest()
