"""What a site or split holds, in numbers: patients, images, the states of each label."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from fedcxr.data.labels import POSITIVE, count_states
from fedcxr.data.records import RecordTable
from partitions.distance import js_distance

_DECIMALS = 6
"""Of a distance: near 0, where it is a root, the last bits of two machines' logarithms show."""


@dataclass(frozen=True, slots=True)
class SiteSummary:
    """One site of a plan."""

    site_id: str
    patients: int
    images: int
    train_images: int
    val_images: int
    label_counts: dict[str, dict[str, int]]
    """By label: how many images are positive, negative, uncertain, blank and masked."""
    no_positive: int
    """Images without any positive label."""
    holds: str = ""
    """What the scheme says of the site, such as `AP` or `inpatient`."""
    js_distance: float = 0.0
    """Jensen-Shannon distance, 0 to 1, of its positive labels from those of all sites."""

    @property
    def distribution(self) -> list[int]:
        """Return the positive images of each label, then those without any positive label."""
        return [*(c["positive"] for c in self.label_counts.values()), self.no_positive]

    def fewest_positives(self) -> tuple[str, int]:
        """Return the label with the fewest positive images, and how many; masked ones left out."""
        found = [
            (counts["positive"], label)
            for label, counts in self.label_counts.items()
            if counts["masked"] < self.images
        ]
        count, label = min(found, default=(0, ""), key=lambda pair: pair[0])
        return label, count


def summarise_site(site_id: str, table: RecordTable, holds: str = "") -> SiteSummary:
    """Return the numbers of a site's table; its distance is not known yet."""
    return SiteSummary(
        site_id=site_id,
        patients=len(set(table.patient_id)),
        images=len(table),
        train_images=len(table.rows("train")),
        val_images=len(table.rows("val")),
        label_counts=count_states(table.states, table.labels),
        no_positive=_no_positive(table),
        holds=holds,
    )


def with_distances(sites: Sequence[SiteSummary]) -> tuple[SiteSummary, ...]:
    """Return the sites, each with the distance of its labels from those of all sites together."""
    rows = [site.distribution for site in sites]
    whole = [sum(column) for column in zip(*rows, strict=True)]
    return tuple(
        replace(site, js_distance=round(js_distance(row, whole), _DECIMALS) if any(row) else 0.0)
        for site, row in zip(sites, rows, strict=True)
    )


def is_same(site: SiteSummary, other: SiteSummary) -> bool:
    """Return whether the two are alike, up to the last decimal of the distance."""
    near = abs(site.js_distance - other.js_distance) <= 2 * 10**-_DECIMALS
    return near and replace(site, js_distance=0.0) == replace(other, js_distance=0.0)


def summarise_split(table: RecordTable) -> dict[str, Any]:
    """Return the numbers of one of the server's splits, as plan.json holds them."""
    return {
        "patients": len(set(table.patient_id)),
        "images": len(table),
        "label_counts": count_states(table.states, table.labels),
        "no_positive": _no_positive(table),
    }


def site_to_json(site: SiteSummary) -> dict[str, Any]:
    """Return the site's entry in plan.json."""
    return asdict(site)


def site_from_json(entry: dict[str, Any]) -> SiteSummary:
    """Return the site of an entry in plan.json.

    Raises:
        KeyError, TypeError, ValueError: the entry is not one that `site_to_json` wrote.
    """
    names = ("patients", "images", "train_images", "val_images", "no_positive")
    numbers = {name: entry[name] for name in names}
    if any(type(number) is not int or number < 0 for number in numbers.values()):
        raise ValueError(f"site {entry['site_id']!r} has a count that is no whole number")
    counts = {
        str(label): {str(state): int(count) for state, count in states.items()}
        for label, states in entry["label_counts"].items()
    }
    return SiteSummary(
        site_id=str(entry["site_id"]),
        **numbers,
        label_counts=counts,
        holds=str(entry["holds"]),
        js_distance=float(entry["js_distance"]),
    )


def _no_positive(table: RecordTable) -> int:
    return int(np.count_nonzero(~(table.states == POSITIVE).any(axis=1)))
