"""Signs of heart, pleura, bones and devices; the same arguments and results as `signs_lung`."""

import numpy as np

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
from fedcxr.data.synthetic.signs_lung import Drawn, between, open_lung


def cardiomegaly(chest: Chest, side: Floats, u: Floats) -> Drawn:
    """Mark the heart; the anatomy already has it wide."""
    del side, u
    return np.zeros_like(chest.x), chest.heart > 0.5


def wide_mediastinum(chest: Chest, side: Floats, u: Floats) -> Drawn:
    """Mark the shadow above the heart, wide in the anatomy, and give it a knob on one side."""
    body = chest.anatomy
    knob_y = column(body.apex) + column(between(0.13, 0.17, u[:, 0]))
    knob_x = column(body.midline + side * (body.mediastinum + np.float32(0.005)))
    dx = (chest.x - knob_x) / np.float32(0.038)
    dy = (chest.y - knob_y) / np.float32(0.050)
    knob = ramp(1 - np.sqrt(dx * dx + dy * dy), 0.35)
    off = np.abs(chest.x - column(body.midline))
    middle = (off < column(body.mediastinum)) & (chest.t > 0.06) & (chest.t < 0.52)
    return knob * ramp(chest.lung + np.float32(0.2), 0.5), middle | (knob > 0.4)


def pneumothorax(chest: Chest, side: Floats, u: Floats) -> Drawn:
    """Draw a dark rim at apex and side, bounded by the bright line of the pleura."""
    a = chest.a_on(side)
    depth = column(between(0.15, 0.27, u[:, 0]))
    end = column(between(0.50, 0.78, u[:, 1]))
    # Distance from the pleural line, in units of a: the rim tapers downwards.
    rim = depth * np.sqrt(np.clip(1 - chest.t / end, 0.0, 1.0))
    top = np.float32(0.55) * (a - np.float32(0.38)) ** 2
    outward = np.maximum(a - (wall_at(chest.t) - rim), top + np.float32(0.55) * rim - chest.t)
    here = chest.lung * (a > 0.12) * (chest.t < end)
    gap = ramp(outward, 0.03) * here
    line = bell(outward / np.float32(0.032)) * here * (rim > 0.02)
    return np.float32(1.15) * line - np.float32(0.60) * gap, (gap > 0.4) | (line > 0.6)


def effusion(chest: Chest, side: Floats, u: Floats) -> Drawn:
    """Draw fluid in the costophrenic angle with a concave upper edge, the meniscus."""
    a = chest.a_on(side)
    level = column(between(0.72, 0.94, u[:, 0]))
    rise = np.float32(0.30) * np.clip(a - np.float32(0.30), 0.0, 0.7) ** 2 / np.float32(0.49)
    depth = chest.t - (level + np.float32(0.12) - rise)
    angle = ramp(a - np.float32(0.30), 0.12) * ramp(wall_at(chest.t) + np.float32(0.02) - a, 0.05)
    fluid = ramp(depth, 0.06) * angle * ramp(floor_at(a) + np.float32(0.06) - chest.t, 0.08)
    edge = np.float32(0.30) * bell(depth / np.float32(0.035)) * angle * chest.lung
    drawn = fluid * open_lung(chest) + edge
    return drawn, (drawn > 0.3)


def pleural_thickening(chest: Chest, side: Floats, u: Floats) -> Drawn:
    """Draw a scalloped band along the chest wall."""
    a = chest.a_on(side)
    start = column(between(0.12, 0.46, u[:, 0]))
    length = column(between(0.34, 0.48, u[:, 1]))
    scallops = np.cos(np.float32(2 * np.pi / 0.13) * (chest.t - start) + np.float32(np.pi))
    width = column(between(0.10, 0.14, u[:, 2])) * (1 + np.float32(0.45) * scallops)
    # A lung is twice as deep as wide, so the same band is half as much of it.
    width = width * np.where(column(chest.anatomy.lateral), np.float32(0.5), np.float32(1))
    inward = width - (wall_at(chest.t) + np.float32(0.01) - a)
    ends = ramp(chest.t - start, 0.05) * ramp(start + length - chest.t, 0.05)
    band = ramp(inward, 0.05) * ends * ramp(wall_at(chest.t) + np.float32(0.03) - a, 0.04)
    return band * (a > 0), (band > 0.4) & (a > 0)


def fracture(chest: Chest, side: Floats, u: Floats) -> Drawn:
    """Draw a broken rib: two bright ends out of line, with a dark gap between them."""
    body = chest.anatomy
    a = between(0.55, 0.82, u[:, 0])
    number = np.floor(between(2.0, 5.99, u[:, 1]))
    t = (number - body.rib_phase) / np.float32(RIBS) + rib_drop_at(a)
    x, y = chest.place(side, a, t)
    dx, dy = chest.x - x, chest.y - y
    sign = np.where(body.lateral, body.facing, side)
    slope = column(np.float32(0.30) * sign)
    along = dx + slope * dy
    across = dy - slope * dx
    step = column(np.where(u[:, 2] < 0.5, np.float32(0.017), np.float32(-0.017)))
    across = across - step * np.sign(along)
    end = ramp(np.float32(0.017) - np.abs(across), 0.014)
    span = np.abs(along)
    ends = end * ramp(span - np.float32(0.012), 0.010) * ramp(np.float32(0.066) - span, 0.02)
    gap = ramp(np.float32(0.012) - span, 0.008) * ramp(np.float32(0.038) - np.abs(dy), 0.02)
    near = (span < 0.070) & (np.abs(across) < 0.030)
    return ends - np.float32(0.55) * gap, near


def hernia(chest: Chest, side: Floats, u: Floats) -> Drawn:
    """Draw a stomach above the diaphragm: a ring behind the heart with gas over a fluid level."""
    x, y = chest.place(side, between(0.12, 0.22, u[:, 0]), between(0.86, 0.94, u[:, 1]))
    radius = column(between(0.075, 0.100, u[:, 2]))
    dx, dy = chest.x - x, chest.y - y
    off = np.sqrt(dx * dx + dy * dy) - radius
    ring = bell(off / np.float32(0.014))
    gas = ramp(-off, 0.02) * ramp(-dy + np.float32(0.005), 0.01)
    return np.float32(0.9) * ring - np.float32(1.1) * gas, off < 0.012


def device(chest: Chest, side: Floats, u: Floats) -> Drawn:
    """Draw a pacemaker with its lead, a central venous line or a breathing tube."""
    pace, line, tube = (u[:, 5] < 0.36), (u[:, 5] >= 0.36) & (u[:, 5] < 0.70), u[:, 5] >= 0.70
    drawn, mask = np.zeros_like(chest.x), np.zeros(chest.x.shape, dtype=bool)
    for chosen, draw in ((pace, _pacemaker), (line, _central_line), (tube, _tube)):
        rows = np.flatnonzero(chosen)
        if rows.size:
            drawn[rows], mask[rows] = draw(chest.rows(rows), side[rows], u[rows])
    return drawn, mask


def _pacemaker(chest: Chest, side: Floats, u: Floats) -> Drawn:
    x, y = chest.place(side, between(0.58, 0.80, u[:, 0]), between(0.16, 0.28, u[:, 1]))
    dx = np.abs(chest.x - x) / column(between(0.050, 0.062, u[:, 2]))
    dy = np.abs(chest.y - y) / column(between(0.042, 0.052, u[:, 3]))
    case = ramp(1 - np.sqrt(np.sqrt(np.square(dx * dx) + np.square(dy * dy))), 0.14)
    end_x, end_y = chest.place(side, between(0.05, 0.15, u[:, 4]), between(0.62, 0.74, u[:, 3]))
    lead = _wire(chest, (x, y), (end_x, end_y), bend=0.09, side=side)
    drawn = np.maximum(case, lead)
    return drawn, drawn > 0.45


def _central_line(chest: Chest, side: Floats, u: Floats) -> Drawn:
    start = chest.place(side, between(0.40, 0.62, u[:, 0]), between(-0.02, 0.06, u[:, 1]))
    end = chest.place(side, between(0.10, 0.20, u[:, 2]), between(0.42, 0.58, u[:, 3]))
    wire = _wire(chest, start, end, bend=-0.10, side=side)
    return wire, wire > 0.45


def _tube(chest: Chest, side: Floats, u: Floats) -> Drawn:
    del side
    body = chest.anatomy
    forward = np.where(body.lateral, np.float32(0.5) * body.half_width * body.facing, 0)
    x = column(body.midline + forward.astype(np.float32) + between(-0.02, 0.02, u[:, 0]))
    tip = column(body.apex + between(0.17, 0.27, u[:, 1]))
    lean = column(between(-0.06, 0.06, u[:, 2]))
    off = np.abs(chest.x - x - lean * (chest.y - tip))
    # Two walls with the air between them.
    walls = bell((off - np.float32(0.017)) / np.float32(0.008))
    tube = walls * ramp(tip - chest.y, 0.02)
    inside = (off < 0.028) & (chest.y < tip)
    return tube - np.float32(0.45) * (off < 0.011) * (chest.y < tip), inside


def _wire(
    chest: Chest,
    start: tuple[Floats, Floats],
    end: tuple[Floats, Floats],
    *,
    bend: float,
    side: Floats,
) -> Floats:
    """Return a bright curve from `start` to `end`, bowed by `bend` of the image."""
    run_x, run_y = end[0] - start[0], end[1] - start[1]
    length = np.sqrt(run_x * run_x + run_y * run_y)
    dx, dy = chest.x - start[0], chest.y - start[1]
    along = (dx * run_x + dy * run_y) / (length * length)
    across = (dx * run_y - dy * run_x) / length
    bow = column(np.float32(bend) * side) * 4 * along * (1 - along)
    steep = 1 + np.abs(column(np.float32(bend) * side) * 4 * (1 - 2 * along) / length)
    width = np.float32(0.0105) * np.minimum(steep, np.float32(1.6))
    near = bell((across - bow) / width)
    return near * ramp(along, 0.02) * ramp(1 - along, 0.02)
