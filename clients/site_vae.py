"""A site's VAE in the making: trained on the site's images, sampled from, and judged at the site.

Nothing of it leaves but numbers, and those only as the site's owner says (`augmentation.py`).
"""

import logging
import math
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from clients.resident_model import Worker
from clients.site import Site, SiteSplit
from clients.vae_files import SHEET, KeptVae, VaeFiles, VaeKey
from clients.vae_sheet import REAL, RECONSTRUCTED, sheet_rows
from fedcxr.config.task import SiteTask
from fedcxr.config.vae import VaeStatus
from fedcxr.models.base import CxrModel
from fedcxr.models.vae import ConditionalVae, vae_size
from fedcxr.seeding import derive_seed
from fedcxr.training.frozen_features import frozen_features
from fedcxr.training.pool import ImagePool
from fedcxr.training.reconstruction_error import reconstruction_errors
from fedcxr.training.sample_quality import RealImages, SampleQuality, judge_samples
from fedcxr.training.sample_sheet import write_sheet
from fedcxr.training.samples import SamplePlan, draw_samples
from fedcxr.training.transforms import Normalization
from fedcxr.training.vae import TrainedVae, VaeProgress, train_vae
from fedcxr.training.vae_losses import Features

KEEP_EVERY_S = 30.0
"""Between two checkpoints of a VAE's training; how many there are changes no bit."""

log = logging.getLogger(__name__)


def make_vae(
    files: VaeFiles,
    site: Site,
    task: SiteTask,
    key: VaeKey,
    *,
    plan: SamplePlan,
    seed: int,
    worker: Worker,
) -> KeptVae:
    """Return a site's VAE with its samples and what was found of them, not yet kept.

    Args:
        files: the site's; a training under way is kept there, and the sheet.
        site: its data.
        task: the run's.
        key: what the VAE is made for.
        plan: which samples.
        seed: of everything.
        worker: its model is looked with under `vae.features: classifier`.

    Raises:
        DivergedError: the VAE's loss left the finite numbers.
    """
    size, device = vae_size(task.vae, task.model.image_size), worker.device
    vae = train_vae(
        _pool(site, site.train),
        _pool(site, site.val),
        task.vae,
        size_px=size,
        device=device,
        seed=seed,
        features=_features(task, worker),
        progress=files.read_progress(key),
        on_epoch=_keeper(files, key),
    )
    samples = samples_of(vae.model, plan, task, device=device, seed=seed)
    quality, errors = judged(
        files, site, task, vae.model, samples, plan=plan, device=device, seed=seed
    )
    numbers = _numbers(vae) | quality_numbers(quality, errors)
    numbers |= {"vae-images": float(len(site.train.rows))}
    refused = _refused(site, task, quality, len(plan))
    numbers |= {"vae-samples": float((~refused).sum())}
    # Without held-out images to compare with nobody knows how many there are.
    numbers["vae-refused"] = math.nan if quality.copies is None else float(refused.sum())
    weights = {name: tensor.cpu() for name, tensor in vae.model.state_dict().items()}
    return KeptVae(0, key, numbers, samples[~refused], plan.keep(~refused).target, weights)


def samples_of(
    model: ConditionalVae, plan: SamplePlan, task: SiteTask, *, device: str, seed: int
) -> NDArray[np.uint8]:
    """Return a sample (S, H, H) of each label vector of a plan."""
    return draw_samples(
        model,
        plan.target,
        size_px=vae_size(task.vae, task.model.image_size),
        image_size=task.model.image_size,
        device=device,
        seed=seed,
    )


def judged(
    files: VaeFiles,
    site: Site,
    task: SiteTask,
    model: ConditionalVae,
    samples: NDArray[np.uint8],
    *,
    plan: SamplePlan,
    device: str,
    seed: int,
    note: str = "",
) -> tuple[SampleQuality, tuple[float, float]]:
    """Write the sheet; return what is found of samples, and how far reconstructions are off.

    Args:
        files: the site's.
        site: its data.
        task: the run's.
        model: the VAE, in evaluation mode.
        samples: (S, H, H).
        plan: what they were made for.
        device: `cpu`, `cuda` or `cuda:N`.
        seed: of judges and permutations.
        note: ends the titles of the sheet's rows that are made of patients' images.
    """
    size = vae_size(task.vae, task.model.image_size)
    real, held_out = _real(site, site.train), _real(site, site.val)
    quality = judge_samples(
        samples, plan, real, held_out, task.labels, device=device, seed=derive_seed(seed, "judge")
    )
    rows = sheet_rows(model, held_out, samples, size_px=size, device=device)
    noted = {title: title + note for title in (REAL, RECONSTRUCTED)}
    sheet = {noted.get(title, title): images for title, images in rows.items()}
    write_sheet(files.folder / SHEET, sheet)
    errors = reconstruction_errors(model, real, held_out, size_px=size, device=device)
    return quality, errors


def _refused(site: Site, task: SiteTask, quality: SampleQuality, num: int) -> NDArray[np.bool_]:
    """Return which of the samples are dropped, and log where samples copy."""
    if quality.is_copying:
        log.warning(
            "%s: the VAE's samples copy training images; more images, a smaller vae.latent or a "
            "larger vae.beta make that less likely, vae.refuse_copies drops them",
            site.site_id,
        )
    if task.vae.refuse_copies and quality.copies is not None:
        return quality.copies
    if task.vae.refuse_copies:
        log.warning("%s: too few validation images to look for copies", site.site_id)
    return np.zeros(num, dtype=bool)


def _features(task: SiteTask, worker: Worker) -> Features | None:
    """Return what reconstructions are to look alike to besides, if anything."""
    if task.vae.features == "none":
        return None
    assert isinstance(worker.model, CxrModel)
    train = task.train
    look = Normalization(train.normalization, train.mean, train.std)
    return frozen_features(worker.model, look, task.model.image_size)


def _numbers(vae: TrainedVae) -> dict[str, float]:
    """Return what is said of a VAE's training."""
    terms = vae.best.val or vae.best.train
    return {
        "vae-status": float(VaeStatus.MADE),
        "vae-epochs": float(len(vae.history)),
        "vae-elbo": terms.elbo,
        "vae-reconstruction": terms.reconstruction,
        "vae-kl": terms.kl,
    }


def quality_numbers(quality: SampleQuality, errors: tuple[float, float]) -> dict[str, float]:
    """Return what is said of samples, by wire key; nan where it is not known."""
    nothing = math.nan
    return {
        "vae-mse": errors[0],
        "vae-mean-image-mse": errors[1],
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
