"""A finished run's model on images of any origin: a table of probabilities, and heat maps.

Images go through in batches, so that their number does not matter. One that cannot be read has its
reason in the table; the others are not held up by it.
"""

import csv
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.atomic import write_text_atomically
from fedcxr.data.images.decode import decode
from fedcxr.data.images.dicom import is_dicom
from fedcxr.errors import ConfigError, DataError, ImageError, some
from fedcxr.explain.overlay import write_overlay
from fedcxr.filenames import NAME_MAX_BYTES, shortened
from fedcxr.inference import Predictor

SUFFIXES = (".jpg", ".jpeg", ".png", ".dcm", ".dicom")
"""Of image files in a folder, in any case; DICOM files are known by their content too."""
BATCH = 16
TABLE = "predictions.csv"

_DICOM_HEAD_BYTES = 132
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NOT_IN_NAMES = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class BadImage:
    """An image that cannot be read."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Predicted:
    """What was written, and what could not be."""

    table: Path
    num_images: int
    bad: tuple[BadImage, ...]


def predict_images(
    run: Path,
    images: Sequence[Path],
    out: Path,
    *,
    label: str | None = None,
    progress: Progress | None = None,
) -> Predicted:
    """Write `predictions.csv` (probabilities by label) and a Grad-CAM overlay of each image.

    Args:
        run: the folder of a finished run, or a file of its checkpoints.
        images: files, and folders for all images in them.
        out: the folder to write into; made if it is not there.
        label: whose heat map is drawn; none = the most probable label of each image.
        progress: told (images done, images in all) after each batch.

    Raises:
        ConfigError: an unknown label.
        DataError: a folder without images, or one that cannot be read.
        ImageError: none of the images can be read; nothing is written then.
    """
    files = find_images(images, but_not_in=out)
    model = Predictor.open(run)
    labels = model.labels
    if label is not None and label not in labels:
        raise ConfigError(f"--label {label}: the model has {', '.join(labels)}.")
    column = None if label is None else labels.index(label)
    rows: list[list[str]] = []
    bad: list[BadImage] = []
    for start in range(0, len(files), BATCH):
        part = files[start : start + BATCH]
        pixels, reasons = _decode(part, model.size_px, model.png_bits)
        bad += [BadImage(part[place], reason) for place, reason in reasons.items()]
        overlays = [out / _overlay_name(start + n, part[n], len(files)) for n in pixels]
        found = _predict(model, pixels, column, overlays)
        for place, path in enumerate(part):
            cells = found.get(place) or [""] * (len(labels) + 2)
            rows.append([str(path), *cells, reasons.get(place, "")])
        if progress is not None:
            progress(len(rows), len(files))
    if len(bad) == len(files):
        named = some([f"{one.path}: {one.reason}" for one in bad])
        raise ImageError(f"none of {len(files)} images can be read: {named}.")
    head = ["image", *labels, "gradcam_label", "gradcam_file", "error"]
    write_text_atomically(out / TABLE, _csv([head, *rows]))
    return Predicted(out / TABLE, len(files), tuple(bad))


def find_images(given: Sequence[Path], *, but_not_in: Path) -> list[Path]:
    """Return the files among `given` in their order, and the sorted images in the folders.

    Names that begin with a dot are passed over, and so is what lies in `but_not_in`: overlays of an
    earlier call are images too.

    Raises:
        DataError: a folder without images, or one that cannot be read.
    """
    found: list[Path] = []
    for path in given:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(_images_in(path, but_not_in.absolute()))
        if not inside:
            raise DataError(
                f"{path}: there is no image in this folder ({', '.join(SUFFIXES)}, or DICOM by its "
                f"content). Name another folder, or the files."
            )
        found += inside
    return found


def _images_in(folder: Path, but_not_in: Path) -> Iterator[Path]:
    def refuse(err: OSError) -> None:
        raise DataError(f"{err.filename}: cannot be read ({err.strerror}). Name the files.")

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if Path(place).absolute().is_relative_to(but_not_in):
            folders.clear()
            continue
        for name in names:
            path = Path(place, name)
            if not name.startswith(".") and _is_image(path):
                yield path


def _is_image(path: Path) -> bool:
    if path.suffix.lower() in SUFFIXES:
        return True
    if path.name.upper() == "DICOMDIR" or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return is_dicom(file.read(_DICOM_HEAD_BYTES))
    except OSError:
        return False


def _decode(
    files: Sequence[Path], size_px: int, png_bits: int
) -> tuple[dict[int, NDArray[np.uint8]], dict[int, str]]:
    """Return by place the pixels of the images that can be read, and what is wrong with others."""
    pixels: dict[int, NDArray[np.uint8]] = {}
    reasons: dict[int, str] = {}
    for place, path in enumerate(files):
        try:
            pixels[place] = decode(path, size_px, png_bits=png_bits)
        except ImageError as err:
            reasons[place] = str(err)
    return pixels, reasons


def _predict(
    model: Predictor,
    pixels: dict[int, NDArray[np.uint8]],
    column: int | None,
    overlays: Sequence[Path],
) -> dict[int, list[str]]:
    """Write the overlays and return by place each image's cells: probabilities, label, file."""
    if not pixels:
        return {}
    labels = model.labels
    images = np.stack(list(pixels.values()))
    probs = model.probs(images)
    chosen = [int(row.argmax()) if column is None else column for row in probs]
    heat = model.heat_maps(images, chosen).heat
    cells = {}
    for n, (place, drawn, file) in enumerate(zip(pixels, chosen, overlays, strict=True)):
        title = f"{labels[drawn]}: p = {probs[n, drawn]:.2f}"
        write_overlay(file, images[n], heat[n], title=title, box=None)
        cells[place] = [*(f"{p:.6f}" for p in probs[n]), labels[drawn], file.name]
    return cells


def _overlay_name(number: int, image: Path, total: int) -> str:
    """Return a name of its own for the overlay of image `number` (from 0), with the image's name.

    >>> _overlay_name(0, Path("films/a.png"), 20)
    '001-a.png'
    """
    start, end = f"{number + 1:0{max(3, len(str(total)))}d}-", ".png"
    stem = _NOT_IN_NAMES.sub("_", image.stem)
    return start + shortened(stem, NAME_MAX_BYTES - len(start) - len(end)) + end


def _csv(rows: Sequence[Sequence[str]]) -> str:
    """Return the rows as CSV in which a spreadsheet takes no cell for a formula.

    Source: OWASP, "CSV Injection".
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for row in rows:
        writer.writerow([f"'{x}" if x.startswith(_FORMULA_STARTS) else x for x in row])
    return buffer.getvalue()
