"""Three kinds of hospital in turn: for inpatients, for outpatients, and for rare disease.

Patients are of three strata: *rare*, who show one of the rarest labels; *inpatient*, most of whose
images are AP, as they are taken at the bedside (where no projection is known: who has support
devices); *outpatient*, the rest. Each kind of hospital has a stated mix of the strata. The mixes
are fitted to the patients that there are, so that every patient has a site, all sites are of equal
size and the odds between two kinds of hospital stay as stated; then the sites draw in turn.

Not a model of any real hospital network: the mixes are chosen, round numbers.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedcxr.errors import ConfigError
from partitions.by_group import attribute_cells
from partitions.drawn import draw_in_turn
from partitions.patient_table import majority
from partitions.scheme import Assignment, ToShare

STRATA = ("inpatient", "outpatient", "rare")
KINDS = ("inpatient", "outpatient", "rare disease")
MIXES = (
    (0.80, 0.15, 0.05),
    (0.15, 0.80, 0.05),
    (0.25, 0.25, 0.50),
)
"""By kind of hospital, the share of each stratum, before it is fitted."""
RARE_LABELS = 0.2
"""The share of the labels with any positive patient, rounded up, that count as rare: the 3 of
CheXpert's 14 that fewest patients show."""
DEVICES = "Support Devices"

_FITTING_STEPS = 1000
_FITTED = 1e-12


def hospitals(share: ToShare) -> Assignment:
    """Return three kinds of hospital in turn."""
    patients = share.patients
    cells = attribute_cells(patients.dataset, "projection")
    num_patients = len(patients.table.images)
    values, value_of = majority(cells, patients.grouped.patient_of, num_patients)
    projection = np.array(values)[value_of[share.pool]]
    strata = hospital_strata(share.positive, projection, patients.dataset.labels)
    return share.to_numbered(*assign_hospitals(strata, share.config.clients, share.rng))


def rarest_labels(positive: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the labels that count as rare, those that fewest patients show first.

    Args:
        positive: (P, L), whether any image of the patient shows the label.

    >>> rarest_labels(np.array([[1, 0, 1], [1, 1, 0], [1, 0, 0]], dtype=bool))
    array([1])
    """
    patients = positive.sum(axis=0)
    shown = np.flatnonzero(patients)
    by_rarity = shown[np.argsort(patients[shown], kind="stable")]
    return by_rarity[: math.ceil(RARE_LABELS * len(shown))]


def hospital_strata(
    positive: NDArray[np.bool_], projection: NDArray[np.str_], labels: Sequence[str]
) -> NDArray[np.int64]:
    """Return the stratum of each patient, (P,) positions in STRATA.

    Args:
        positive: (P, L), whether any image of the patient shows the label.
        projection: (P,) what most images of the patient are, `AP`, `PA` or blank.
        labels: the L names.
    """
    devices = np.zeros(len(positive), dtype=bool)
    if DEVICES in labels:
        devices = positive[:, list(labels).index(DEVICES)]
    is_inpatient = (projection == "AP") | ((projection == "") & devices)
    is_rare = positive[:, rarest_labels(positive)].any(axis=1)
    return np.where(is_rare, 2, np.where(is_inpatient, 0, 1))


def assign_hospitals(
    strata: NDArray[np.int64], num_sites: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], list[str]]:
    """Return the site of each patient, (P,), and the kind of each site.

    Raises:
        ConfigError: fewer than three sites, or a stratum without patients.
    """
    if num_sites < len(KINDS):
        raise ConfigError(
            f"partition.clients={num_sites}: the scheme hospitals has {len(KINDS)} kinds of site. "
            f"Set --clients {len(KINDS)} or more."
        )
    counts = np.bincount(strata, minlength=len(STRATA))
    if not counts.all():
        found = ", ".join(f"{name} {count}" for name, count in zip(STRATA, counts, strict=True))
        raise ConfigError(
            f"partition.scheme=hospitals: the patients to share are {found}, and each kind is "
            f"needed (AP and PA projections or {DEVICES!r}, and positive labels, tell them apart). "
            f"Name another --scheme."
        )
    kind_of = np.arange(num_sites) % len(KINDS)
    fitted = fit_mixes(np.bincount(kind_of).tolist(), counts.tolist())
    mixes = np.array(fitted)[kind_of]
    order = rng.permutation(len(strata))
    site_of = draw_in_turn(strata, mixes, order, rng.random(len(strata)))
    return site_of, [KINDS[kind] for kind in kind_of]


def fit_mixes(sites: Sequence[int], patients: Sequence[int]) -> list[list[float]]:
    """Return the mix of each kind of hospital, fitted to the patients that there are.

    Rows and columns are scaled in turn until both fit, which leaves every odds ratio as it was
    (iterative proportional fitting).

    Args:
        sites: how many sites there are of each kind.
        patients: how many patients each stratum has, at least one.

    Source: Deming, Stephan 1940, "On a least squares adjustment of a sampled frequency table".
    """
    total = sum(patients)
    table = [[count * share for share in mix] for count, mix in zip(sites, MIXES, strict=True)]
    for _ in range(_FITTING_STEPS):
        sums = [math.fsum(column) for column in zip(*table, strict=True)]
        factors = [wanted / total / found for wanted, found in zip(patients, sums, strict=True)]
        table = [[cell * f for cell, f in zip(row, factors, strict=True)] for row in table]
        scales = [
            count / sum(sites) / math.fsum(row) for count, row in zip(sites, table, strict=True)
        ]
        table = [[cell * scale for cell in row] for row, scale in zip(table, scales, strict=True)]
        if max(abs(scale - 1) for scale in scales) < _FITTED:
            break
    return [[cell / math.fsum(row) for cell in row] for row in table]
