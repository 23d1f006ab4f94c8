"""Whether a server's data folder holds the sets that a run began with, and what differs if not."""

from fedcxr.data.labels import STATE_NAMES
from fedcxr.data.records import RecordTable
from fedcxr.errors import ArtefactError, some
from partitions.plan_folder import TEST_CSV, VAL_CSV, PartitionPlan

_SHOWN = 5


def check_same_sets(kept: PartitionPlan, today: PartitionPlan) -> None:
    """Raise ArtefactError with the first differences where a run's sets are not today's.

    Args:
        kept: the partition as the run folder has it.
        today: that of the server's data folder.
    """
    if kept.digest == today.digest:
        return
    found: list[str] = []
    for name in (VAL_CSV, TEST_CSV):
        found += table_differences(name, kept.table(name), today.table(name))
    was, now = {s.site_id for s in kept.sites}, {s.site_id for s in today.sites}
    found += [f"site {site} is {'new' if site in now else 'gone'}" for site in sorted(was ^ now)]
    why = some(found, _SHOWN) if found else "another partition with other training data"
    raise ArtefactError(
        f"{today.folder}: the data are not those that the run began with: {why}. Give back the "
        "folder as it was (--data), or start a new run."
    )


def table_differences(name: str, kept: RecordTable, today: RecordTable) -> list[str]:
    """Return what differs, in a phrase each: the labels, or each row; images by their tokens.

    Args:
        name: the file's.
        kept: as it was.
        today: as it is.
    """
    if kept.labels != today.labels:
        return [f"{name} had the labels {some(list(kept.labels))}, has {some(list(today.labels))}"]
    row_now = {image_id: row for row, image_id in enumerate(today.image_id)}
    found = []
    for row, image_id in enumerate(kept.image_id):
        if image_id not in row_now:
            found.append(f"{name}: image {image_id} is gone")
            continue
        was, now = kept.states[row], today.states[row_now[image_id]]
        for column in (was != now).nonzero()[0]:
            label, old, new = kept.labels[column], int(was[column]), int(now[column])
            found.append(
                f"{name}: {label} of image {image_id} was {STATE_NAMES[old]}, is {STATE_NAMES[new]}"
            )
    new_ones = sorted(set(today.image_id) - set(kept.image_id))
    return found + [f"{name}: image {image_id} is new" for image_id in new_ones]
