"""Who the synthetic patients are and what they have: sites, views, and findings that co-occur.

Each finding is a thresholded normal score: shared factors (heart failure, infection, intensive
care, injury, chronic lung disease) make findings come together, patients keep most of their scores
from study to study, and sites shift the factors. Thresholds are set so that prevalences come out as
stated whatever the correlations are.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.labels import CHEXPERT_LABELS, NIH14_LABELS
from fedcxr.seeding import derive_rng

FACTORS = ("heart failure", "infection", "intensive care", "injury", "chronic")

TEST_FRACTION = 0.20
"""Share of the patients in CheXpert's valid or NIH's test list."""

PATIENT_SHARE = 0.7
"""Share of a score's variance that stays with the patient between studies."""

LATERAL_RATE = 0.18
SECOND_FRONTAL_RATE = 0.05


@dataclass(frozen=True, slots=True)
class Finding:
    """How often a label is true, and which factors drive it."""

    sign: str
    prevalence: float
    loadings: dict[str, float]
    implies_opacity: float = 0.0
    """Probability that it is also called a Lung Opacity."""


_HEART, _INFECTION, _CARE, _INJURY, _CHRONIC = FACTORS

# Prevalences follow CheXpert (positives plus half the uncertain), rare ones raised so that a test
# set of a few hundred images has at least 10 positives of each.
CHEXPERT_FINDINGS = {
    "Enlarged Cardiomediastinum": Finding("wide mediastinum", 0.10, {_HEART: 0.4, _CARE: 0.2}),
    "Cardiomegaly": Finding("wide heart", 0.17, {_HEART: 0.75}),
    "Lung Opacity": Finding("opacity", 0.15, {_INFECTION: 0.3, _CARE: 0.3}),
    "Lung Lesion": Finding("lesion", 0.09, {_CHRONIC: 0.5}),
    "Edema": Finding("edema", 0.20, {_HEART: 0.7, _CARE: 0.3}, implies_opacity=0.8),
    "Consolidation": Finding("consolidation", 0.10, {_INFECTION: 0.75}, implies_opacity=0.95),
    "Pneumonia": Finding("pneumonia", 0.10, {_INFECTION: 0.75}, implies_opacity=0.9),
    "Atelectasis": Finding("atelectasis", 0.18, {_CARE: 0.5, _HEART: 0.1}, implies_opacity=0.6),
    "Pneumothorax": Finding("pneumothorax", 0.10, {_INJURY: 0.6, _CARE: 0.2}),
    "Pleural Effusion": Finding("effusion", 0.32, {_HEART: 0.5, _CARE: 0.35, _INFECTION: 0.2}),
    "Pleural Other": Finding("pleural thickening", 0.07, {_CHRONIC: 0.5}),
    "Fracture": Finding("fracture", 0.08, {_INJURY: 0.6}),
    "Support Devices": Finding("device", 0.45, {_CARE: 0.75, _HEART: 0.2}),
}

NIH14_FINDINGS = {
    "Atelectasis": Finding("atelectasis", 0.10, {_CARE: 0.5}),
    "Cardiomegaly": Finding("wide heart", 0.06, {_HEART: 0.7}),
    "Consolidation": Finding("consolidation", 0.06, {_INFECTION: 0.7}),
    "Edema": Finding("edema", 0.05, {_HEART: 0.7, _CARE: 0.3}),
    "Effusion": Finding("effusion", 0.12, {_HEART: 0.5, _CARE: 0.3}),
    "Emphysema": Finding("emphysema", 0.05, {_CHRONIC: 0.6}),
    "Fibrosis": Finding("fibrosis", 0.05, {_CHRONIC: 0.6}),
    "Hernia": Finding("hernia", 0.04, {}),
    "Infiltration": Finding("opacity", 0.16, {_INFECTION: 0.5}),
    "Mass": Finding("mass", 0.06, {_CHRONIC: 0.4}),
    "Nodule": Finding("nodule", 0.07, {_CHRONIC: 0.4}),
    "Pleural_Thickening": Finding("pleural thickening", 0.05, {_CHRONIC: 0.4}),
    "Pneumonia": Finding("pneumonia", 0.05, {_INFECTION: 0.7}),
    "Pneumothorax": Finding("pneumothorax", 0.06, {_INJURY: 0.6}),
}

LABELS = {"chexpert": CHEXPERT_LABELS, "nih14": NIH14_LABELS}
FINDINGS = {"chexpert": CHEXPERT_FINDINGS, "nih14": NIH14_FINDINGS}


@dataclass(frozen=True, slots=True)
class Sites:
    """What differs between hospitals; all (K,) but `shift`."""

    shift: NDArray[np.float64]
    """(K, factors) added to the patients' factors: the case mix."""
    ap_rate: NDArray[np.float64]
    gain: NDArray[np.float64]
    gamma: NDArray[np.float64]
    bias: NDArray[np.float64]
    grain: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Views:
    """The N images: whose, of which study, and how taken."""

    patient: NDArray[np.int64]
    """(N,) sorted."""
    study: NDArray[np.int64]
    """(N,) row of `truth`."""
    study_num: NDArray[np.int64]
    """(N,) from 1 within the patient."""
    view_num: NDArray[np.int64]
    """(N,) from 1 within the study."""
    lateral: NDArray[np.bool_]
    """(N,)"""
    ap: NDArray[np.bool_]
    """(N,) the frontal view is AP."""


@dataclass(frozen=True, slots=True)
class CaseMix:
    """P patients, their studies and N images, and the truth."""

    sites: Sites
    site: NDArray[np.int64]
    """(P,) home site."""
    female: NDArray[np.bool_]
    """(P,)"""
    age: NDArray[np.int64]
    """(P,) years at the first study."""
    is_test: NDArray[np.bool_]
    """(P,)"""
    views: Views
    truth: NDArray[np.bool_]
    """(studies, L)"""
    severity: NDArray[np.float32]
    """(studies, L) in [0, 1]; also of findings that are absent."""


def draw_sites(count: int, seed: int) -> Sites:
    """Return the hospitals; the mean site is the same whatever their number."""
    rng = derive_rng(seed, "synthetic", "sites")
    spread = np.linspace(-1.0, 1.0, count) if count > 1 else np.zeros(1)
    shift = rng.normal(0.0, 0.45, (count, len(FACTORS)))
    return Sites(
        shift=shift - shift.mean(axis=0),
        ap_rate=np.clip(0.72 + 0.20 * rng.permutation(spread), 0.0, 1.0),
        gain=1.0 + 0.12 * rng.permutation(spread),
        gamma=1.0 + 0.15 * rng.permutation(spread),
        bias=0.02 * rng.permutation(spread),
        grain=0.022 + 0.010 * rng.permutation(spread),
    )


def draw_case_mix(layout: str, patients: int, num_sites: int, seed: int) -> CaseMix:
    """Return the patients, studies, images and findings of a data set."""
    sites = draw_sites(num_sites, seed)
    rng = derive_rng(seed, "synthetic", "patients")
    site = rng.integers(0, num_sites, patients)
    num_studies = np.minimum(rng.geometric(0.45, patients), 6)
    test = np.zeros(patients, dtype=bool)
    test[rng.permutation(patients)[: max(1, round(TEST_FRACTION * patients))]] = patients > 1
    owner = np.repeat(np.arange(patients), num_studies)  # (studies,)
    truth, severity = _draw_truth(layout, owner, sites.shift[site], seed)
    views = _draw_views(layout, owner, sites.ap_rate[site], rng)
    return CaseMix(
        sites=sites,
        site=site,
        female=rng.random(patients) < 0.44,
        age=np.clip(rng.normal(60, 17, patients), 18, 90).astype(np.int64),
        is_test=test,
        views=views,
        truth=truth,
        severity=severity,
    )


def _draw_views(
    layout: str, owner: NDArray[np.int64], ap_rate: NDArray[np.float64], rng: np.random.Generator
) -> Views:
    studies = len(owner)
    frontal = 1 + (rng.random(studies) < SECOND_FRONTAL_RATE)
    side = (rng.random(studies) < LATERAL_RATE).astype(np.int64)
    if layout == "nih14":
        frontal, side = np.ones_like(frontal), np.zeros_like(side)
    per_study = frontal + side
    study = np.repeat(np.arange(studies), per_study)
    first_image = np.cumsum(per_study) - per_study
    view_num = np.arange(len(study)) - first_image[study] + 1
    lateral = view_num > frontal[study]
    first_study = np.searchsorted(owner, owner)
    ap = rng.random(studies) < ap_rate[owner]
    return Views(
        patient=owner[study],
        study=study,
        study_num=(np.arange(studies) - first_study + 1)[study],
        view_num=view_num,
        lateral=lateral,
        ap=ap[study] & ~lateral,
    )


def _draw_truth(
    layout: str, owner: NDArray[np.int64], shift: NDArray[np.float64], seed: int
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Return the (studies, L) truth and severities; `shift` is (P, factors)."""
    rng = derive_rng(seed, "synthetic", "findings")
    findings, labels = FINDINGS[layout], LABELS[layout]
    patients, studies = len(shift), len(owner)
    factors = shift[owner] + _patient_and_study(rng, owner, patients, len(FACTORS))
    own = _patient_and_study(rng, owner, patients, len(labels))
    severity = rng.random((studies, len(labels)), dtype=np.float32)
    chance = rng.random((studies, len(labels)))
    truth = np.zeros((studies, len(labels)), dtype=bool)
    for name, finding in findings.items():
        column = labels.index(name)
        load = np.array([finding.loadings.get(factor, 0.0) for factor in FACTORS])
        score = factors @ load + np.sqrt(1 - load @ load) * own[:, column]
        truth[:, column] = score > NormalDist().inv_cdf(1 - finding.prevalence)
    if layout == "chexpert":
        opacity = labels.index("Lung Opacity")
        for name, finding in findings.items():
            column = labels.index(name)
            truth[:, opacity] |= truth[:, column] & (chance[:, column] < finding.implies_opacity)
        ill = np.delete(truth, labels.index("Support Devices"), axis=1).any(axis=1)
        truth[:, labels.index("No Finding")] = ~ill
    return truth, severity


def _patient_and_study(
    rng: np.random.Generator, owner: NDArray[np.int64], patients: int, columns: int
) -> NDArray[np.float64]:
    lasting = rng.standard_normal((patients, columns))[owner]
    passing = rng.standard_normal((len(owner), columns))
    scores: NDArray[np.float64] = (
        lasting * PATIENT_SHARE**0.5 + passing * (1 - PATIENT_SHARE) ** 0.5
    )
    return scores
