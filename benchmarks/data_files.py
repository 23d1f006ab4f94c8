"""The files that `benchmarks/data.py` reads: tables of CheXpert's size and counts, and images.

The counts are those of CheXpert's own train.csv: patients, views, projections and every label's
positives, negatives, uncertain and blank cells. What stands beside what is drawn at random.
"""

import csv
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fedcxr.data.labels import CHEXPERT_LABELS
from fedcxr.seeding import derive_rng

FOLDER = "CheXpert-v1.0-small"
PATIENTS, FRONTAL, LATERAL = 64_540, 191_027, 32_387
PROJECTIONS = {"AP": 161_590, "PA": 29_420, "LL": 16, "RL": 1}
"""Of the frontal views; a lateral one has none."""
COUNTS = (
    (22381, 0, 0),
    (10798, 21638, 12403),
    (27000, 11116, 8087),
    (105581, 6599, 5598),
    (9186, 1270, 1488),
    (52246, 20726, 12984),
    (14783, 28097, 27742),
    (6039, 2799, 18770),
    (33376, 1328, 33739),
    (19448, 56341, 3145),
    (86187, 35396, 11628),
    (3523, 316, 2653),
    (9040, 2512, 642),
    (116001, 6137, 1079),
)
"""Of each of CHEXPERT_LABELS: cells with 1, 0 and -1; the others are blank."""
VALID_PATIENTS, VALID_FRONTAL, VALID_LATERAL = 200, 202, 32


@dataclass(frozen=True)
class Kind:
    """Images of one data set."""

    what: str
    suffix: str
    width: int
    height: int
    grain: float
    """Deviation of the noise in gray levels; it makes the files as large as the real ones."""
    options: dict[str, int]
    """How Pillow writes them."""


KINDS = {
    # 11.16 GB for 223,414 images
    "jpeg": Kind("JPEG of 390 × 320, as CheXpert-small", ".jpg", 390, 320, 10.0, {"quality": 90}),
    # 0.4 MB an image: decoding takes 20 times as long
    "png": Kind("PNG of 1024 × 1024, as NIH", ".png", 1024, 1024, 0.7, {"compress_level": 6}),
}
DISTINCT = {"jpeg": 2000, "png": 50}
"""Drawings of each kind; further files are copies of them, which cost as much to decode."""

_HEADER = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_LABELS]


def write_tables(out: Path, part: float) -> Path:
    """Write train.csv and valid.csv, `part` of CheXpert's size, and return their folder."""
    folder = out / FOLDER
    folder.mkdir(parents=True)
    rng = derive_rng(0, "benchmark", "tables")
    frontal, lateral = round(part * FRONTAL), round(part * LATERAL)
    views = _Views(rng, round(part * PATIENTS), frontal, lateral)
    columns = []
    for ones, zeros, uncertain in COUNTS:
        numbers = np.round(np.multiply((ones, zeros, uncertain), part)).astype(int)
        cells = np.repeat(["1.0", "0.0", "-1.0"], numbers)
        blank = frontal + lateral - len(cells)
        columns.append(rng.permutation(np.concatenate([cells, np.repeat("", blank)])).tolist())
    _write(folder / "train.csv", views.rows("train", 1), columns)
    valid = _Views(rng, VALID_PATIENTS, VALID_FRONTAL, VALID_LATERAL)
    shape = (len(CHEXPERT_LABELS), VALID_FRONTAL + VALID_LATERAL)
    dense = np.where(rng.random(shape) < 0.2, "1.0", "0.0").tolist()
    _write(folder / "valid.csv", valid.rows("valid", PATIENTS + 1), dense)
    return folder


class _Views:
    """Who has which views: every patient a frontal one, some studies a lateral one, too."""

    def __init__(self, rng: np.random.Generator, patients: int, frontal: int, lateral: int) -> None:
        # most patients have one study or two, few have dozens
        weights = rng.gamma(0.5, size=patients)
        more = rng.multinomial(frontal - patients, weights / weights.sum())
        self.patient = np.repeat(np.arange(patients), 1 + more)  # (F,)
        first = np.flatnonzero(np.diff(self.patient, prepend=-1))
        self.study = np.arange(frontal) - first[self.patient] + 1  # (F,)
        self.has_lateral = np.zeros(frontal, dtype=bool)
        self.has_lateral[rng.choice(frontal, lateral, replace=False)] = True
        shares = np.array(list(PROJECTIONS.values())) / sum(PROJECTIONS.values())
        ends = np.round(frontal * np.cumsum(shares)).astype(int)
        codes = np.repeat(list(PROJECTIONS), np.diff(ends, prepend=0))
        self.projection = rng.permutation(codes)
        self.sex = np.where(rng.random(patients) < 0.41, "Female", "Male").astype("<U7")
        self.sex[np.flatnonzero(more == 0)[0]] = "Unknown"
        self.age = rng.integers(18, 91, patients)

    def rows(self, split: str, first_patient: int) -> Iterator[list[str]]:
        """Yield the cells before the labels, in the order of CheXpert's own file."""
        for i, who in enumerate(self.patient.tolist()):
            study = f"{FOLDER}/{split}/patient{first_patient + who:05d}/study{self.study[i]}"
            person = [str(self.sex[who]), str(self.age[who])]
            code = str(self.projection[i])
            yield [f"{study}/view1_frontal.jpg", *person, "Frontal", code]
            if self.has_lateral[i]:
                yield [f"{study}/view2_lateral.jpg", *person, "Lateral", ""]


def _write(csv_path: Path, rows: Iterator[list[str]], columns: list[list[str]]) -> None:
    with csv_path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_HEADER)
        writer.writerows(
            [*row, *states] for row, states in zip(rows, zip(*columns, strict=True), strict=True)
        )


def write_images(out: Path, kind: str, number: int, workers: int) -> list[str]:
    """Write images of a kind to `out` and return their names."""
    suffix = KINDS[kind].suffix
    names = [f"{i // 1000:03d}/{i:06d}{suffix}" for i in range(number)]
    for folder in {name.partition("/")[0] for name in names}:
        (out / folder).mkdir(parents=True)
    distinct = min(number, DISTINCT[kind])

    def one(i: int) -> None:
        pixels = _drawing(derive_rng(0, "benchmark", kind, i), KINDS[kind])
        Image.fromarray(pixels).save(out / names[i], None, **KINDS[kind].options)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, range(distinct)))
    for i in range(distinct, number):
        os.link(out / names[i % distinct], out / names[i])
    return names


def _drawing(rng: np.random.Generator, kind: Kind) -> NDArray[np.uint8]:
    """Return soft shapes of two sizes under grain, (H, W)."""
    grain = rng.standard_normal((kind.height, kind.width), dtype=np.float32)
    pixels = 128 + _shapes(rng, kind, 10, 40) + _shapes(rng, kind, 80, 10) + grain * kind.grain
    return pixels.clip(0, 255).astype(np.uint8)


def _shapes(
    rng: np.random.Generator, kind: Kind, number: int, deviation: float
) -> NDArray[np.float32]:
    """Return a field with so many swells a side."""
    coarse = rng.standard_normal((number, number), dtype=np.float32) * np.float32(deviation)
    size = (kind.width, kind.height)
    return np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))
