"""Whether the data are still those that a partition was made from: labels, people and pixels.

A partition knows its images by tokens of their paths, and a path says nothing of what the file
holds today. So the tables of today are compared with the partition's, row by row, and the digests
of the image files (`fedcxr/data/cache`) with those that the run which wrote the folder had read,
in `contents.csv`. `fedcxr partition` opens no image and leaves no such file: then pixels are not
compared, and the result says so.

The digests are kept as keyed tokens: a plain one would tell which public image it is.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.atomic import write_text_atomically
from fedcxr.data.labels import STATE_NAMES
from fedcxr.data.records import DataSet, RecordTable
from fedcxr.data.tokens import Tokens
from fedcxr.errors import ArtefactError, LeakError, some
from partitions.plan_folder import PartitionPlan, all_tables
from partitions.record_table import tokenise

CONTENTS_CSV = "contents.csv"

_SHOWN = 5
_DESCRIBED = ("study_id", "view", "projection", "sex", "age")


@dataclass(frozen=True, slots=True)
class DataChanges:
    """What of a partition's data is not as it was."""

    labels: int = 0
    """Rows with another label."""
    people: int = 0
    """Rows that say something else of the image: view, sex, age, study."""
    pixels: int = 0
    """Image files with other bytes."""
    gone: int = 0
    """Images that the data set does not have any more."""
    pixels_compared: bool = True
    """Whether the partition says what its image files held."""
    examples: tuple[str, ...] = field(default=(), repr=False)
    """The first differences, by path; for the machine that has the data, no run keeps them."""

    def __bool__(self) -> bool:
        return any((self.labels, self.people, self.pixels, self.gone))

    def to_json(self) -> dict[str, Any]:
        """Return the counts as a manifest holds them."""
        return {
            "labels": self.labels,
            "people": self.people,
            "pixels": self.pixels,
            "gone": self.gone,
            "pixels_compared": self.pixels_compared,
        }

    def refuse(self, folder: Path) -> None:
        """Raise ArtefactError with the first differences, if there are any."""
        if not self:
            return
        kinds = {
            "with other labels": self.labels,
            "with other pixels": self.pixels,
            "described otherwise": self.people,
            "not there any more": self.gone,
        }
        counts = ", ".join(f"{number} images {what}" for what, number in kinds.items() if number)
        raise ArtefactError(
            f"{folder}: the data are not those that it was made from: {counts}: "
            f"{some(list(self.examples), _SHOWN)}. Give back the data as they were, or partition "
            "anew; --accept-changed-data takes them as they are now and notes it."
        )


def find_changes(
    plan: PartitionPlan,
    dataset: DataSet,
    tokens: Tokens,
    contents: Mapping[str, str],
    *,
    bad: frozenset[str] = frozenset(),
) -> DataChanges:
    """Return what of a partition's images is not as it was when the folder was written.

    Args:
        plan: the partition.
        dataset: as it is read today.
        tokens: of the partition's key.
        contents: by image token, the keyed digest of each file that can be decoded today.
        bad: tokens of files that cannot; a partition may hold them, since it can be made before any
            is opened.

    Raises:
        LeakError: an image is another patient's now, so that the partition does not hold any more.
    """
    now = tokenise(dataset, tokens, [""] * len(dataset.records))
    row_now = {image_id: row for row, image_id in enumerate(now.image_id)}
    kept = read_contents(plan.folder)
    found = _Differences(dataset)
    for table in all_tables(plan).values():
        rows = [row_now.get(image_id, -1) for image_id in table.image_id]
        at = np.flatnonzero(np.array(rows, dtype=np.int64) >= 0)
        to = np.array(rows, dtype=np.int64)[at]
        found.gone += len(rows) - len(at)
        found.compare_people(table, now, at.tolist(), to.tolist())
        found.compare_labels(table, now, at, to)
        for row in to.tolist():
            image_id = now.image_id[row]
            was = kept.get(image_id)
            if was is not None and image_id not in bad:
                found.compare_pixels(row, was, contents.get(image_id, ""))
    return DataChanges(
        found.labels,
        found.people,
        found.pixels,
        found.gone,
        pixels_compared=bool(kept),
        examples=tuple(found.examples),
    )


def write_contents(folder: Path, plan: PartitionPlan, contents: Mapping[str, str]) -> None:
    """Write beside a copy of a plan what its image files hold, where that is known.

    Args:
        folder: of the copy.
        plan: whose images.
        contents: by image token, the keyed digest of the file.
    """
    if not contents:
        return
    mine = sorted(i for table in all_tables(plan).values() for i in table.image_id)
    rows = [f"{image_id},{contents[image_id]}\n" for image_id in mine if image_id in contents]
    write_text_atomically(folder / CONTENTS_CSV, "image_id,content\n" + "".join(rows))


def read_contents(folder: Path) -> dict[str, str]:
    """Return the keyed token of each image's content; empty where no run has written them.

    Raises:
        ArtefactError: the file is damaged.
    """
    file = folder / CONTENTS_CSV
    if not file.is_file():
        return {}
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.reader(lines))
    if not rows or rows[0] != ["image_id", "content"] or any(len(row) != 2 for row in rows):
        raise ArtefactError(
            f"{file}: damaged. Delete it; the pixels are then not compared any more."
        )
    return {image_id: content for image_id, content in rows[1:]}


class _Differences:
    """Counts differences, and keeps the first of them in words."""

    def __init__(self, dataset: DataSet) -> None:
        self._dataset = dataset
        self.labels = self.people = self.pixels = self.gone = 0
        self.examples: list[str] = []

    def compare_labels(
        self, then: RecordTable, now: RecordTable, at: NDArray[np.int64], to: NDArray[np.int64]
    ) -> None:
        """Compare the labels that both have, row by row."""
        shared = [label for label in now.labels if label in then.labels]
        old = then.states[at][:, [then.labels.index(label) for label in shared]]
        new = now.states[to][:, [now.labels.index(label) for label in shared]]
        differs = old != new
        self.labels += int(differs.any(axis=1).sum())
        for row, column in zip(*np.nonzero(differs), strict=True):
            was, is_now = STATE_NAMES[int(old[row, column])], STATE_NAMES[int(new[row, column])]
            if not self._note(int(to[row]), f"{shared[column]} was {was}, is {is_now}"):
                break

    def compare_people(
        self, then: RecordTable, now: RecordTable, at: Sequence[int], to: Sequence[int]
    ) -> None:
        """Compare what is said of the image and its patient, row by row."""
        for old, new in zip(at, to, strict=True):
            if then.patient_id[old] != now.patient_id[new]:
                raise LeakError(
                    f"{self._path(new)}: it is another patient's than when the partition was made, "
                    "so patients may be in two sets. Partition anew."
                )
            other = [
                f"{name} was {getattr(then, name)[old]!r}, is {getattr(now, name)[new]!r}"
                for name in _DESCRIBED
                if getattr(then, name)[old] != getattr(now, name)[new]
            ]
            if other:
                self.people += 1
                self._note(new, other[0])

    def compare_pixels(self, row: int, was: str, is_now: str) -> None:
        """Compare the content of one image file."""
        if was != is_now:
            self.pixels += 1
            self._note(row, "its pixels are others")

    def _note(self, row: int, what: str) -> bool:
        """Keep a difference if there is room; return whether there was."""
        if len(self.examples) < 2 * _SHOWN:
            self.examples.append(f"{self._path(row)}: {what}")
            return True
        return False

    def _path(self, row: int) -> str:
        return self._dataset.records[row].path
