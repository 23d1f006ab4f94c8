"""The chest behind a synthetic radiograph: its measures, and the fields that follow from them.

Lengths are fractions of the image's side, x to the right and y down. A lung has coordinates of its
own: `a` runs from the midline (0) to the chest wall (1), `t` from the apex (0) to the top of the
diaphragm (1). On a lateral view `a` runs from the breastbone to the back, so that a sign drawn in
(a, t) is at a plausible place on either view. Everything works on a batch of B images at once.
"""

from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
"""(B,) measures or (B, H, W) fields; float32 throughout."""

_Scalar = TypeVar("_Scalar", bound=np.generic)

RIBS = 8.5
"""Ribs between apex and diaphragm."""
RIB_DROP = 0.26
"""How far (in t) a posterior rib descends from the spine to the chest wall."""


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Measures of B chests as they lie on the film, one row an image."""

    lateral: NDArray[np.bool_]
    """(B,) a view from the side."""
    midline: Floats
    """(B,) x of the spine; of the breastbone on a lateral view."""
    facing: Floats
    """(B,) +1 or -1: to which side a lateral view runs from front to back."""
    tilt: Floats
    """(B,) rotation on the film, radians."""
    apex: Floats
    """(B,) y of the lungs' tops."""
    base: Floats
    """(B, 2) y of the diaphragm's top, image left and right."""
    half_width: Floats
    """(B,) midline to chest wall; front to back on a lateral view."""
    wall: Floats
    """(B,) thickness of the soft tissue around the ribs."""
    heart_width: Floats
    """(B,) half the width of the heart's shadow."""
    heart_height: Floats
    """(B,) half the height of the heart's shadow."""
    heart_shift: Floats
    """(B,) how far the heart's centre lies to the patient's left."""
    mediastinum: Floats
    """(B,) half the width of the shadow above the heart."""
    rib_phase: Floats
    """(B,) where the first rib is, in rib spacings."""
    rib_density: Floats
    """(B,) how bright the ribs are."""
    scapula: Floats
    """(B,) how far the shoulder blades lie over the lungs, 0 to 1."""

    def rows(self, index: NDArray[np.int64]) -> "Anatomy":
        """Return the anatomy of some of the images."""
        return Anatomy(*(getattr(self, f.name)[index] for f in fields(self)))


def column(values: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """Return (B, 1, 1) from (B,), to be used beside fields."""
    return values[:, None, None]


def ramp(distance: Floats, softness: float | Floats) -> Floats:
    """Return 0 outside, 1 inside, linear over `softness` around distance 0.

    >>> ramp(np.float32([-1, 0, 0.25, 1]), 1.0).tolist()
    [0.0, 0.5, 0.75, 1.0]
    """
    inside: Floats = np.clip(distance / softness + np.float32(0.5), 0.0, 1.0)
    return inside


def rib_drop_at(a: Floats) -> Floats:
    """Return how far (in t) a posterior rib has descended at `a`, 0 at the spine."""
    drop: Floats = np.float32(RIB_DROP) * a * np.sqrt(np.maximum(a, 0))
    return drop


def bell(off: Floats) -> Floats:
    """Return exp(-off²).

    >>> bell(np.float32([0.0])).tolist()
    [1.0]
    """
    height: Floats = np.exp(-np.square(off))
    return height


@dataclass(frozen=True, slots=True)
class Chest:
    """Fields of B chests on an H × W grid, all (B, H, W) float32."""

    anatomy: Anatomy
    x: Floats
    """Across the patient: image x with the tilt undone."""
    y: Floats
    signed_a: Floats
    """Lung coordinate, negative on the image's left (never on a lateral view)."""
    t: Floats
    lung: Floats
    """1 inside the lung fields, 0 outside, the heart not yet taken away."""
    heart: Floats
    """1 inside the heart's shadow."""
    mottle: Floats
    """Smooth noise of unit variance, about a twentieth of the image across."""

    def rows(self, index: NDArray[np.int64]) -> "Chest":
        """Return the fields of some of the images."""
        arrays = (getattr(self, f.name)[index] for f in fields(self) if f.name != "anatomy")
        return Chest(self.anatomy.rows(index), *arrays)

    def a_on(self, side: Floats) -> Floats:
        """Return `a` counted towards one side; negative in the other lung.

        Args:
            side: (B,) -1 image left, +1 image right; a lateral view has only one.
        """
        sign = np.where(self.anatomy.lateral, np.float32(1), side)
        a: Floats = self.signed_a * column(sign)
        return a

    def place(self, side: Floats, a: Floats, t: Floats) -> tuple[Floats, Floats]:
        """Return the (B, 1, 1) x and y of a place in lung coordinates (B,)."""
        body = self.anatomy
        sign = np.where(body.lateral, body.facing, side)
        base = np.where(side < 0, body.base[:, 0], body.base[:, 1])
        x = body.midline + sign * a * body.half_width
        return column(x), column(body.apex + t * (base - body.apex))


def wall_at(t: Floats) -> Floats:
    """Return the `a` of the chest wall at height `t`: narrow at the apex, 1 at the base."""
    above = np.clip(1 - t, 0.0, 1.0)
    return 1 - np.float32(0.50) * above * above * (np.float32(0.35) + np.float32(0.65) * above)


def floor_at(a: Floats) -> Floats:
    """Return the `t` of the diaphragm at `a`: a dome that drops into the costophrenic angle."""
    off = np.abs(a) - np.float32(0.45)
    return 1 + np.float32(0.38) * off * off * (1 + (off > 0))


def pixel_grid(size_px: int) -> tuple[Floats, Floats]:
    """Return (1, H, W) x and y of the pixels' centres, in fractions of the side."""
    centres = (np.arange(size_px, dtype=np.float32) + np.float32(0.5)) / np.float32(size_px)
    return centres[None, None, :], centres[None, :, None]


def chest_fields(anatomy: Anatomy, mottle: Floats) -> Chest:
    """Return the fields of a batch; `mottle` (B, H, W) gives their size."""
    x0, y0 = pixel_grid(mottle.shape[-1])
    cos, sin = column(np.cos(anatomy.tilt)), column(np.sin(anatomy.tilt))
    half = np.float32(0.5)
    x = half + (x0 - half) * cos + (y0 - half) * sin
    y = half + (y0 - half) * cos - (x0 - half) * sin
    across = (x - column(anatomy.midline)) / column(anatomy.half_width)
    lateral = column(anatomy.lateral)
    signed_a = np.where(lateral, across * column(anatomy.facing), across)
    base = np.where(across < 0, column(anatomy.base[:, 0]), column(anatomy.base[:, 1]))
    base = np.where(lateral, column(anatomy.base[:, 1]), base)
    t = (y - column(anatomy.apex)) / (base - column(anatomy.apex))
    lung = _lung(signed_a, t, anatomy.lateral)
    heart = _heart(anatomy, x, y, column(anatomy.base.mean(axis=1)))
    return Chest(anatomy, x, y, signed_a, t, lung, heart, mottle)


def _lung(signed_a: Floats, t: Floats, lateral: NDArray[np.bool_]) -> Floats:
    a = np.where(column(lateral), signed_a, np.abs(signed_a))
    inner = np.where(column(lateral), np.float32(0.07), np.float32(0.17))
    top = np.float32(0.55) * (a - np.float32(0.38)) ** 2
    inside = ramp(wall_at(t) - a, 0.07) * ramp(a - inner, 0.06)
    return inside * ramp(t - top, 0.05) * ramp(floor_at(a) - t, 0.06)


def _heart(anatomy: Anatomy, x: Floats, y: Floats, base: Floats) -> Floats:
    forward = np.where(anatomy.lateral, np.float32(0.30) * anatomy.half_width, anatomy.heart_shift)
    sign = np.where(anatomy.lateral, anatomy.facing, np.float32(1))
    dx = x - column(anatomy.midline + sign * forward)
    dy = y - (base - column(np.float32(0.72) * anatomy.heart_height))
    # The apex of the heart points down and to the patient's left.
    lean = np.float32(0.35)
    along = (dx + lean * dy * column(sign)) / column(anatomy.heart_width)
    up = (dy - np.float32(0.12) * dx * column(sign)) / column(anatomy.heart_height)
    # Above its middle the shadow narrows slowly into the great vessels.
    up = np.where(up < 0, np.float32(0.62) * up, up)
    along = along * (1 + np.float32(0.45) * np.clip(-up, 0.0, 1.0))
    return ramp(1 - np.sqrt(along * along + up * up), 0.16)
