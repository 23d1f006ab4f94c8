"""`fedcxr attack inversion`: from a site of a run to the images that its updates give away."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.attacks.likeness import Floats
from fedcxr.attacks.protections import PROTECTIONS, Protection
from fedcxr.experiments.inversion.attacked_site import AttackedSite
from fedcxr.experiments.inversion.design import InversionDesign
from fedcxr.experiments.inversion.gains import (
    LEVEL,
    Gallery,
    psnr_gain,
    reidentified,
    ssim_gain,
)
from fedcxr.experiments.inversion.reconstruct import check_batch_norm, reconstruct
from fedcxr.experiments.inversion.told_labels import label_mix
from fedcxr.report.inversion_page import SHEET, write_inversion_page
from fedcxr.results.inversion import FILE, Inversion, InversionResult, LabelMix
from fedcxr.runs.folder import RunFolder
from fedcxr.training.sample_sheet import write_sheet
from fedcxr.version import __version__

FOLDER = "attacks/inversion"
MOST_SHOWN = 8
"""Images on the sheet."""

OnProgress = Callable[[str, int, int], None]
"""Told what is sought, how many steps are done, and of how many."""


def attack_inversion(
    attacked: AttackedSite,
    design: InversionDesign,
    folder: Path,
    on_progress: OnProgress = lambda what, done, total: None,
) -> Path:
    """Attack a site and return the page, in the folder.

    The folder holds images of patients, true ones and reconstructions.

    Args:
        attacked: the site.
        design: the attack's.
        folder: of what is found; it is made.
        on_progress: told after each step of a search.

    Raises:
        ConfigError: the design does not fit the network or the site.
    """
    design.check()
    total = design.steps_of_search(attacked.model.config.model.name, attacked.num_own)
    for name in design.protections:
        check_batch_norm(attacked, PROTECTIONS[name], design)
    gallery = Gallery.of(attacked.pixels, attacked.public)
    truths = gallery.candidates[: design.images]
    others = np.stack([gallery.nearest_other(own) for own in range(len(truths))])
    sheet = {
        "true image": truths,
        "mean of the server's": np.repeat(gallery.mean[None], len(truths), axis=0),
        "most alike of others": others,
    }
    done = 0

    def step(protection: Protection) -> None:
        nonlocal done
        done += 1
        on_progress(f"Inverting: {protection.title.lower()}", done, total)

    inversions, mixes = [], []
    missing: dict[str, None] = {}  # in order, each once
    for protection in (PROTECTIONS[name] for name in design.protections):
        found, pixels = _inversion(attacked, protection, design, gallery, step)
        sheet[protection.title.lower()] = pixels
        inversions.append(found)
        told = label_mix(attacked, protection, design)
        if isinstance(told, str):
            missing[told] = None
        else:
            mixes += told
    result = _result(attacked, design, inversions, mixes, tuple(missing))
    folder.mkdir(parents=True, exist_ok=True)
    RunFolder(folder).write_json(FILE, result.model_dump(mode="json"))
    write_sheet(folder / SHEET, {title: _as_bytes(row) for title, row in sheet.items()})
    return write_inversion_page(result, folder)


def _inversion(
    attacked: AttackedSite,
    protection: Protection,
    design: InversionDesign,
    gallery: Gallery,
    on_step: Callable[[Protection], None],
) -> tuple[Inversion, Floats]:
    """Return what is found under one protection, and the reconstructions."""
    found = reconstruct(attacked, protection, design, lambda: on_step(protection))
    pairs = zip(found.pixels, found.mismatch, strict=True)
    images = [
        gallery.measure(pixels, own, number=own + 1, mismatch=mismatch)
        for own, (pixels, mismatch) in enumerate(pairs)
    ]
    return Inversion(
        protection=protection.name,
        title=protection.title,
        cohort=design.cohort if protection.summed else 1,
        ssim=ssim_gain(images),
        psnr=psnr_gain(images),
        reidentified=reidentified(images, len(gallery.candidates)),
        images=tuple(images),
        seconds=found.seconds,
    ), found.pixels


def _result(
    attacked: AttackedSite,
    design: InversionDesign,
    inversions: Sequence[Inversion],
    mixes: Sequence[LabelMix],
    missing: tuple[str, ...],
) -> InversionResult:
    config = attacked.model.config
    return InversionResult(
        fedcxr=__version__,
        run=attacked.run,
        is_synthetic=attacked.is_synthetic,
        source=attacked.source,
        model=config.model.name,
        image_size=config.model.image_size,
        parameters=attacked.model.spec.num_trainable,
        site=attacked.site,
        round_num=attacked.round_num,
        crafted=design.crafted,
        method=design.method_for(config.model.name),
        per_update=design.per_update,
        batch_size=min(design.batch_size or design.per_update, design.per_update),
        local_steps=design.local_steps,
        learning_rate=design.learning_rate,
        steps=design.steps,
        restarts=design.restarts,
        statistics=design.statistics,
        clip=design.clip,
        noise=design.noise,
        public=len(attacked.public),
        level=LEVEL,
        inversions=tuple(inversions),
        label_mix=tuple(mixes),
        missing=missing,
    )


def _as_bytes(images: Floats) -> NDArray[np.uint8]:
    return np.round(images[:MOST_SHOWN] * 255).astype(np.uint8)
