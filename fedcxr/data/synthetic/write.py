"""Synthetic chest radiographs on disk, in the official layout of CheXpert or NIH ChestX-ray14.

For trying things without data, for tests, and for scoring heat maps: every finding has a visible
sign with a known box and mask. Not for any clinical purpose, and no substitute for real films: a
network that does well here has learnt our drawings.

Beside the official files lie, ignored by official readers (L = number of labels):
  boxes.csv       path,label,x,y,width,height in fractions of the image; a row a sign and side
  masks.npz       the mask of each row of boxes.csv, packed; `synthetic/masks.py` reads it
  truth.csv       path and the L hidden truths, also of the training images
  sites.csv       patient_id,site: the hospital whose contrast, noise and case mix a patient has
  synthetic.json  parameters, contrasts, prevalences, labels with few test positives; written last
"""

import hashlib
import json
import secrets
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from fedcxr.config.data import SyntheticConfig
from fedcxr.cores import cores
from fedcxr.data.synthetic.anatomy import chest_fields
from fedcxr.data.synthetic.casemix import LABELS
from fedcxr.data.synthetic.files import GENERATOR_VERSION, Files, chexpert_files, nih14_files
from fedcxr.data.synthetic.masks import MaskCrop, crop_masks
from fedcxr.data.synthetic.phantom import density, draw_noise, expose
from fedcxr.data.synthetic.plan import Plan, plan_data_set
from fedcxr.data.synthetic.signs import draw_strokes
from fedcxr.errors import ConfigError
from fedcxr.home import home_folder
from fedcxr.seeding import derive_rng
from fedcxr.storage import writing

JPEG_QUALITY = 92
BATCH_PIXELS = 16 * 96 * 96
"""Pixels drawn at once: small enough for the caches of a core."""
MIN_SIZE_PX = 32
MAX_SIZE_PX = 2048

Progress = Callable[[int, int], None]


def write_synthetic(
    out: Path,
    *,
    patients: int,
    size_px: int,
    layout: str = "chexpert",
    seed: int = 0,
    num_sites: int = 5,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a synthetic data set below `out` and return its root.

    The same arguments give the same bytes, whatever the number of workers.

    Args:
        out: a folder; made if missing.
        patients: how many, a fifth of them in the test set (CheXpert's valid, NIH's test list).
        size_px: side of the square images.
        layout: `chexpert` (root is `out/CheXpert-v1.0-small`) or `nih14` (root is `out`).
        seed: of everything drawn.
        num_sites: hospitals that the patients come from.
        workers: threads; none = one a core.
        progress: told (images done, images in all) now and then.

    Raises:
        ConfigError: a value out of range, or a root that already holds something.
        StorageError: the disk is full or the folder cannot be written.
    """
    _check(patients=patients, size_px=size_px, layout=layout, seed=seed, num_sites=num_sites)
    plan = plan_data_set(layout, patients=patients, size_px=size_px, seed=seed, num_sites=num_sites)
    files = chexpert_files(plan, out) if layout == "chexpert" else nih14_files(plan, out)
    if files.root.exists() and any(files.root.iterdir()):
        raise ConfigError(
            f"{files.root}: the folder is not empty. Name another with --out or empty it first."
        )
    with writing(files.root):
        files.root.mkdir(parents=True, exist_ok=True)
        masks = _draw_all(plan, files, workers or cores(), progress)
        files.write_tables(plan, masks)
    return files.root


def embedded_dataset(config: SyntheticConfig) -> Path:
    """Return the root of the data set of `config`, made below `home_folder()` on first use.

    It is made in a folder of its own and renamed when whole, so that a half-written one is never
    used and two processes may ask at once.
    """
    wanted = {"version": GENERATOR_VERSION, "layout": "chexpert", **config.model_dump()}
    text = json.dumps(wanted, sort_keys=True).encode()
    shelf = home_folder() / "synthetic"
    final = shelf / hashlib.sha256(text).hexdigest()[:16]
    if not final.exists():
        making = shelf / f".{final.name}-{secrets.token_hex(6)}"
        try:
            write_synthetic(
                making, patients=config.patients, size_px=config.size_px, seed=config.seed
            )
            _keep_first(making, final)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return final / "CheXpert-v1.0-small"


def _keep_first(making: Path, final: Path) -> None:
    try:
        making.rename(final)
    except OSError:
        # Another process was first: a folder that holds something cannot be renamed over.
        if not final.exists():
            raise


def _check(*, patients: int, size_px: int, layout: str, seed: int, num_sites: int) -> None:
    wrong = []
    if layout not in LABELS:
        wrong.append(f"layout is {layout!r}, expected one of {', '.join(LABELS)}")
    if patients < 1:
        wrong.append(f"patients is {patients}, expected at least 1")
    if not MIN_SIZE_PX <= size_px <= MAX_SIZE_PX:
        wrong.append(f"size_px is {size_px}, expected {MIN_SIZE_PX} to {MAX_SIZE_PX}")
    if seed < 0:
        wrong.append(f"seed is {seed}, expected 0 or more")
    if num_sites < 1:
        wrong.append(f"num_sites is {num_sites}, expected at least 1")
    if wrong:
        raise ConfigError("synthetic data: " + "; ".join(wrong) + ".")


def _draw_all(plan: Plan, files: Files, workers: int, progress: Progress | None) -> list[MaskCrop]:
    """Draw and write every image; return the mask of each stroke."""
    step = max(1, BATCH_PIXELS // plan.size_px**2)
    starts = range(0, len(plan), step)
    masks: list[MaskCrop] = []
    # Threads, not processes: array operations and encoders release the lock, nothing is copied,
    # and it works inside any other process.
    with ThreadPoolExecutor(max_workers=workers) as pool:
        batches = pool.map(
            lambda start: _draw_batch(plan, files, start, min(start + step, len(plan))), starts
        )
        for start, found in zip(starts, batches, strict=True):
            masks.extend(found)
            if progress is not None:
                progress(min(start + step, len(plan)), len(plan))
    return masks


def _draw_batch(plan: Plan, files: Files, start: int, stop: int) -> list[MaskCrop]:
    """Draw and write the images from `start` to `stop`; return the masks of their strokes."""
    images = np.arange(start, stop)
    first, last = np.searchsorted(plan.strokes.image, [start, stop])
    strokes = plan.strokes.rows(np.arange(first, last))
    strokes.image[:] -= start
    rngs = [derive_rng(plan.seed, "synthetic", "noise", image) for image in range(start, stop)]
    noise = draw_noise(rngs, plan.size_px)
    chest = chest_fields(plan.anatomy.rows(images), noise.mottle)
    film, masks = draw_strokes(density(chest, noise.vessels), chest, strokes)
    pixels = expose(film, noise, plan.exposure.rows(images))
    for folder in dict.fromkeys(path.parent for path in files.images[start:stop]):
        folder.mkdir(parents=True, exist_ok=True)
    for path, picture in zip(files.images[start:stop], pixels, strict=True):
        if path.suffix == ".jpg":
            Image.fromarray(picture).save(path, quality=JPEG_QUALITY)
        else:
            Image.fromarray(picture).save(path, compress_level=1)
    return crop_masks(masks)
