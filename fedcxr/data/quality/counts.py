"""Who and what is in a data set, counted: labels by state, patients, studies, views, ages."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fedcxr.data.labels import count_states
from fedcxr.data.readers.split_names import split_order
from fedcxr.data.records import DataSet, Record

WHOLE = "all"
"""Name of the counts over every split together."""
AGE_BAND_YEARS = 10
_MANY = 10
"""Patients with this many images or more are counted together."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How a count is spread over the patients."""

    mean: float | None
    """None where there is nobody."""
    median: float | None
    most: int
    patients_by_count: dict[str, int]
    """`1`, `2`, … `10+`: how many patients have that many."""


@dataclass(frozen=True, slots=True)
class Ages:
    """Ages in years, over images."""

    known: int
    unknown: int
    quantiles: dict[str, float]
    """min, 25 %, 50 %, 75 %, max; empty if no age is known."""
    images_by_band: dict[str, int]
    """`0-9`, `10-19`, …: how many images."""


@dataclass(frozen=True, slots=True)
class People:
    """Patients and how they were imaged."""

    images_per_patient: Spread
    studies_per_patient: Spread
    views: dict[str, int]
    """Images by view."""
    projections: dict[str, int]
    sexes: dict[str, int]
    """Patients by the sex of their first image."""
    ages: Ages

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON holds them."""
        return asdict(self)


def count_people(records: Sequence[Record]) -> People:
    """Return the numbers of the records' patients, studies, views, sexes and ages.

    Args:
        records: one an image; a second record of the same image would count it twice.
    """
    images = Counter(record.patient_id for record in records)
    studies = Counter(
        patient for patient, _ in {(record.patient_id, record.study_id) for record in records}
    )
    first_sex: dict[str, str] = {}
    for record in records:
        first_sex.setdefault(record.patient_id, record.sex)
    return People(
        images_per_patient=_spread(images.values()),
        studies_per_patient=_spread(studies.values()),
        views=_named(record.view for record in records),
        projections=_named(record.projection for record in records),
        sexes=_named(first_sex.values()),
        ages=_ages([record.age for record in records]),
    )


def count_labels(distinct: DataSet, dataset: DataSet) -> dict[str, dict[str, dict[str, int]]]:
    """Return how often each label is in each state, over all images and by official split.

    Args:
        distinct: the data set with one record an image.
        dataset: the data set, where leaking splits may name an image twice.

    Returns:
        By split (`all` first), by label, by state.
    """
    states = dataset.states()
    splits = np.array([record.split for record in dataset.records], dtype=object)
    by_split = {
        split: count_states(states[splits == split], dataset.labels)
        for split in split_order({record.split for record in dataset.records} - {""})
    }
    return {WHOLE: count_states(distinct.states(), distinct.labels), **by_split}


def _spread(counts: Iterable[int]) -> Spread:
    found = sorted(counts)
    by_count: Counter[int] = Counter(min(count, _MANY) for count in found)
    return Spread(
        mean=round(sum(found) / len(found), 3) if found else None,
        median=float(np.median(found)) if found else None,
        most=found[-1] if found else 0,
        patients_by_count={
            str(count) if count < _MANY else f"{_MANY}+": by_count[count]
            for count in range(1, max(by_count, default=0) + 1)
        },
    )


def _named(words: Iterable[str]) -> dict[str, int]:
    """Return how often each word is there, the most frequent first; the empty one is `unknown`."""
    counts: Mapping[str, int] = Counter(word or "unknown" for word in words)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _ages(ages: Sequence[int | None]) -> Ages:
    known = np.array([age for age in ages if age is not None], dtype=np.int64)
    bands = np.bincount(known // AGE_BAND_YEARS) if len(known) else np.zeros(0, dtype=np.int64)
    low = int(np.flatnonzero(bands)[0]) if len(known) else 0
    names = ("min", "25 %", "50 %", "75 %", "max")
    values = np.quantile(known, (0, 0.25, 0.5, 0.75, 1)).tolist() if len(known) else []
    return Ages(
        known=len(known),
        unknown=len(ages) - len(known),
        quantiles=dict(zip(names, values, strict=False)),
        images_by_band={
            f"{AGE_BAND_YEARS * band}-{AGE_BAND_YEARS * (band + 1) - 1}": int(bands[band])
            for band in range(low, len(bands))
        },
    )
