"""One door to every data set: the layout is recognised from the folder."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fedcxr.data.chexpert import TRAIN_CSV, read_chexpert
from fedcxr.data.labels import CHEXPERT_LABELS, NIH14_LABELS
from fedcxr.data.nih14 import ATTRIBUTION, ENTRY_GLOB, read_nih14
from fedcxr.data.records import DataSet
from fedcxr.data.tables import nearest, paused_collector
from fedcxr.errors import ConfigError, DataError, some

_LABELS = {"chexpert": CHEXPERT_LABELS, "nih14": NIH14_LABELS}
_READERS = {"chexpert": read_chexpert, "nih14": read_nih14}


def read_dataset(root: Path, *, views: str = "all", labels: Sequence[str] | None = None) -> DataSet:
    """Return the records of the data set in `root`, in the order of its tables.

    No image is opened, and none is looked up on disk: a table's file that is not there is found by
    the cache (`fedcxr/data/cache.py`).

    Args:
        root: the folder with CheXpert's train.csv or NIH's Data_Entry_2017*.csv, or its parent.
        views: `all`, or `frontal` to leave lateral views out.
        labels: the labels to keep, in this order; none = all 14 of the layout.

    Raises:
        ConfigError: a label that the layout does not have.
        DataError: no data set is recognised, or its tables are wrong.
    """
    folder, layout = _recognise(root)
    wanted = _LABELS[layout] if labels is None else _check_labels(labels, layout)
    with paused_collector():
        dataset = _READERS[layout](folder, wanted)
    if views == "frontal":
        dataset = dataset.where(lambda record: record.view == "frontal")
    if not dataset.records:
        raise DataError(f"{folder}: the tables hold no images with views={views}.")
    paths = {record.path for record in dataset.records}
    boxes = tuple(box for box in dataset.boxes if box.path in paths)
    return replace(dataset, boxes=boxes, notes=_notes(dataset))


def _notes(dataset: DataSet) -> tuple[str, ...]:
    """Return the notes; made-up images are said to be so and credited to nobody."""
    if not (dataset.root / "synthetic.json").is_file():
        return dataset.notes
    rest = (note for note in dataset.notes if note != ATTRIBUTION)
    return ("The images are synthetic: drawings, not patients.", *rest)


def _check_labels(labels: Sequence[str], layout: str) -> tuple[str, ...]:
    known = _LABELS[layout]
    unknown = [f"{label!r}{nearest(label, known)}" for label in labels if label not in known]
    if unknown:
        raise ConfigError(
            f"data.labels: {some(unknown)} not among the labels of {layout}: {', '.join(known)}."
        )
    if not labels or len(set(labels)) < len(labels):
        raise ConfigError(
            f"data.labels: give each label once, at least one of {some([*known], 14)}."
        )
    return tuple(labels)


def _recognise(root: Path) -> tuple[Path, str]:
    """Return the folder that holds the tables, `root` itself or a child of it, and the layout."""
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder. Give --data the data set's folder.")
    children = sorted(path for path in root.iterdir() if path.is_dir())
    found = _layouts(root) or [match for child in children for match in _layouts(child)]
    if len(found) == 1:
        return found[0]
    if not found:
        names = some(sorted(path.name for path in root.iterdir())) or "nothing"
        raise DataError(
            f"{root}: neither CheXpert ({TRAIN_CSV}) nor NIH ChestX-ray14 ({ENTRY_GLOB}) is here "
            f"or one folder below; there is {names}. Give --data the folder with the table."
        )
    places = some([f"{folder} ({layout})" for folder, layout in found])
    raise DataError(f"{root}: several data sets: {places}. Give --data one of them.")


def _layouts(folder: Path) -> list[tuple[Path, str]]:
    found = []
    if (folder / TRAIN_CSV).is_file():
        found.append((folder, "chexpert"))
    if any(folder.glob(ENTRY_GLOB)):
        found.append((folder, "nih14"))
    return found
