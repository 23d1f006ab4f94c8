"""Everything about a synthetic data set that is settled before the first pixel is drawn.

All random choices but the noise of the single image are made here, for the whole data set at once;
drawing is then a function of the plan's rows, whatever the number of workers.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.synthetic.anatomy import Anatomy, Floats
from fedcxr.data.synthetic.casemix import FINDINGS, LABELS, CaseMix, draw_case_mix
from fedcxr.data.synthetic.phantom import Exposure
from fedcxr.data.synthetic.signs import (
    NUM_DRAWS,
    SIGN_NAMES,
    Strokes,
    deform,
    expand_sides,
    strength_of,
)
from fedcxr.seeding import derive_rng

UNEVEN = 0.100
"""Amplitude of uneven exposure: as large as what most signs add to the mean of a thumbnail's cell,
so that a linear probe on thumbnails learns little, while edges and textures stay visible. Together
with the spread of poses it took the probe from macro AUROC 0.81 (at 0.055) to below 0.70."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A data set to be drawn: N images with their anatomy, exposure and signs."""

    layout: str
    labels: tuple[str, ...]
    size_px: int
    seed: int
    cases: CaseMix
    anatomy: Anatomy
    """As the signs change it."""
    exposure: Exposure
    strokes: Strokes

    def __len__(self) -> int:
        return len(self.cases.views.patient)

    def truth(self) -> NDArray[np.bool_]:
        """Return the (N, L) truth of the images."""
        return self.cases.truth[self.cases.views.study]


def plan_data_set(layout: str, *, patients: int, size_px: int, seed: int, num_sites: int) -> Plan:
    """Return the plan of a data set; the same arguments give the same plan."""
    cases = draw_case_mix(layout, patients, num_sites, seed)
    strokes = _draw_strokes(layout, cases, seed)
    anatomy = deform(_draw_anatomy(cases, seed), strokes)
    exposure = _draw_exposure(cases, seed)
    return Plan(layout, LABELS[layout], size_px, seed, cases, anatomy, exposure, strokes)


def _draw_anatomy(cases: CaseMix, seed: int) -> Anatomy:
    """Return the healthy anatomy of every image: the patient's own, and how it lies on the film."""
    own = derive_rng(seed, "synthetic", "anatomy")
    lie = derive_rng(seed, "synthetic", "pose")
    who, count = cases.views.patient, len(cases.views.patient)

    def body(mean: float, deviation: float) -> NDArray[np.float64]:
        draws = np.clip(own.standard_normal(len(cases.site)), -2.2, 2.2)
        return (mean + deviation * draws)[who]

    def pose(deviation: float, *shape: int) -> NDArray[np.float64]:
        return deviation * np.clip(lie.standard_normal((count, *shape)), -2.2, 2.2)

    side = cases.views.lateral
    zoom = np.where(cases.views.ap, 1.03, 1.0) * (1 + pose(0.055))
    half_width = body(0.385, 0.018) * zoom
    apex = 0.125 + body(0.0, 0.010) + pose(0.032) + np.where(cases.views.ap, 0.015, 0.0)
    # A supine or sick patient breathes in less: the diaphragm stands higher on an AP film.
    height = body(0.60, 0.030) * zoom - np.where(cases.views.ap, 0.035, 0.0) + pose(0.025)
    right_higher = 0.012 + body(0.0, 0.015) + pose(0.012)
    base = (apex + height)[:, None] + np.stack([-right_higher, right_higher], axis=1)
    # The heart is further from the film on an AP view, so its shadow is wider by about an eighth.
    magnified = np.where(cases.views.ap, 1.09, 1.0)
    heart = body(0.43, 0.032) * magnified * half_width
    facing = np.where(own.random(len(cases.site)) < 0.5, 1.0, -1.0)[who]
    depth = body(0.70, 0.02) * zoom
    return _as_float32(
        lateral=side,
        midline=np.where(side, 0.5 - facing * 0.46 * depth, 0.5) + pose(0.036),
        facing=facing,
        tilt=pose(0.045),
        apex=apex,
        base=np.where(side[:, None], (apex + height)[:, None] + 0.02, base),
        half_width=np.where(side, depth, half_width),
        wall=body(0.040, 0.012),
        heart_width=np.where(side, 0.95, 1.0) * heart,
        heart_height=body(0.135, 0.010) * np.where(side, 1.15, 1.0),
        heart_shift=body(0.045, 0.015) * magnified,
        mediastinum=body(0.072, 0.007) * np.where(cases.views.ap, 1.06, 1.0),
        rib_phase=own.random(len(cases.site))[who],
        rib_density=body(0.060, 0.012),
        scapula=np.where(cases.views.ap, 0.7, 0.1) + pose(0.1),
    )


def _as_float32(lateral: NDArray[np.bool_], **measures: NDArray[np.float64]) -> Anatomy:
    rounded = {name: values.astype(np.float32) for name, values in measures.items()}
    return Anatomy(lateral=lateral, **rounded)


def _draw_exposure(cases: CaseMix, seed: int) -> Exposure:
    rng = derive_rng(seed, "synthetic", "exposure")
    site, count = cases.site[cases.views.patient], len(cases.views.patient)

    def around(mean: NDArray[np.float64], deviation: float) -> Floats:
        return (mean + deviation * rng.standard_normal(count)).astype(np.float32)

    sites = cases.sites
    return Exposure(
        gain=around(0.93 * sites.gain[site], 0.05),
        gamma=np.clip(around(sites.gamma[site], 0.07), 0.6, 1.5),
        bias=around(0.03 + sites.bias[site], 0.025),
        grain=np.clip(around(sites.grain[site], 0.003), 0.008, None),
        uneven=np.clip(around(np.full(count, UNEVEN), 0.012), 0.0, None),
    )


def _draw_strokes(layout: str, cases: CaseMix, seed: int) -> Strokes:
    """Return the strokes of every image; the views of a study share sides and shapes."""
    rng = derive_rng(seed, "synthetic", "strokes")
    labels, findings = LABELS[layout], FINDINGS[layout]
    drawn = cases.truth.copy()
    if layout == "chexpert":
        opacity = labels.index("Lung Opacity")
        causes = [labels.index(n) for n, f in findings.items() if f.implies_opacity]
        # An opacity that has a name is that finding; only an unnamed one has a sign of its own.
        drawn[:, opacity] &= ~drawn[:, causes].any(axis=1)
        drawn[:, labels.index("No Finding")] = False
    study, label = np.nonzero(drawn)
    code = np.array([SIGN_NAMES.index(findings[n].sign) if n in findings else -1 for n in labels])
    row, side = expand_sides(code[label], rng)
    u = rng.random((len(row), NUM_DRAWS), dtype=np.float32)
    wobble = 0.06 * rng.standard_normal(len(row)).astype(np.float32)
    severity = np.clip(cases.severity[study[row], label[row]] + wobble, 0.0, 1.0)
    by_study = Strokes(study[row], label[row], code[label[row]], side, strength_of(severity), u)
    return _to_images(by_study, cases)


def _to_images(by_study: Strokes, cases: CaseMix) -> Strokes:
    """Return the strokes of the images, each image getting those of its study."""
    studies = len(cases.truth)
    per_study = np.bincount(by_study.image, minlength=studies)
    start = np.cumsum(per_study) - per_study
    per_image = per_study[cases.views.study]
    image = np.repeat(np.arange(len(cases.views.study)), per_image)
    first = np.cumsum(per_image) - per_image
    within = np.arange(len(image)) - np.repeat(first, per_image)
    return replace(by_study.rows(start[cases.views.study[image]] + within), image=image)
