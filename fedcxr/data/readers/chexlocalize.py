"""CheXlocalize: radiologists' outlines of ten findings on CheXpert's val and test images.

Two JSON files tell the same: segmentations are masks in COCO's compressed run-length code, and
annotations are the contours that were drawn. Its Grad-CAM maps are Python pickles, which can run
code, and are not read. The images themselves are read by `fedcxr/data/readers/chexpert.py`.

Source: Saporta et al. 2022, "Benchmarking saliency methods for chest X-ray interpretation", Nature
Machine Intelligence; https://github.com/rajpurkarlab/cheXlocalize. The code: pycocotools,
`common/maskApi.c`, rleFrString.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.readers.tables import nearest
from fedcxr.errors import RecordError

TASKS = {
    "Enlarged Cardiomediastinum": "Enlarged Cardiomediastinum",
    "Cardiomegaly": "Cardiomegaly",
    "Lung Lesion": "Lung Lesion",
    "Airspace Opacity": "Lung Opacity",
    "Edema": "Edema",
    "Consolidation": "Consolidation",
    "Atelectasis": "Atelectasis",
    "Pneumothorax": "Pneumothorax",
    "Pleural Effusion": "Pleural Effusion",
    "Support Devices": "Support Devices",
}
"""The ten findings under CheXlocalize's names, each with CheXpert's."""

MAX_FILE_BYTES = 1 << 30
MAX_PIXELS = 64_000_000
"""As for images (`fedcxr/data/images/decode.py`)."""
SLACK_PX = 1.0
"""How far outside the image a contour may run: a pen on the last pixel."""

_SIZE = "img_size"
_DIGIT_BITS = 5
_MAX_DIGITS = 8
"""A run of at most 64 megapixels has six digits of five bits, one of them the sign."""


@dataclass(frozen=True, slots=True)
class Rle:
    """A mask in COCO's compressed run-length code, not yet decoded."""

    size: tuple[int, int]
    """Height and width, pixels."""
    counts: str
    where: str = ""
    """File, image and finding, for messages."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """What was drawn on one image."""

    size: tuple[int, int]
    """Height and width, pixels."""
    contours: dict[str, tuple[NDArray[np.float64], ...]]
    """By finding, CheXpert's name: closed lines of (P, 2) points x, y in pixels."""


def read_segmentations(json_path: Path) -> dict[str, dict[str, Rle]]:
    """Return the masks of gt_segmentations_*.json by image key and CheXpert's finding.

    Findings that an image does not have are all-zero masks there, not absent.

    Raises:
        RecordError: the file is missing, too large or not of this form.
    """
    return {
        key: {
            label: _rle(found, f"{json_path}: {key}: {task}")
            for task, label, found in _tasks(tasks, json_path, key)
        }
        for key, tasks in _objects(json_path)
    }


def read_annotations(json_path: Path) -> dict[str, Annotation]:
    """Return the contours of gt_annotations_*.json by image key; only findings that are there.

    Raises:
        RecordError: the file is missing, too large or not of this form, or a contour leaves its
            image.
    """
    annotations = {}
    for key, fields in _objects(json_path):
        size = _size(fields.pop(_SIZE, None), f"{json_path}: {key}: {_SIZE}")
        contours = {
            label: tuple(_contours(found, size, f"{json_path}: {key}: {task}"))
            for task, label, found in _tasks(fields, json_path, key)
        }
        annotations[key] = Annotation(size, contours)
    return annotations


def image_key(path: str) -> str:
    """Return CheXlocalize's key of a record's path.

    >>> image_key("val/patient64541/study1/view1_frontal.jpg")
    'patient64541_study1_view1_frontal'
    """
    return "_".join(path.rpartition(".")[0].split("/")[-3:])


def decode_rle(rle: Rle) -> NDArray[np.bool_]:
    """Return the mask, (height, width); True = the finding.

    Raises:
        RecordError: the code is damaged: the runs do not fill the image exactly.

    >>> decode_rle(Rle((2, 3), "132")).astype(int)
    array([[0, 1, 0],
           [1, 1, 0]])
    """
    height, width = rle.size
    runs = _runs(rle)
    if sum(runs) != height * width or min(runs, default=0) < 0:
        raise RecordError(
            f"{rle.where}: the runs of 'counts' fill {sum(runs)} pixels, not {height} × {width}. "
            f"Fetch the file again."
        )
    values = np.arange(len(runs)) % 2 == 1  # zeros first
    # COCO runs down the columns.
    return np.repeat(values, runs).reshape(width, height).T


def _runs(rle: Rle) -> list[int]:
    """Return the lengths of the runs: digits of five bits, low first, from the third on deltas."""
    runs: list[int] = []
    value = digits = 0
    for char in rle.counts:
        digit = ord(char) - 48
        if not 0 <= digit < 64 or digits == _MAX_DIGITS:
            break
        value |= (digit & 0x1F) << (_DIGIT_BITS * digits)
        digits += 1
        if digit & 0x20:
            continue
        if digit & 0x10:
            value -= 1 << (_DIGIT_BITS * digits)
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = digits = 0
    else:
        if digits == 0:
            return runs
    raise RecordError(f"{rle.where}: 'counts' is not a run-length code. Fetch the file again.")


def _objects(json_path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the image keys of a file with what is said of each."""
    content = _parse(json_path)
    if not isinstance(content, dict):
        raise RecordError(f"{json_path}: not an object of image keys. Fetch the file again.")
    for key, fields in content.items():
        if not isinstance(fields, dict):
            raise RecordError(f"{json_path}: {key[:80]}: not an object. Fetch the file again.")
        yield key, fields


def _parse(json_path: Path) -> object:
    try:
        if json_path.stat().st_size > MAX_FILE_BYTES:
            raise RecordError(f"{json_path}: larger than 1 GiB; these are no outlines.")
        return json.loads(json_path.read_bytes().decode("utf-8-sig"), object_pairs_hook=_once)
    except OSError as err:
        raise RecordError(
            f"{json_path}: cannot be read ({err.strerror}). Fetch it again, or mend its rights."
        ) from err
    except (ValueError, RecursionError) as err:  # not UTF-8, not JSON, a key twice, too deep
        raise RecordError(f"{json_path}: not readable JSON: {err}. Fetch it again.") from err


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a key is there twice in one object")
    return fields


def _tasks(fields: dict[str, Any], json_path: Path, key: str) -> Iterator[tuple[str, str, Any]]:
    """Yield the findings of an image: CheXlocalize's name, CheXpert's, and what is said."""
    for task, found in fields.items():
        if task not in TASKS:
            raise RecordError(
                f"{json_path}: {key[:80]}: {task[:80]!r}{nearest(task, TASKS)} is none of the ten "
                f"findings of CheXlocalize. Fetch the file again."
            )
        yield task, TASKS[task], found


def _rle(found: object, where: str) -> Rle:
    if not isinstance(found, dict) or not isinstance(found.get("counts"), str):
        raise RecordError(f"{where}: no 'size' and 'counts' (text). Fetch the file again.")
    return Rle(_size(found.get("size"), where), found["counts"], where)


def _size(found: object, where: str) -> tuple[int, int]:
    match found:
        case [int(height), int(width)] if height > 0 and width > 0:
            if height * width <= MAX_PIXELS:
                return height, width
            raise RecordError(
                f"{where}: the size is {str(found)[:60]}; a radiograph has at most 64 megapixels. "
                f"Fetch the file again."
            )
    raise RecordError(
        f"{where}: the size is {str(found)[:60]}, expected [height, width] in pixels. Fetch the "
        f"file again."
    )


def _contours(found: object, size: tuple[int, int], where: str) -> Iterator[NDArray[np.float64]]:
    if not isinstance(found, list):
        raise RecordError(f"{where}: not a list of contours. Fetch the file again.")
    for number, contour in enumerate(found):
        if not isinstance(contour, list) or not contour or not all(map(_is_point, contour)):
            raise RecordError(
                f"{where}: contour {number} is not a list of points [x, y]. Fetch the file again."
            )
        points = np.array(contour, dtype=np.float64)
        if (points < -SLACK_PX).any() or (points > np.array(size[::-1]) + SLACK_PX).any():
            raise RecordError(
                f"{where}: contour {number} leaves the image of {size[0]} × {size[1]} pixels. "
                f"Fetch the file again."
            )
        yield points


def _is_point(point: object) -> bool:
    return (
        isinstance(point, list)
        and len(point) == 2
        and all(isinstance(v, int | float) and abs(v) <= 1e9 for v in point)  # nan is not
    )
