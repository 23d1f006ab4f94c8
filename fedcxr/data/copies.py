"""The same image file under two names: left out inside a split, refused across splits.

Copies are told by their bytes alone. An image that was saved again, resized or brightened is
another file: `fedcxr check-data` looks for those.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from fedcxr.data.records import DataSet, Record
from fedcxr.errors import LeakError, some


def without_copies(dataset: DataSet, digests: Mapping[str, str]) -> DataSet:
    """Return the data set with the first record, by path, of each set of copies.

    A note counts what was left out, and how many copies were of another patient: whose the image
    is cannot be told from the files.

    Args:
        dataset: the records.
        digests: by record path, the digest of the file's bytes; a path without one has no copy.

    Raises:
        LeakError: a test image has the bytes of a training image.
    """
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in sorted(dataset.records, key=lambda record: record.path):
        if record.path in digests:
            groups[digests[record.path]].append(record)
    copied = [group for group in groups.values() if len(group) > 1]
    _refuse_across_splits(dataset, copied)
    dropped = {record.path for group in copied for record in group[1:]}
    if not dropped:
        return dataset
    other_patients = sum(r.patient_id != group[0].patient_id for group in copied for r in group[1:])
    note = f"Copies of image files left out: {len(dropped)}; of another patient: {other_patients}."
    kept = dataset.where(lambda record: record.path not in dropped)
    return replace(kept, notes=(*dataset.notes, note))


def _refuse_across_splits(dataset: DataSet, copied: list[list[Record]]) -> None:
    across = [
        f"{group[0].path} = {record.path}"
        for group in copied
        for record in group[1:]
        if (record.split == "test") != (group[0].split == "test")
    ]
    if across:
        raise LeakError(
            f"{dataset.root}: test images that have the same bytes as training images: "
            f"{len(across)}: {some(across)}. Take one of each pair out of its table."
        )
