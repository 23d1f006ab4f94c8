"""Binary tasks: one label, made of the labels that each kind of data set has for it.

CheXpert has a column Lung Lesion; NIH ChestX-ray14 tells nodules from masses, and an image with
either has a lesion. The labels are read as any others and then become the one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.labels import BLANK, MASKED, NEGATIVE, POSITIVE, UNCERTAIN
from fedcxr.data.records import DataSet

if TYPE_CHECKING:  # who only reads tables needs no configuration
    from fedcxr.config.data import TaskName


@dataclass(frozen=True, slots=True)
class BinaryTask:
    """One question of an image."""

    label: str
    made_of: Mapping[str, tuple[str, ...]]
    """By kind of data set, its labels of which any makes the image positive."""


TASKS: "Mapping[TaskName, BinaryTask]" = {
    "lung-lesion": BinaryTask(
        "Lung Lesion", {"chexpert": ("Lung Lesion",), "nih14": ("Nodule", "Mass")}
    ),
}


def as_task(dataset: DataSet, task: BinaryTask) -> DataSet:
    """Return a data set whose one label is the task's; its boxes are of that label too.

    Args:
        dataset: read with the labels that the task is made of.
        task: whose label is wanted.
    """
    states = any_of(dataset.states())
    records = tuple(
        replace(record, labels=(state,))
        for record, state in zip(dataset.records, states.tolist(), strict=True)
    )
    boxes = tuple(replace(box, label=task.label) for box in dataset.boxes)
    notes = dataset.notes
    if len(dataset.labels) > 1:
        notes = (*notes, f"{task.label}: an image with {' or '.join(dataset.labels)}.")
    return replace(dataset, labels=(task.label,), records=records, boxes=boxes, notes=notes)


def any_of(states: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return (N,) whether any of the (N, L) labels is there.

    Positive if one is; else uncertain, blank or negative by the first of these that one is, so that
    an image is negative only where every known label is; masked where the source has none of them.

    >>> any_of(np.array([[0, 1], [0, -1], [-2, 0], [0, 0], [-3, -3]], dtype=np.int8))
    array([ 1, -1, -2,  0, -3], dtype=int8)
    """
    found = np.full(len(states), MASKED, dtype=np.int8)
    for state in (NEGATIVE, BLANK, UNCERTAIN, POSITIVE):
        found[(states == state).any(axis=1)] = state
    return found
