"""One door to every data set: the layout is recognised from the folder, several are joined."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fedcxr.collector import paused_collector
from fedcxr.data.readers.chexpert import read_chexpert
from fedcxr.data.readers.join import MAX_SOURCES, join, joined_labels, own_labels, source_names
from fedcxr.data.readers.layouts import CHEXPERT, KINDS, NIH14, OWN, SITE, labels_of, recognise
from fedcxr.data.readers.nih14 import ATTRIBUTION, read_nih14
from fedcxr.data.readers.nih14_onehot import read_onehot
from fedcxr.data.readers.presets import PRESETS
from fedcxr.data.readers.site_folder import read_site_folder
from fedcxr.data.readers.tables import nearest
from fedcxr.data.records import DataSet
from fedcxr.data.tasks import TASKS, as_task
from fedcxr.errors import ConfigError, DataError, some
from fedcxr.filenames import DATASET_YAML

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
    made_of: tuple[str, ...] = ()
    """Under a task, the labels that its one label is made of."""


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
    the cache (`fedcxr/data/cache/store.py`). Of a `dataset.yaml` alone the headers of DICOM files
    are read.

    Args:
        root: the folder with the tables, or its parent; several folders are joined
            (`fedcxr/data/readers/join.py`).
        views: `all`, or `frontal` to leave lateral views out.
        labels: the labels to keep, in this order; none = all of the data set, or those that
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
            part = _read(source, label_table, column, follow_links)
            part = part if task is None else as_task(part, TASKS[task])
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
            f"labels; {roots[0]} is none. Leave it out."
        )
    names = source_names(kinds)
    known = [labels_of(*place) for place in found]
    if task is not None:
        label = TASKS[task].label
        sources = [
            _Source(name, *place, {label: label}, _labels_of_task(task, place, own))
            for name, place, own in zip(names, found, known, strict=True)
        ]
        return sources, (label,)
    shared, union = joined_labels(list(zip(kinds, known, strict=True)))
    if not shared and labels is None:
        raise ConfigError(
            f"data.labels: {' and '.join(names)} have no label in common. Give the same label the "
            f"same name in each {DATASET_YAML}, or name the --labels to train on."
        )
    wanted = shared if labels is None else _check_labels(labels, union, " + ".join(kinds))
    sources = [
        _Source(name, *place, own_labels(KINDS[place[1]], kinds, wanted, own))
        for name, place, own in zip(names, found, known, strict=True)
    ]
    for source in sources:
        if not source.labels:
            raise ConfigError(
                f"data.labels: {source.name} ({source.folder}) has none of "
                f"{some(list(wanted), 30)}. Add one that it has, or leave this folder out."
            )
    return sources, wanted


def _labels_of_task(
    task: "TaskName", place: tuple[Path, str], known: Sequence[str]
) -> tuple[str, ...]:
    """Return the labels that a task is made of in a data set; of one's own the label itself."""
    folder, layout = place
    label = TASKS[task].label
    made_of = TASKS[task].made_of.get(KINDS[layout], (label,))
    if not set(made_of) <= set(known):
        raise ConfigError(
            f"data.task={task}: {folder} has no label {label!r}{nearest(label, known)}. Name one "
            f"so, or leave the task out; it has {some([*known], 30)}."
        )
    return made_of


def _read(
    source: _Source, label_table: str | None, column: str | None, follow_links: bool
) -> DataSet:
    """Return a source's records with the labels that it has of those asked for."""
    folder, name = source.folder, source.name
    labels = source.made_of or tuple(source.labels.values())
    if source.layout == CHEXPERT:
        return read_chexpert(folder, labels, source=name, label_table=label_table, column=column)
    if source.layout == OWN or source.layout in PRESETS:
        # pydantic and Pillow, which no other table needs
        from fedcxr.data.readers.own import read_own, read_preset

        if source.layout in PRESETS:
            return read_preset(source.layout, folder, labels, name, column, follow_links)
        return read_own(folder, labels, source=name, column=column, follow_links=follow_links)
    readers = {NIH14: read_nih14, SITE: read_site_folder}
    read = readers.get(source.layout, read_onehot)
    return read(folder, labels, source=name, column=column)


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
