"""Signs inside the lung: each function draws one finding on one side of B chests.

Arguments of all: the chest's fields, `side` (B,) -1 image left or +1 image right, and `u` (B, 6)
uniform draws that choose place, size and shape. All return the change of density in units of the
sign's stated contrast, (B, H, W), and the finding's mask, (B, H, W) bool.
"""

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.synthetic.anatomy import Chest, Floats, bell, column, floor_at, ramp

Drawn = tuple[Floats, NDArray[np.bool_]]


def between(low: float, high: float, u: Floats) -> Floats:
    """Return uniform draws from [low, high] given draws from [0, 1]."""
    return (np.float32(low) + np.float32(high - low) * u).astype(np.float32)


def open_lung(chest: Chest) -> Floats:
    """Return 1 where lung is seen, a third of it behind the heart."""
    return chest.lung * (1 - np.float32(0.66) * chest.heart)


def _falloff(square: Floats) -> Floats:
    """Return exp(-r³) from r²: flat in the middle, gone soon after r = 1."""
    height: Floats = np.exp(-square * np.sqrt(square))
    return height


def nodule(chest: Chest, side: Floats, u: Floats) -> Drawn:
    """Draw a round shadow of 8 to 12 % of the image across."""
    return _round(chest, side, u, between(0.040, 0.058, u[:, 2]))


def lesion(chest: Chest, side: Floats, u: Floats) -> Drawn:
    """Draw a round shadow of 13 to 18 % of the image across."""
    return _round(chest, side, u, between(0.064, 0.092, u[:, 2]))


def mass(chest: Chest, side: Floats, u: Floats) -> Drawn:
    """Draw a round shadow of 17 to 24 % of the image across."""
    return _round(chest, side, u, between(0.085, 0.120, u[:, 2]))


def _round(chest: Chest, side: Floats, u: Floats, radius: Floats) -> Drawn:
    x, y = chest.place(side, between(0.38, 0.80, u[:, 0]), between(0.22, 0.86, u[:, 1]))
    dx, dy = chest.x - x, chest.y - y
    lobes = np.float32(0.10) * chest.mottle
    inside = 1 - np.sqrt(dx * dx + dy * dy) / column(radius) + np.clip(lobes, -0.15, 0.15)
    return ramp(inside, 0.30), inside > 0


def opacity(chest: Chest, side: Floats, u: Floats) -> Drawn:
    """Draw a hazy, mottled veil: an opacity with no other name, or an infiltration."""
    x, y = chest.place(side, between(0.45, 0.68, u[:, 0]), between(0.30, 0.78, u[:, 1]))
    dx = (chest.x - x) / column(between(0.10, 0.15, u[:, 2]))
    dy = (chest.y - y) / column(between(0.11, 0.18, u[:, 3]))
    reach = _falloff(dx * dx + dy * dy)
    veil = reach * open_lung(chest) * (1 + np.float32(0.55) * np.clip(chest.mottle, -1.6, 1.6))
    return veil, (reach > 0.35) & (chest.lung > 0.5)


def edema(chest: Chest, side: Floats, u: Floats) -> Drawn:
    """Draw one wing of a perihilar haze, crossed by fine horizontal (Kerley) lines."""
    a = chest.a_on(side)
    da = (a - column(between(0.40, 0.48, u[:, 0]))) / np.float32(0.34)
    dt = (chest.t - column(between(0.48, 0.58, u[:, 1]))) / column(between(0.30, 0.38, u[:, 2]))
    reach = _falloff(da * da + dt * dt) * (a > 0)
    step = column(between(0.046, 0.056, u[:, 3]))
    waves = chest.y + np.float32(0.03) * a + np.float32(0.006) * chest.mottle
    lines = ramp(np.cos(np.float32(2 * np.pi) * waves / step) - np.float32(0.2), 0.8)
    wing = reach * open_lung(chest) * (np.float32(1.05) * lines - np.float32(0.15))
    return wing, (reach > 0.40) & (chest.lung > 0.5)


def consolidation(chest: Chest, side: Floats, u: Floats) -> Drawn:
    """Draw a dense lobe with one straight edge, the fissure, and dark air-filled bronchi in it."""
    x, y = chest.place(side, between(0.46, 0.66, u[:, 0]), between(0.34, 0.74, u[:, 1]))
    dx = (chest.x - x) / column(between(0.115, 0.15, u[:, 2]))
    dy = (chest.y - y) / column(between(0.12, 0.16, u[:, 3]))
    round_edge = ramp(1 - np.sqrt(dx * dx + dy * dy), 0.20)
    # The fissure cuts the lobe off above or below its middle, a little aslant.
    below = column(np.where(u[:, 4] < 0.5, np.float32(1), np.float32(-1)))
    fissure = ramp(below * (dy + np.float32(0.12) * dx) + np.float32(0.25), 0.12)
    shape = round_edge * fissure * chest.lung
    angle = column(between(-0.7, 0.7, u[:, 5]))
    across = (chest.x - x) * np.cos(angle) + (chest.y - y) * np.sin(angle)
    bent = across + np.float32(0.012) * chest.mottle
    bronchi = ramp(np.cos(np.float32(2 * np.pi / 0.085) * bent) - np.float32(0.55), 0.6)
    return shape * (1 - np.float32(0.80) * bronchi), shape > 0.4


def pneumonia(chest: Chest, side: Floats, u: Floats) -> Drawn:
    """Draw a cluster of small fuzzy patches."""
    x, y = chest.place(side, between(0.46, 0.70, u[:, 0]), between(0.42, 0.84, u[:, 1]))
    start = np.float32(2 * np.pi) * u[:, 2]
    spread = between(0.075, 0.100, u[:, 3])
    patches = np.zeros_like(chest.x)
    for spoke in range(6):
        angle = start + np.float32(2.4 * spoke)
        far = spread * np.float32(0.2 + 0.18 * spoke)
        dx = chest.x - x - column(far * np.cos(angle))
        dy = chest.y - y - column(far * np.sin(angle))
        patches += np.exp(-(dx * dx + dy * dy) / np.float32(0.025**2))
    drawn = np.minimum(patches, np.float32(1.2)) * chest.lung
    return drawn, (patches > 0.25) & (chest.lung > 0.5)


def atelectasis(chest: Chest, side: Floats, u: Floats) -> Drawn:
    """Draw a plate of collapsed lung above a raised diaphragm."""
    x, y = chest.place(side, between(0.48, 0.64, u[:, 0]), between(0.66, 0.88, u[:, 1]))
    angle = column(between(-0.45, 0.45, u[:, 2]))
    dx, dy = chest.x - x, chest.y - y
    along = dx * np.cos(angle) + dy * np.sin(angle)
    across = dy * np.cos(angle) - dx * np.sin(angle)
    half_length = column(between(0.105, 0.145, u[:, 3]))
    half_thick = column(between(0.013, 0.019, u[:, 4]))
    plate = ramp(half_thick - np.abs(across), 0.012) * ramp(half_length - np.abs(along), 0.03)
    shadow = np.float32(0.25) * bell(across / np.float32(0.045))
    shadow = shadow * ramp(half_length - np.abs(along), 0.06)
    drawn = np.maximum(plate, shadow) * ramp(chest.lung, 0.6)
    return drawn, drawn > 0.20


def emphysema(chest: Chest, side: Floats, u: Floats) -> Drawn:
    """Draw bullae: dark, thin-walled rings in the upper half of a lung."""
    drawn = np.zeros_like(chest.x)
    mask = np.zeros(chest.x.shape, dtype=bool)
    for ring in range(3):
        a = between(0.34, 0.66, np.mod(u[:, 0] + np.float32(0.37 * ring), 1))
        t = np.float32(0.16 + 0.17 * ring) + between(0.0, 0.08, u[:, 1])
        x, y = chest.place(side, a, t)
        radius = column(between(0.040, 0.058, np.mod(u[:, 2] + np.float32(0.41 * ring), 1)))
        off = np.sqrt((chest.x - x) ** 2 + (chest.y - y) ** 2) - radius
        drawn += bell(off / np.float32(0.011)) - np.float32(0.55) * ramp(-off, 0.02)
        mask |= off < 0.008
    return drawn * chest.lung, mask & (chest.lung > 0.4)


def fibrosis(chest: Chest, side: Floats, u: Floats) -> Drawn:
    """Draw a honeycomb at the base of a lung."""
    a = chest.a_on(side)
    da = (a - column(between(0.56, 0.68, u[:, 0]))) / np.float32(0.36)
    dt = (chest.t - column(between(0.74, 0.84, u[:, 1]))) / np.float32(0.26)
    reach = _falloff(da * da + dt * dt) * (a > 0)
    turn = np.float32(2 * np.pi) / column(between(0.085, 0.105, u[:, 2]))
    bend = np.float32(0.006) * chest.mottle
    cells = np.cos(turn * (chest.x + chest.y + bend)) * np.cos(turn * (chest.x - chest.y - bend))
    net = ramp(np.float32(0.32) - np.abs(cells), 0.4)
    floor = ramp(floor_at(a) - chest.t, 0.08)
    return net * reach * chest.lung * floor, (reach > 0.40) & (chest.lung > 0.5)
