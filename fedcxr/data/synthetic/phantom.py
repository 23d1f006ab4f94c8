"""A synthetic radiograph from a chest: densities added up, then exposed and given noise.

Body, lungs, heart, spine, ribs, clavicles and vessels are smooth fields on the pixel grid, so a
batch is drawn by a few dozen array operations. Not a simulation of X-ray physics: it has to look
like a radiograph and to vary from patient to patient, no more.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.synthetic.anatomy import (
    RIBS,
    Chest,
    Floats,
    bell,
    column,
    floor_at,
    ramp,
    rib_drop_at,
    wall_at,
)

COARSE = 7
"""Cells of the grid behind uneven exposure."""
FINE = 22
"""Cells of the grid behind vessels and mottle."""
HEART_SHADOW = np.float32(0.92)
"""Share of the lung's darkness that the heart takes away."""
VESSELS = np.float32(0.11)
"""Density of hilum and vessels over lung."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """How each of B films was exposed; all (B,)."""

    gain: Floats
    gamma: Floats
    bias: Floats
    grain: Floats
    """Deviation of the pixel noise, in units of the full range."""
    uneven: Floats
    """Amplitude of large, smooth unevenness; hides signs from the mean of a region."""

    def rows(self, index: NDArray[np.int64]) -> "Exposure":
        """Return the exposure of some of the images."""
        return Exposure(*(getattr(self, f.name)[index] for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Noise:
    """Noise of B images, all of unit variance and (B, H, W)."""

    uneven: Floats
    vessels: Floats
    mottle: Floats
    grain: Floats


def smooth_basis(cells: int, size_px: int) -> Floats:
    """Return (H, cells) weights that spread a coarse grid over the pixels, with unit variance."""
    at = (np.arange(size_px) + 0.5) / size_px * (cells - 1)
    weights = np.exp(-0.5 * ((at[:, None] - np.arange(cells)[None]) / 0.75) ** 2)
    basis: Floats = weights / np.sqrt((weights**2).sum(axis=1, keepdims=True))
    return basis.astype(np.float32)


def draw_noise(rngs: list[np.random.Generator], size_px: int) -> Noise:
    """Return the noise of one image for each generator, in their order."""
    count = len(rngs)
    uneven = np.empty((count, COARSE, COARSE), np.float32)
    fine = np.empty((2, count, FINE, FINE), np.float32)
    grain = np.empty((count, size_px, size_px), np.float32)
    for row, rng in enumerate(rngs):
        rng.standard_normal(out=uneven[row], dtype=np.float32)
        rng.standard_normal(out=fine[0, row], dtype=np.float32)
        rng.standard_normal(out=fine[1, row], dtype=np.float32)
        rng.standard_normal(out=grain[row], dtype=np.float32)
    coarse_basis, fine_basis = smooth_basis(COARSE, size_px), smooth_basis(FINE, size_px)
    vessels, mottle = fine_basis @ fine @ fine_basis.T
    return Noise(coarse_basis @ uneven @ coarse_basis.T, vessels, mottle, grain)


def density(chest: Chest, vessels: Floats) -> Floats:
    """Return the (B, H, W) density of healthy chests, about 0 (air) to 1."""
    film = np.empty_like(chest.x)
    lateral = chest.anatomy.lateral
    for rows, draw in ((np.flatnonzero(~lateral), _front), (np.flatnonzero(lateral), _side)):
        if rows.size:
            film[rows] = draw(chest.rows(rows), vessels[rows])
    # A film's shoulder: heart and spine are not all white, which leaves room for what lies on them.
    over: Floats = np.maximum(film - np.float32(0.72), 0)
    return film - np.float32(0.45) * over


def _front(chest: Chest, vessels: Floats) -> Floats:
    a: Floats = np.abs(chest.signed_a)
    mediastinum = _mediastinum(chest)
    air: Floats = chest.lung * (1 - HEART_SHADOW * chest.heart)
    air = air * (1 - np.float32(0.9) * mediastinum)
    film: Floats = _soft_tissue(chest, a, air) + _front_bones(chest, a)
    film = film + np.float32(0.10) * mediastinum
    return (film + VESSELS * air * _vessel_tree(chest, a, vessels)) * _front_body(chest, a)


def _side(chest: Chest, vessels: Floats) -> Floats:
    a = chest.signed_a
    air: Floats = chest.lung * (1 - HEART_SHADOW * chest.heart)
    film = _soft_tissue(chest, a, air) + _side_bones(chest)
    return (film + VESSELS * air * _vessel_tree(chest, a, vessels)) * _side_body(chest, a)


def _soft_tissue(chest: Chest, a: Floats, air: Floats) -> Floats:
    abdomen = ramp(chest.t - floor_at(a), 0.15)
    film: Floats = np.float32(0.58) + np.float32(0.13) * abdomen - np.float32(0.43) * air
    return film + np.float32(0.07) * chest.heart


def expose(film: Floats, noise: Noise, exposure: Exposure) -> NDArray[np.uint8]:
    """Return (B, H, W) bytes from densities."""
    film = film + column(exposure.uneven) * noise.uneven
    film = np.clip(film, 0.0, 1.2) ** column(exposure.gamma)
    film = column(exposure.bias) + column(exposure.gain) * film
    film += column(exposure.grain) * noise.grain
    return np.rint(np.clip(film, 0.0, 1.0) * 255).astype(np.uint8)


def _mediastinum(chest: Chest) -> Floats:
    anatomy = chest.anatomy
    off = np.abs(chest.x - column(anatomy.midline))
    # Narrow behind the collar bones, widest at the arch of the aorta and below.
    width = column(anatomy.mediastinum) * (
        np.float32(0.75) + np.float32(0.35) * ramp(chest.t - np.float32(0.22), 0.3)
    )
    return ramp(width - off, 0.03)


def _vessel_tree(chest: Chest, a: Floats, vessels: Floats) -> Floats:
    ridge = bell(vessels / np.float32(0.32))
    da = (a - np.float32(0.28)) / np.float32(0.42)
    dt = (chest.t - np.float32(0.48)) / np.float32(0.42)
    reach = bell(da) * bell(dt)
    hilum = bell((a - np.float32(0.27)) / np.float32(0.13)) * bell(dt / np.float32(0.45))
    return reach * ridge + np.float32(0.9) * hilum


def _front_bones(chest: Chest, a: Floats) -> Floats:
    anatomy = chest.anatomy
    in_cage = ramp(wall_at(chest.t) + np.float32(0.04) - a, 0.04) * ramp(
        np.float32(1.25) - chest.t, 0.3
    )
    in_cage = in_cage * ramp(chest.t + np.float32(0.1), 0.1)
    clipped = np.clip(a, 0.0, 1.1)
    turn = np.float32(2 * np.pi)
    back = np.float32(RIBS) * (chest.t - rib_drop_at(clipped))
    front = np.float32(RIBS) * (chest.t + np.float32(0.45) * clipped)
    phase = column(anatomy.rib_phase)
    ribs = ramp(np.cos(turn * (back + phase)) - np.float32(0.15), 0.6)
    ribs += (
        np.float32(0.40)
        * ramp(np.cos(turn * (front - phase)) - np.float32(0.35), 0.7)
        * (a > np.float32(0.45))
    )
    bones = column(anatomy.rib_density) * ribs * in_cage
    off = (chest.x - column(anatomy.midline)) / np.float32(0.042)
    vertebrae = 1 + np.float32(0.25) * np.cos(turn * np.float32(11) * chest.t)
    bones += np.float32(0.07) * bell(off * off) * vertebrae
    bar = chest.t - np.float32(0.10) + np.float32(0.20) * (a - np.float32(0.1))
    collar = bell(bar / np.float32(0.034)) * ramp(np.float32(1.15) - a, 0.2)
    bones += np.float32(0.12) * collar * ramp(a - np.float32(0.08), 0.1)
    blade = ramp(a - np.float32(0.80) + np.float32(0.25) * (chest.t - np.float32(0.2)), 0.08)
    blade = blade * ramp(np.float32(0.55) - chest.t, 0.15) * ramp(np.float32(1.25) - a, 0.2)
    return bones + np.float32(0.07) * column(anatomy.scapula) * blade


def _side_bones(chest: Chest) -> Floats:
    a, t = chest.signed_a, chest.t
    turn = np.float32(2 * np.pi)
    spine = bell(np.square((a - np.float32(0.86)) / np.float32(0.10)))
    discs = ramp(np.cos(turn * np.float32(9) * t) + np.float32(0.7), 0.6)
    bones: Floats = np.float32(0.16) * spine * (np.float32(0.55) + np.float32(0.45) * discs)
    breastbone = bell(a / np.float32(0.05))
    bones += np.float32(0.12) * breastbone * ramp(np.float32(0.75) - t, 0.2)
    along = np.float32(RIBS) * (t - np.float32(0.45) * (1 - a)) + column(chest.anatomy.rib_phase)
    ribs = ramp(np.cos(turn * along) - np.float32(0.45), 0.5)
    bones += np.float32(0.6) * column(chest.anatomy.rib_density) * ribs
    return bones + np.float32(0.10) * ramp(np.float32(0.10) - t, 0.2)


def _front_body(chest: Chest, a: Floats) -> Floats:
    """Return 1 in the body, 0 in the air beside neck and flanks."""
    wall = 1 + column(chest.anatomy.wall / chest.anatomy.half_width)
    out = np.clip(a - np.float32(0.2), 0, 2)
    shoulder = chest.t + np.float32(0.14) - np.float32(0.16) * out * out
    neck = ramp(np.float32(0.30) - a, 0.08)
    arms = np.float32(0.45) * ramp(np.float32(0.45) - chest.t, 0.5)
    return np.maximum(ramp(wall + arms - a, 0.07) * ramp(shoulder, 0.06), neck)


def _side_body(chest: Chest, a: Floats) -> Floats:
    wall = column(chest.anatomy.wall)
    back = 1 + wall / column(chest.anatomy.half_width)
    return ramp(back - a, 0.06) * ramp(a + wall * np.float32(2.2), 0.06)
