"""One door to every data set: the layout is recognised from the folder, several are joined."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fedcxr.collector import paused_collector
from fedcxr.data.readers.chexpert import read_chexpert
from fedcxr.data.readers.join import MAX_SOURCES, join, joined_labels, own_labels, source_names
from fedcxr.data.readers.layouts import CHEXPERT, KINDS, NIH14, recognise
from fedcxr.data.readers.nih14 import ATTRIBUTION, read_nih14
from fedcxr.data.readers.nih14_onehot import read_onehot
from fedcxr.data.readers.tables import nearest
from fedcxr.data.records import DataSet
from fedcxr.data.tasks import TASKS, as_task
from fedcxr.errors import ConfigError, DataError, some

if TYPE_CHECKING:
    from fedcxr.config.data import TaskName


@dataclass(frozen=True, slots=True)
class _Source:
    """One of the folders to read."""

    name: str
    folder: Path
    layout: str
    labels: dict[str, str]
    """Of the labels asked for, those that it has, each with its own name for it."""


def read_dataset(
    root: str | Path | Sequence[str | Path],
    *,
    views: str = "all",
    labels: Sequence[str] | None = None,
    task: "TaskName | None" = None,
    label_table: str | None = None,
    column: str | None = None,
    follow_links: bool = False,
) -> DataSet:
    """Return the records of the data set in `root`, or of several joined, in their tables' order.

    No image is opened, and none is looked up on disk: a table's file that is not there is found by
    the cache (`fedcxr/data/cache/store.py`).

    Args:
        root: the folder with the tables, or its parent; several folders are joined
            (`fedcxr/data/readers/join.py`).
        views: `all`, or `frontal` to leave lateral views out.
        labels: the labels to keep, in this order; none = all 14 of the layout, or those that
            joined data sets share.
        task: a binary task, whose one label takes the place of `labels` (`fedcxr/data/tasks.py`).
        label_table: CheXpert's table of training labels, such as `train_cheXbert.csv`;
            none = train.csv.
        column: a column of the source's table to keep as the records' attribute.
        follow_links: let links lead out of the folders, when the images are opened.

    Raises:
        ConfigError: a label that the layout does not have, a folder named twice, or a label table
            for data that have none.
        DataError: no data set is recognised, or its tables are wrong.
        LeakError: a patient would be in two places.
    """
    roots = [Path(one) for one in ([root] if isinstance(root, str | Path) else root)]
    sources, wanted = _sources(roots, labels, label_table, task)
    parts = {}
    for source in sources:
        with paused_collector():
            part = _read(source, label_table, column, task)
        parts[source.name] = _checked(part, views)
    (dataset, *others) = parts.values()
    if others:
        with paused_collector():
            dataset = join(parts, {source.name: source.labels for source in sources}, wanted)
    return replace(dataset, follow_links=follow_links)


def _sources(
    roots: Sequence[Path],
    labels: Sequence[str] | None,
    label_table: str | None,
    task: "TaskName | None",
) -> tuple[list[_Source], tuple[str, ...]]:
    """Return the sources in the folders, and the labels to read of them together."""
    found = [recognise(root, label_table) for root in roots]
    _check_roots([folder for folder, _ in found])
    kinds = [KINDS[layout] for _, layout in found]
    if max(map(kinds.count, kinds)) > MAX_SOURCES:
        raise ConfigError(f"data.root: at most {MAX_SOURCES} data sets of one kind can be joined.")
    if label_table is not None and "chexpert" not in kinds:
        raise ConfigError(
            f"data.label_table={label_table}: only CheXpert has several tables of training "
            f"labels; {roots[0]} is NIH ChestX-ray14. Leave it out."
        )
    if task is not None:
        own = {TASKS[task].label: TASKS[task].label}
        names = zip(source_names(kinds), found, strict=True)
        return [_Source(name, *place, own) for name, place in names], tuple(own)
    shared, known = joined_labels(kinds)
    wanted = shared if labels is None else _check_labels(labels, known, " + ".join(kinds))
    sources = [
        _Source(name, folder, layout, own_labels(KINDS[layout], kinds, wanted))
        for name, (folder, layout) in zip(source_names(kinds), found, strict=True)
    ]
    for source in sources:
        if not source.labels:
            raise ConfigError(
                f"data.labels: {source.name} ({source.folder}) has none of "
                f"{some(list(wanted), 30)}. Add one that it has, or leave this folder out."
            )
    return sources, wanted


def _read(
    source: _Source, label_table: str | None, column: str | None, task: "TaskName | None"
) -> DataSet:
    """Return a source's records with the labels that it has of those asked for."""
    if task is not None:
        labels = TASKS[task].made_of[KINDS[source.layout]]
        return as_task(_of_layout(source, labels, label_table, column), TASKS[task])
    return _of_layout(source, tuple(source.labels.values()), label_table, column)


def _of_layout(
    source: _Source, labels: tuple[str, ...], label_table: str | None, column: str | None
) -> DataSet:
    if source.layout == CHEXPERT:
        return read_chexpert(
            source.folder, labels, source=source.name, label_table=label_table, column=column
        )
    read = read_nih14 if source.layout == NIH14 else read_onehot
    return read(source.folder, labels, source=source.name, column=column)


def _checked(dataset: DataSet, views: str) -> DataSet:
    """Return the data set with only the views asked for, if any are left."""
    found = dataset.official
    if views == "frontal":
        dataset = dataset.where(lambda record: record.view == "frontal")
    if not dataset.records:
        raise DataError(
            f"{dataset.root}: the tables hold no images with views={views}. Give another folder, "
            f"or --views all."
        )
    paths = {record.path for record in dataset.records}
    boxes = tuple(box for box in dataset.boxes if box.path in paths)
    empty = [
        f"{', '.join(one.files)} has no {views} image."
        for one in found
        if one not in dataset.official
    ]
    return replace(dataset, boxes=boxes, notes=(*_notes(dataset), *empty))


def _notes(dataset: DataSet) -> tuple[str, ...]:
    """Return the notes; made-up images are said to be so and credited to nobody."""
    if not (dataset.root / "synthetic.json").is_file():
        return dataset.notes
    rest = (note for note in dataset.notes if note != ATTRIBUTION)
    return ("The images are synthetic: drawings, not patients.", *rest)


def _check_roots(folders: list[Path]) -> None:
    if not folders or len({folder.resolve() for folder in folders}) < len(folders):
        named = some([str(folder) for folder in folders]) or "none"
        raise ConfigError(f"data.root: name each data set once, at least one; found {named}.")


def _check_labels(labels: Sequence[str], known: Sequence[str], kinds: str) -> tuple[str, ...]:
    unknown = [f"{label!r}{nearest(label, known)}" for label in labels if label not in known]
    if unknown:
        raise ConfigError(
            f"data.labels: {some(unknown)} not among the labels of {kinds}: {', '.join(known)}."
        )
    if not labels or len(set(labels)) < len(labels):
        raise ConfigError(
            f"data.labels: give each label once, at least one of {some([*known], 30)}."
        )
    return tuple(labels)
