"""A folder of one's own: a table of any columns, and `dataset.yaml` that says what they mean.

What the table does not say is taken from the headers of DICOM files, and what these do not say
either is counted in the notes. Of DICOM files the header is read in any case: a computed tomography
or a knee among the films is refused by name.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import repeat
from pathlib import Path
from typing import Literal

from fedcxr.config.dataset_file import DatasetFile, read_dataset_file
from fedcxr.data.paths import Fence, Roots, check_relative
from fedcxr.data.readers.dicom_facts import read_facts
from fedcxr.data.readers.own_boxes import read_own_boxes
from fedcxr.data.readers.own_cells import OwnTable
from fedcxr.data.readers.own_fields import (
    OTHER_VIEW,
    OwnImages,
    ages_of,
    patients_of,
    projections_of,
    sexes_of,
    splits_of,
    studies_of,
    views_of,
)
from fedcxr.data.readers.own_rows import most_of_each
from fedcxr.data.readers.own_tables import Columns, read_tables
from fedcxr.data.readers.presets import preset_file
from fedcxr.data.readers.tables import without_duplicates
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
    preset: str | None = None,
) -> DataSet:
    """Return the records of a folder with a `dataset.yaml`, or of a public data set.

    Args:
        folder: with the file; all that it names lies in it.
        labels: of the labels that it names, those to read.
        source: what to write into the records.
        column: a column of the table to keep as the records' attribute; `site` is the one that the
            file calls so.
        follow_links: let links lead out of the folder.
        preset: the public data set whose shipped file is to be read, in place of the folder's own.

    Raises:
        ConfigError: `dataset.yaml` is wrong.
        RecordError: the table lacks a column, or holds a cell that no rule covers; or neither it
            nor a header says whom an image is of, or its view.
        DataError: a table is missing, a path leads out of the folder, or a file is no chest film.
    """
    file = read_dataset_file(folder / DATASET_YAML if preset is None else preset_file(preset))
    kept = file.says.site if column == SITE and file.says.site else column
    named = [*_columns_of(file), *([(kept, ("site",))] if kept else [])]
    own = OwnTable(read_tables(folder, file, {name for name, _ in named}), file)
    own.require(named)
    fence = Fence(Roots({"": folder}, follow_links))
    paths = _paths(own, folder)
    read = OwnImages(own, paths, read_facts(paths, fence))
    _refuse_other_films(read)
    records = _records(read, labels, source, kept)
    boxes = read_own_boxes(read, folder, records, labels, fence)
    return DataSet(
        root=folder,
        layout=preset or LAYOUT,
        labels=tuple(labels),
        records=tuple(records),
        boxes=boxes,
        notes=(*file.says.notes, *read.all_notes()),
        official=_official(own, records, source),
    )


def read_preset(
    name: str,
    folder: Path,
    labels: Sequence[str],
    source: str,
    column: str | None,
    follow_links: bool,
) -> DataSet:
    """Return the records of a public data set; arguments and errors as of `read_own`."""
    try:
        return read_own(
            folder, labels, source=source, column=column, follow_links=follow_links, preset=name
        )
    except DataError as err:
        if str(preset_file(name)) not in str(err):
            raise
        raise type(err)(
            f"{err}\n`fedcxr init-data {folder}` writes the file that is named here as its "
            f"{DATASET_YAML}, to be corrected there."
        ) from err


def _columns_of(file: DatasetFile) -> Columns:
    """Return the columns that the file names, each with its key."""
    says = file.says
    named: list[tuple[str | None, tuple[str, ...]]] = [
        (says.path.column, ("path",)),
        *((name, ("path", "template")) for name, _ in says.path.places()),
        (says.patient, ("patient",)),
        (says.study, ("study",)),
        (says.view.column, ("view",)),
        (says.view.projection, ("view", "projection")),
        (says.sex.column if says.sex else None, ("sex",)),
        (says.age.column if says.age else None, ("age",)),
        (says.age.date if says.age else None, ("age", "date")),
        (says.site, ("site",)),
        (says.split.column if says.split else None, ("split",)),
    ]
    if says.findings is not None:
        named.append((says.findings.column, ("findings",)))
    else:
        named += [(own.column, ("labels", label)) for label, own in says.labels.items()]
    if says.boxes is not None:
        keys: Collection[str] = says.boxes.on or says.boxes.sides()
        named += [(name, ("boxes",)) for name in keys]
    return [(name, key) for name, key in named if name is not None]


def _paths(own: OwnTable, folder: Path) -> tuple[str, ...]:
    rule = own.file.says.path
    if rule.column is not None:
        cells = own.cells(rule.column)
    else:
        columns = [_parts(own.cells(name), part) for name, part in rule.places()]
        cells = [rule.filled(row) for row in zip(*columns, strict=True)]
    try:
        check_relative(cells, own.table.csv_path, rule.column or rule.template or "")
    except DataError as err:
        raise DataError(f"{own.file.at('path')}: {err}") from err
    names = [f"{cell.removeprefix('./')}{rule.suffix}" for cell in cells]
    start = _folder_of(names, own, folder)
    return tuple(f"{start}/{name}" if start else name for name in names)


def _folder_of(names: Sequence[str], own: OwnTable, folder: Path) -> str:
    """Return which of `path.folder` has the images; DataError where two have the first one."""
    among = own.file.says.path.folder
    holding = [one for one in among if names and (folder / one / names[0]).is_file()]
    if len(holding) > 1:
        places = " and ".join(f"{one or '.'}/" for one in holding)
        raise DataError(
            f"{own.file.at('path', 'folder')}: {names[0]} is in {places}, and which is meant "
            "cannot be told. Name one folder, or move the other away."
        )
    there = [one for one in among if (folder / one).is_dir()]
    return next(iter([*holding, *there, *among]))


def _parts(cells: Sequence[str], part: str) -> Sequence[str]:
    """Return the cells, or of each what a place in a template takes."""
    if part == "stem":
        return [cell.rpartition(".")[0] or cell for cell in cells]
    return [cell[: int(part[1:])] for cell in cells] if part else cells


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
    rows, kept, left_out = [], [], Counter[str]()
    for position, record in enumerate(records):
        if record.view in ("", OTHER_VIEW):
            left_out[record.view] += 1
        else:
            rows.append(own.tables.row(position))
            kept.append(record)
    if left_out[""]:
        read.notes.append(f"Left out: {left_out['']} images of unknown view.")
    if left_out[OTHER_VIEW]:
        read.notes.append(
            f"Left out: {left_out[OTHER_VIEW]} images of a view that is neither frontal nor "
            "lateral."
        )
    if own.file.says.rows == "majority":
        kept = most_of_each(kept, rows, own.file, read.notes)
        rows = []
    return without_duplicates(kept, own.table.csv_path, read.notes, rows)


def _official(own: OwnTable, records: Sequence[Record], source: str) -> tuple[OfficialSet, ...]:
    held = {record.split for record in records}
    splits: tuple[Literal["val", "test"], ...] = ("val", "test")
    table = own.file.says.table
    names = [name for name, _ in own.tables.starts]
    files = dict(zip(table, names, strict=True))
    return tuple(
        OfficialSet(one, "table", (files.get(one, names[0]),), source)
        for one in splits
        if one in held
    )


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
