"""Several rows of one image, a reader's or a box's each: what most of them say of each label."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.dataset_file import DatasetFile
from fedcxr.data.labels import BLANK, NEGATIVE, POSITIVE, UNCERTAIN
from fedcxr.data.records import Record
from fedcxr.errors import RecordError, some


def most_of_each(
    records: Sequence[Record], rows: Sequence[str], file: DatasetFile, notes: list[str]
) -> list[Record]:
    """Return one record an image, with the labels that most of its rows say.

    Args:
        records: one a row.
        rows: the rows' names, for messages.
        file: what says that images have several rows.
        notes: where it is said how many rows have become how many images.

    Raises:
        RecordError: the rows of an image differ in something that is no label.
    """
    by_path: dict[str, list[int]] = {}
    for position, record in enumerate(records):
        by_path.setdefault(record.path, []).append(position)
    found, ties = [], 0
    for path, positions in by_path.items():
        first = records[positions[0]]
        if any(replace(records[i], labels=first.labels) != first for i in positions):
            raise RecordError(
                f"{file.at('rows')}: rows {some([rows[i] for i in positions])} are the same image, "
                f"{path}, and differ in more than its labels. Mend these rows."
            )
        states = np.array([records[i].labels for i in positions], dtype=np.int8)
        said, tied = majority_states(states)
        ties += tied
        found.append(replace(first, labels=tuple(said.tolist())))
    if len(found) < len(records):
        told = f" In {ties} cells as many say one as the other: uncertain." if ties else ""
        notes.append(
            f"{len(records)} rows of {len(found)} images: a label is what more than half of an "
            f"image's rows say that name it.{told}"
        )
    return found


def majority_states(states: NDArray[np.int8]) -> tuple[NDArray[np.int8], int]:
    """Return (L,) what more than half of the rows that are not blank say, and how many ties.

    Where neither presence nor absence has more than half, the label is uncertain.

    Args:
        states: (R, L).

    >>> majority_states(np.int8([[1, 0, 1, -2], [1, 0, 0, -2], [0, 0, -2, -2]]))[0].tolist()
    [1, 0, -1, -2]
    """
    known = (states != BLANK).sum(axis=0)
    present = (states == POSITIVE).sum(axis=0)
    absent = (states == NEGATIVE).sum(axis=0)
    said = np.full(states.shape[1], UNCERTAIN, dtype=np.int8)
    said[2 * present > known] = POSITIVE
    said[2 * absent > known] = NEGATIVE
    said[known == 0] = BLANK
    return said, int(((present == absent) & (present > 0)).sum())
