"""A folder of one's own: a table of any columns, and `dataset.yaml` that says what they mean.

What the table does not say is taken from the headers of DICOM files, and what these do not say
either is counted in the notes. Of DICOM files the header is read in any case: a computed tomography
or a knee among the films is refused by name.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path
from typing import Literal

from fedcxr.config.dataset_file import DatasetFile, read_dataset_file
from fedcxr.data.paths import Fence, Roots, check_relative
from fedcxr.data.readers.dicom_facts import read_facts
from fedcxr.data.readers.own_cells import OwnTable
from fedcxr.data.readers.own_fields import (
    OwnImages,
    ages_of,
    patients_of,
    projections_of,
    sexes_of,
    splits_of,
    studies_of,
    views_of,
)
from fedcxr.data.readers.tables import read_table_file, without_duplicates
from fedcxr.data.records import DataSet, OfficialSet, Record
from fedcxr.errors import DataError, some
from fedcxr.filenames import DATASET_YAML

LAYOUT = "own"
SITE = "site"
"""The name under which a mapped `site` is kept as the records' attribute."""


def read_own(
    folder: Path,
    labels: Sequence[str],
    *,
    source: str = LAYOUT,
    column: str | None = None,
    follow_links: bool = False,
) -> DataSet:
    """Return the records of a folder with a `dataset.yaml`.

    Args:
        folder: with the file; all that it names lies in it.
        labels: of the labels that it names, those to read.
        source: what to write into the records.
        column: a column of the table to keep as the records' attribute; `site` is the one that the
            file calls so.
        follow_links: let links lead out of the folder.

    Raises:
        ConfigError: `dataset.yaml` is wrong.
        RecordError: the table lacks a column, or holds a cell that no rule covers; or neither it
            nor a header says whom an image is of, or its view.
        DataError: a path leads out of the folder, or a file is no chest film.
    """
    file = read_dataset_file(folder / DATASET_YAML)
    own = OwnTable(read_table_file(folder / file.says.table), file)
    kept = file.says.site if column == SITE and file.says.site else column
    own.require([*_columns_of(file), *([(kept, ("site",))] if kept else [])])
    paths = _paths(own)
    facts = read_facts(paths, Fence(Roots({"": folder}, follow_links)))
    read = OwnImages(own, paths, facts)
    _refuse_other_films(read)
    records = _records(read, labels, source, kept)
    official = _official(own, records, source)
    return DataSet(
        root=folder,
        layout=LAYOUT,
        labels=tuple(labels),
        records=tuple(records),
        notes=read.all_notes(),
        official=official,
    )


def _columns_of(file: DatasetFile) -> list[tuple[str, tuple[str, ...]]]:
    """Return the columns that the file names, each with its key."""
    says = file.says
    named: list[tuple[str | None, tuple[str, ...]]] = [
        (says.path.column, ("path",)),
        (says.patient, ("patient",)),
        (says.study, ("study",)),
        (says.view.column, ("view",)),
        (says.sex.column if says.sex else None, ("sex",)),
        (says.age, ("age",)),
        (says.site, ("site",)),
        (says.split.column if says.split else None, ("split",)),
    ]
    if says.findings is not None:
        named.append((says.findings.column, ("findings",)))
    else:
        named += [(own.column, ("labels", label)) for label, own in says.labels.items()]
    return [(name, key) for name, key in named if name is not None]


def _paths(own: OwnTable) -> tuple[str, ...]:
    rule = own.file.says.path
    cells = own.cells(rule.column)
    try:
        check_relative(cells, own.table.csv_path, rule.column)
    except DataError as err:
        raise DataError(f"{own.file.at('path')}: {err}") from err
    start = f"{rule.folder}/" if rule.folder else ""
    return tuple(f"{start}{cell.removeprefix('./')}{rule.suffix}" for cell in cells)


def _records(
    read: OwnImages, labels: Sequence[str], source: str, column: str | None
) -> list[Record]:
    own = read.own
    patients = patients_of(read)
    views = views_of(read)
    records = map(
        Record,
        patients,
        studies_of(read, patients),
        read.paths,
        views,
        projections_of(read),
        sexes_of(read),
        ages_of(read),
        splits_of(own),
        map(tuple, own.states(labels).tolist()),
        repeat(source),
        own.table.kept(column),
    )
    rows = [(row, record) for row, record in enumerate(records, start=2) if record.view]
    if len(rows) < len(own.table):
        read.notes.append(f"Left out: {len(own.table) - len(rows)} images of unknown view.")
    kept = [record for _, record in rows]
    return without_duplicates(kept, own.table.csv_path, read.notes, [row for row, _ in rows])


def _official(own: OwnTable, records: Sequence[Record], source: str) -> tuple[OfficialSet, ...]:
    held = {record.split for record in records}
    splits: tuple[Literal["val", "test"], ...] = ("val", "test")
    name = own.table.csv_path.name
    return tuple(OfficialSet(one, "table", (name,), source) for one in splits if one in held)


def _refuse_other_films(read: OwnImages) -> None:
    """Raise DataError for files that are no chest film, and count what is inverted."""
    rules = read.file.says.dicom
    strange: dict[str, list[str]] = {}
    for path, facts in read.facts.items():
        why = facts.strangeness(rules.modality, rules.body_part)
        if why:
            strange.setdefault(why, []).append(path)
    if strange:
        lines = [f"{len(paths)}, as {some(paths, 3)}: {why}" for why, paths in strange.items()]
        count = sum(map(len, strange.values()))
        raise DataError(
            f"{read.file.at('dicom')}: {count} of {len(read.paths)} files are no single chest "
            f"film:\n  " + "\n  ".join(lines) + "\nTake their rows out of "
            f"{read.own.table.csv_path.name}; or say under `dicom` which modality and body_part "
            "are chest films here."
        )
    kinds = Counter(facts.is_monochrome1 for facts in read.facts.values())
    if len(kinds) == 2:
        read.notes.append(
            f"Of {kinds.total()} DICOM files {kinds[True]} are MONOCHROME1, white for little: "
            "inverted, so that all are alike."
        )
