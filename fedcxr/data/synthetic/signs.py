"""The visible signs of the synthetic data: which there are, how strong, and how they are drawn.

A `Strokes` table has one row for each sign on one side of one image; `draw_strokes` adds them to a
batch of films and returns their masks. A sign that changes the anatomy (a wide heart, a raised
diaphragm) does so before the film is drawn, in `deform`.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.synthetic import signs_chest, signs_lung
from fedcxr.data.synthetic.anatomy import Anatomy, Chest, Floats, column
from fedcxr.data.synthetic.signs_lung import Drawn, between

NUM_DRAWS = 6
"""Uniform draws that choose a stroke's place, size and shape."""


@dataclass(frozen=True, slots=True)
class Sign:
    """How one finding looks."""

    draw: Callable[[Chest, Floats, Floats], Drawn]
    contrast: float
    """Change of density at its strongest, where the range from air to bone is about 0.2 to 0.9."""
    both_sides: float = 0.0
    """Probability that it is on both sides."""


# Contrasts are set by measurement on the default set (1600 patients, seed 0): a logistic probe on
# 8 × 8 thumbnails reaches macro AUROC 0.69, a DenseNet of 0.2 M parameters at 64 px 0.83 after 4
# and 0.88 after 8 epochs over the 2,900 training images. Effusion and edema keep little contrast
# because they cover much of the film: at 0.36 and 0.22, with poses less varied than now, the probe
# alone found them (AUROC 0.99 and 0.96).
SIGNS = {
    "wide mediastinum": Sign(signs_chest.wide_mediastinum, 0.28),
    "wide heart": Sign(signs_chest.cardiomegaly, 0.0),
    "opacity": Sign(signs_lung.opacity, 0.24),
    "lesion": Sign(signs_lung.lesion, 0.44),
    "nodule": Sign(signs_lung.nodule, 0.34),
    "mass": Sign(signs_lung.mass, 0.28),
    "edema": Sign(signs_lung.edema, 0.13, both_sides=1.0),
    "consolidation": Sign(signs_lung.consolidation, 0.30, both_sides=0.1),
    "pneumonia": Sign(signs_lung.pneumonia, 0.32, both_sides=0.15),
    "atelectasis": Sign(signs_lung.atelectasis, 0.34, both_sides=0.15),
    "pneumothorax": Sign(signs_chest.pneumothorax, 0.26),
    "effusion": Sign(signs_chest.effusion, 0.24, both_sides=0.4),
    "pleural thickening": Sign(signs_chest.pleural_thickening, 0.46, both_sides=0.1),
    "fracture": Sign(signs_chest.fracture, 0.40),
    "device": Sign(signs_chest.device, 0.42),
    "emphysema": Sign(signs_lung.emphysema, 0.26, both_sides=0.7),
    "fibrosis": Sign(signs_lung.fibrosis, 0.28, both_sides=0.6),
    "hernia": Sign(signs_chest.hernia, 0.32),
}

SIGN_NAMES = tuple(SIGNS)


@dataclass(frozen=True, slots=True)
class Strokes:
    """Signs to draw, sorted by image; all arrays have S rows."""

    image: NDArray[np.int64]
    """Which image."""
    label: NDArray[np.int64]
    """Column of the data set's labels."""
    sign: NDArray[np.int64]
    """Position in `SIGN_NAMES`."""
    side: Floats
    """-1 image left, +1 image right."""
    strength: Floats
    """Share of the stated contrast."""
    u: Floats
    """(S, NUM_DRAWS) uniform draws."""

    def __len__(self) -> int:
        return len(self.image)

    def rows(self, index: NDArray[np.int64]) -> "Strokes":
        """Return some of the strokes."""
        return Strokes(*(getattr(self, f.name)[index] for f in fields(self)))


def deform(anatomy: Anatomy, strokes: Strokes) -> Anatomy:
    """Return the anatomy as the signs change it."""
    heart, middle = anatomy.heart_width.copy(), anatomy.mediastinum.copy()
    height, base = anatomy.heart_height.copy(), anatomy.base.copy()
    deformed = {
        name: strokes.rows(np.flatnonzero(strokes.sign == SIGN_NAMES.index(name)))
        for name in ("wide heart", "wide mediastinum", "atelectasis", "emphysema")
    }
    wide = deformed["wide heart"]
    heart[wide.image] *= 1 + np.float32(0.28) * wide.strength
    height[wide.image] *= 1 + np.float32(0.10) * wide.strength
    wide = deformed["wide mediastinum"]
    middle[wide.image] *= 1 + np.float32(0.40) * wide.strength
    for name, move in (("atelectasis", -0.045), ("emphysema", 0.03)):
        moved = deformed[name]
        column_of_side = (moved.side > 0).astype(np.int64)
        np.add.at(base, (moved.image, column_of_side), np.float32(move) * moved.strength)
    return replace(anatomy, heart_width=heart, heart_height=height, mediastinum=middle, base=base)


def draw_strokes(film: Floats, chest: Chest, strokes: Strokes) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the films with the signs added, and each stroke's mask.

    Args:
        film: (B, H, W) densities.
        chest: fields of the same B images.
        strokes: S signs, their `image` counted within the batch.

    Returns:
        (B, H, W) densities and (S, H, W) bool.
    """
    film = film.copy()
    masks = np.zeros((len(strokes), *film.shape[1:]), dtype=bool)
    for code in np.unique(strokes.sign):
        rows = np.flatnonzero(strokes.sign == code)
        chosen = strokes.rows(rows)
        sign = SIGNS[SIGN_NAMES[code]]
        change, masks[rows] = sign.draw(chest.rows(chosen.image), chosen.side, chosen.u)
        change = change * column(np.float32(sign.contrast) * chosen.strength)
        for image, added in zip(chosen.image, change, strict=True):
            film[image] += added
    return film, masks


def expand_sides(
    sign: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], Floats]:
    """Return, for each finding, one or two strokes: the finding's row and the side.

    Args:
        sign: (F,) sign of each finding.
        rng: draws the sides.
    """
    both = np.array([SIGNS[name].both_sides for name in SIGN_NAMES])[sign]
    first = np.where(rng.random(len(sign)) < 0.5, -1.0, 1.0).astype(np.float32)
    second = np.flatnonzero(rng.random(len(sign)) < both)
    row = np.concatenate([np.arange(len(sign)), second])
    side = np.concatenate([first, -first[second]])
    order = np.argsort(row, kind="stable")
    return row[order], side[order]


def strength_of(severity: Floats) -> Floats:
    """Return the share of the stated contrast for a severity in [0, 1]."""
    return between(0.60, 1.20, severity)
