"""One radiograph with its labels, and a data set as a list of them.

A `Record` is what a reader makes of one row. It never leaves the machine that read it; what a run
writes are `RecordTable` rows, whose identifiers are keyed tokens (`fedcxr/data/tokens.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.paths import Roots

if TYPE_CHECKING:  # half a second that only `to_frame` needs
    import pandas as pd

OfficialKind = Literal[
    "chexpert-valid", "chexpert-test-2022", "nih-test-list", "nih-unlisted", "table"
]
"""CheXpert's two; NIH's list, or what its train list leaves out where that is the only one; and any
other table whose name says the split."""


@dataclass(frozen=True, slots=True)
class Record:
    """One image and what is known of it."""

    patient_id: str
    """As `normal_id` spells it (`fedcxr/data/identity.py`)."""
    study_id: str
    """Unique in the data set, not only within the patient."""
    path: str
    """POSIX, relative to the data set's root."""
    view: str
    """`frontal` or `lateral`."""
    projection: str
    """`AP`, `PA`, another code of the source, or empty."""
    sex: str
    """`F`, `M` or empty."""
    age: int | None
    """Years."""
    split: str
    """The official split: `train`, `val`, `test`, or empty where there is none."""
    labels: tuple[int, ...]
    """States (`fedcxr/data/labels.py`) along the data set's labels."""
    source: str = ""
    """The data set it comes from: `chexpert`, `nih14`, `own` or `site`, numbered where there are
    two of one kind."""
    attribute: str = ""
    """The cell of the column that the reader was asked to keep, for `by-attribute` partitions."""


@dataclass(frozen=True, slots=True)
class Box:
    """A finding's rectangle on one image, in fractions of its width and height."""

    path: str
    label: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class OfficialSet:
    """Images that the data set itself holds out, read by its reader."""

    split: Literal["val", "test"]
    kind: OfficialKind
    files: tuple[str, ...] = ()
    """The tables or the list that name its images; none where a caller made the records."""
    source: str = ""
    """As the records have it."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set on disk, read but not decoded."""

    root: Path
    layout: str
    """`chexpert`, `nih14`, `nih14-onehot`, `own`, `site` or `joined`."""
    labels: tuple[str, ...]
    records: tuple[Record, ...]
    boxes: tuple[Box, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader of the report must know: attribution, missing official lists, …"""
    official: tuple[OfficialSet, ...] = ()
    """The official val and test sets of which there are records."""
    roots: tuple[tuple[str, Path], ...] = ()
    """Of joined data sets: by the first component of the record paths, the folder it stands for."""

    follow_links: bool = False
    """Whether links may lead out of the folders."""

    @property
    def files(self) -> Roots:
        """Return where the record paths lead, as `Fence` takes it."""
        return Roots(dict(self.roots) or {"": self.root}, self.follow_links)

    def where(self, keep: Callable[[Record], bool]) -> "DataSet":
        """Return the data set with only the records that `keep` says yes to."""
        records = tuple(record for record in self.records if keep(record))
        held = {(record.source, record.split) for record in records}
        official = tuple(one for one in self.official if (one.source, one.split) in held)
        return replace(self, records=records, official=official)

    def states(self) -> NDArray[np.int8]:
        """Return the (N, L) label states."""
        shape = (len(self.records), len(self.labels))
        return np.array([r.labels for r in self.records], dtype=np.int8).reshape(shape)

    def to_frame(self) -> "pd.DataFrame":
        """Return a row an image, by its path, and a column a label: 1, 0, -1, nan = not stated."""
        from fedcxr.data.record_frame import record_frame  # pandas

        names = [f.name for f in fields(Record) if f.name not in ("labels", "attribute")]
        columns = {name: [getattr(record, name) for record in self.records] for name in names}
        return record_frame(columns, self.labels, self.states(), index="path")


@dataclass(frozen=True, slots=True)
class RecordTable:
    """Records as columns, with tokens for identifiers: what a site's CSV holds."""

    labels: tuple[str, ...]
    image_id: tuple[str, ...]
    patient_id: tuple[str, ...]
    study_id: tuple[str, ...]
    split: tuple[str, ...]
    """`train` or `val` at a site; `val` or `test` at the server."""
    view: tuple[str, ...]
    projection: tuple[str, ...]
    sex: tuple[str, ...]
    age: tuple[int | None, ...]
    states: NDArray[np.int8] = field(repr=False)
    """(N, L)."""
    path: tuple[str, ...] | None = field(default=None, repr=False)
    """Only in a hospital's own file: image paths relative to the folder of the file."""

    def __len__(self) -> int:
        return len(self.image_id)

    def rows(self, split: str) -> NDArray[np.int64]:
        """Return the positions of the rows of one split."""
        return np.array([i for i, s in enumerate(self.split) if s == split], dtype=np.int64)

    def to_frame(self) -> "pd.DataFrame":
        """Return a row an image, by its token, and a column a label: 1, 0, -1, nan = not stated."""
        from fedcxr.data.record_frame import record_frame  # pandas

        names = [f.name for f in fields(self) if f.name not in ("labels", "states")]
        columns = {name: getattr(self, name) for name in names}
        known = {name: values for name, values in columns.items() if values is not None}
        return record_frame(known, self.labels, self.states, index="image_id")
