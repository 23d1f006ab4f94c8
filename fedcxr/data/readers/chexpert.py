"""CheXpert (v1.0, -small, or any tree of its shape), its 2022 test set and CheXlocalize's images.

The test set is the 2022 test set where its labels and images are there, and otherwise the official
valid set, whose 200 patients radiologists read; either way it is never used for choosing anything.
Validation patients are taken from train (`partitions/splits.py`).

Source: Irvin et al. 2019, "CheXpert: a large chest radiograph dataset with uncertainty labels and
expert comparison", AAAI; https://stanfordmlgroup.github.io/competitions/chexpert/. Saporta et al.
2022, "Benchmarking saliency methods for chest X-ray interpretation" (CheXlocalize).
"""

from collections.abc import Sequence
from pathlib import Path

from fedcxr.data.labels import CHEXPERT_LABELS
from fedcxr.data.readers.chexpert_places import IMAGE_PATH, find_places, place_images, split_paths
from fedcxr.data.readers.chexpert_rows import ReadOptions, has_images, read_evaluation, read_images
from fedcxr.data.readers.chexpert_tables import ALIASES, VALID_CSVS, Tables, find_tables
from fedcxr.data.readers.tables import read_table_file
from fedcxr.data.records import Box, DataSet, Record

BOXES_CSV = "boxes.csv"


def read_chexpert(
    folder: Path,
    labels: Sequence[str] = CHEXPERT_LABELS,
    *,
    source: str = "chexpert",
    label_table: str | None = None,
    column: str | None = None,
) -> DataSet:
    """Return the records of the CheXpert folder that holds train.csv.

    Args:
        folder: the root of the record paths: what a path's first component (`CheXpert-v1.0-small`)
            stands for, under whatever name it is on this disk. Of the AIMI download, the folder of
            the batches or the batch with the tables.
        labels: the label columns to read.
        source: what to write into the records.
        label_table: the table of training labels, such as `train_cheXbert.csv`; none = train.csv,
            or the only one that is there.
        column: a column of the table of training labels to keep as the records' attribute.

    Raises:
        RecordError: a table is missing, lacks a column or holds a cell that it may not.
        DataError: a path leads out of the folder, or the table of labels cannot be chosen.
    """
    tables = find_tables(folder, label_table)
    kept = ALIASES.get(column, column) if column else None
    options = ReadOptions(tables.home, tuple(labels), source, kept, list(tables.notes))
    records: list[Record] = []
    if tables.train is not None:
        records += read_images(tables.train, options, split="train", folder="train")
    records += _read_held_out(tables, options)
    return DataSet(
        root=tables.home,
        layout="chexpert",
        labels=tuple(labels),
        records=tuple(records),
        boxes=_read_boxes(folder / BOXES_CSV, tables.home, labels),
        notes=tuple(options.notes),
        official=tuple(options.official),
    )


def _read_held_out(tables: Tables, options: ReadOptions) -> list[Record]:
    """Return the records of the 2022 test set and of the valid set, which is `val` beside it."""
    test = _read_test(tables, options)
    if tables.valid is None:
        if not test:
            options.notes.append(f"There is no {VALID_CSVS[0]}.")
        return test
    read = read_images if tables.valid.name == VALID_CSVS[0] else read_evaluation
    valid = read(tables.valid, options, split="val" if test else "test", folder="valid")
    return test + valid


def _read_test(tables: Tables, options: ReadOptions) -> list[Record]:
    if tables.test is None:
        return []
    only_test = tables.train is None and tables.valid is None
    if only_test or has_images(tables.test, tables.home, "test"):
        return read_evaluation(tables.test, options, split="test", folder="test")
    options.notes.append(f"{tables.test.name} is left out: there are no test images.")
    return []


def _read_boxes(csv_path: Path, home: Path, labels: Sequence[str]) -> tuple[Box, ...]:
    """Return the boxes of a synthetic tree: path, label and a rectangle in fractions."""
    if not csv_path.is_file():
        return ()
    table = read_table_file(csv_path)
    sides = ("x", "y", "width", "height")
    table.require(["path", "label", *sides])
    example = "train/patient00001/study1/view1_frontal.jpg"
    parts = split_paths(table, "path", IMAGE_PATH, "train", example)
    paths = place_images(find_places(home, table, "path", parts), parts)
    rectangles = zip(*(table.numbers(side, 0.0, 1.0) for side in sides), strict=True)
    return tuple(
        Box(path, label, *rectangle)
        for path, label, rectangle in zip(paths, table.columns["label"], rectangles, strict=True)
        if label in labels
    )
