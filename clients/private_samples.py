"""A site's VAE under patient-level privacy: paid for, trained by DP-SGD, and sampled from.

What a plain VAE decides by its patients' images is left out: there is no best epoch and no sample
is dropped; which samples are made follows from the number of patients alone, and so does whether
there is a VAE. What the site finds of its samples by looking at patients is for the site alone, is
not covered by ε, and says so where it is written; nothing that leaves depends on it.
"""

import json
import logging
from functools import partial

import numpy as np
from numpy.typing import NDArray

from clients.augmentation import data_digest, has_room
from clients.privacy_budget import Budget, Spent, digest_of
from clients.site import Site, SiteLocation
from clients.site_vae import judged, quality_numbers, samples_of
from clients.vae_files import KeptVae, VaeFiles, VaeKey
from fedcxr.atomic import write_bytes_atomically
from fedcxr.config.task import SiteTask
from fedcxr.errors import DivergedError
from fedcxr.models.vae import ConditionalVae, vae_size
from fedcxr.training.pool import ImagePool
from fedcxr.training.private_loop import DrawsOf, secret_seed
from fedcxr.training.private_plan import PrivatePlan
from fedcxr.training.private_vae import train_vae_privately
from fedcxr.training.samples import SamplePlan, plan_public_samples, sampled_columns
from fedcxr.wire import Order

QUALITY = "vae-quality.json"
"""What the site found of its samples; for the site alone."""
NOT_COVERED = (
    "Found by looking at patients' images without noise. Not covered by epsilon: keep it at the "
    "site."
)
NO_SAMPLES = KeptVae(
    0, VaeKey((), ""), {}, np.empty((0, 0, 0), np.uint8), np.empty((0, 0), np.float32), {}
)
"""Of a site without a VAE."""
_ON_THE_SHEET = " (not covered by epsilon)"

log = logging.getLogger(__name__)


def private_samples(
    location: SiteLocation,
    site: Site,
    task: SiteTask,
    order: Order,
    plan: PrivatePlan,
    budget: Budget,
    device: str,
) -> KeptVae | None:
    """Return the samples that the site trains on in this round; None if the budget is spent.

    A VAE that was made is taken as it is, and costs nothing. One that is made again, as where a
    site was killed before it was kept, comes out of the same draws to the same bits and was paid
    for already.

    Args:
        location: of the site.
        site: its data.
        task: the run's.
        order: the round's.
        plan: the site's; without steps of a VAE there are no samples.
        budget: the site's account.
        device: to train on.

    Raises:
        ArtefactError: what was kept is damaged, or of other images, labels or settings.
    """
    if not plan.vae_steps:
        return NO_SAMPLES
    every, round_num = task.vae.every, order.round_num
    since = 1 if every is None else 1 + every * ((round_num - 1) // every)
    key = VaeKey(task.labels, _digest(location, site, task, since))
    files = VaeFiles((location.own_images or location.state) / task.run)
    kept = files.find(key, since=since, round_num=round_num)
    if kept is not None:
        return kept
    asked = plan_public_samples(task.vae, task.labels, patients=plan.patients)
    if not len(asked) or not has_room(files, task, len(asked)):
        log.warning("%s trains on real images alone: no sample, or no room for any", site.site_id)
        return _without(round_num, key, asked, site)
    inputs = digest_of(key.digest, device)
    entry = Spent(since, inputs, plan.noise, plan.rate, plan.vae_steps, "vae")
    if not budget.spend(entry, plan, task.privacy.epsilon, order.last_round):
        return None
    draws_of = partial(budget.stream, task.run, since, "vae", inputs)
    seed = secret_seed(draws_of(0, "samples"))
    try:
        model = _trained(site, task, plan, draws_of, device=device, seed=seed)
    except DivergedError:  # of weights that are noised: that they diverged tells of nobody
        log.exception("%s trains on real images alone", site.site_id)
        made = _without(round_num, key, asked, site)
    else:
        samples = samples_of(model, asked, task, device=device, seed=seed)
        _judge(files, site, task, model, samples, asked, device=device, seed=seed)
        weights = {name: tensor.cpu() for name, tensor in model.state_dict().items()}
        made = KeptVae(round_num, key, {}, samples, asked.target, weights)
    files.write(made)
    return made


def _trained(
    site: Site, task: SiteTask, plan: PrivatePlan, draws_of: DrawsOf, *, device: str, seed: int
) -> ConditionalVae:
    return train_vae_privately(
        ImagePool.of(site.images, site.train.rows, site.train.target),
        site.train.patient,
        plan.of_a_vae,
        draws_of,
        task.vae,
        columns=sampled_columns(task.vae, task.labels),
        size_px=vae_size(task.vae, task.model.image_size),
        device=device,
        seed=seed,
    )


def _without(round_num: int, key: VaeKey, asked: SamplePlan, site: Site) -> KeptVae:
    """Return a generation of a site that goes without samples."""
    nothing = np.empty((0, *site.images.shape[1:]), np.uint8)
    return KeptVae(round_num, key, {}, nothing, asked.target[:0], {})


def _digest(location: SiteLocation, site: Site, task: SiteTask, since: int) -> str:
    """Return the digest of all that decides a VAE, but for the draws."""
    told = {"privacy": task.privacy.model_dump(mode="json"), "batch": task.train.batch_size}
    return digest_of(
        f"vae from round {since} of {task.rounds}",
        data_digest(location, task.to_text()),
        json.dumps(told),
        {"patient": site.train.patient},
    )


def _judge(
    files: VaeFiles,
    site: Site,
    task: SiteTask,
    model: ConditionalVae,
    samples: NDArray[np.uint8],
    plan: SamplePlan,
    *,
    device: str,
    seed: int,
) -> None:
    """Write sheet and figures for who sits at the site; whatever happens here decides nothing."""
    try:
        quality, errors = judged(
            files,
            site,
            task,
            model,
            samples,
            plan=plan,
            device=device,
            seed=seed,
            note=_ON_THE_SHEET,
        )
    except Exception:  # else an answer that fails would tell of the patients looked at
        log.exception("%s: the VAE's samples could not be judged", site.site_id)
        return
    found = quality_numbers(quality, errors)
    known = {name: number if np.isfinite(number) else None for name, number in found.items()}
    tree = {"note": NOT_COVERED, **known}
    write_bytes_atomically(files.folder / QUALITY, json.dumps(tree, indent=1).encode(), mode=0o600)
    if quality.is_copying:
        log.warning("%s: the VAE's samples look like copies of training images", site.site_id)
