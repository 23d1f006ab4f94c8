"""What a site or split holds, in numbers: patients, images, and the states of each label."""

from dataclasses import asdict, dataclass
from typing import Any

from fedcxr.data.labels import count_states
from fedcxr.data.records import RecordTable


@dataclass(frozen=True, slots=True)
class SiteSummary:
    """One site of a plan."""

    site_id: str
    patients: int
    images: int
    train_images: int
    val_images: int
    label_counts: dict[str, dict[str, int]]
    """By label: how many images are positive, negative, uncertain and blank."""


def summarise_site(site_id: str, table: RecordTable) -> SiteSummary:
    """Return the numbers of a site's table."""
    return SiteSummary(
        site_id=site_id,
        patients=len(set(table.patient_id)),
        images=len(table),
        train_images=len(table.rows("train")),
        val_images=len(table.rows("val")),
        label_counts=count_states(table.states, table.labels),
    )


def summarise_split(table: RecordTable) -> dict[str, Any]:
    """Return the numbers of one of the server's splits, as plan.json holds them."""
    return {
        "patients": len(set(table.patient_id)),
        "images": len(table),
        "label_counts": count_states(table.states, table.labels),
    }


def site_to_json(site: SiteSummary) -> dict[str, Any]:
    """Return the site's entry in plan.json."""
    return asdict(site)


def site_from_json(entry: dict[str, Any]) -> SiteSummary:
    """Return the site of an entry in plan.json.

    Raises:
        KeyError, TypeError, ValueError: the entry is not one that `site_to_json` wrote.
    """
    numbers = {name: entry[name] for name in ("patients", "images", "train_images", "val_images")}
    if any(type(number) is not int or number < 0 for number in numbers.values()):
        raise ValueError(f"site {entry['site_id']!r} has a count that is no whole number")
    counts = {
        str(label): {str(state): int(count) for state, count in states.items()}
        for label, states in entry["label_counts"].items()
    }
    return SiteSummary(site_id=str(entry["site_id"]), **numbers, label_counts=counts)
