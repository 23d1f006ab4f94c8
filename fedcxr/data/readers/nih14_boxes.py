"""The boxes that NIH's radiologists drew: BBox_List_2017.csv, 984 findings on 880 images.

Source: Wang et al. 2017, "ChestX-ray8", CVPR, §3.3.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fedcxr.data.labels import NIH14_LABELS
from fedcxr.data.paths import check_relative
from fedcxr.data.readers.tables import read_table_file
from fedcxr.data.records import Box
from fedcxr.errors import DataError, some

FRAME_PX = 1024.0
"""Side of the square frame in which the boxes are given, whatever the size of the files here."""

_NAME = "bbox_list_2017"
_SIDES = ("x", "y", "w", "h")
_ALIASES = {
    "Image_Index": "Image Index",
    "Finding_Label": "Finding Label",
    "Bbox [x": "x",  # the header reads `Bbox [x,y,w,h]` without quotes: four columns
    "Bbox_[x": "x",
    "Bbox[x": "x",
    "h]": "h",
}
_LABELS = {"Infiltrate": "Infiltration", **{label: label for label in NIH14_LABELS}}


def read_boxes(folder: Path, labels: Sequence[str], folders: Mapping[str, str]) -> tuple[Box, ...]:
    """Return the boxes as fractions of the image; none where there is no list.

    Args:
        folder: the data set's, with a BBox_List_2017.csv, however its letters are cased.
        labels: the findings to keep.
        folders: by image name, the folder it lies in; those of other images are in `images`.

    Raises:
        RecordError: a column is missing, or a cell holds what it may not.
        DataError: a name leads out of the folder, or there are two different lists.
    """
    lists = sorted(p for p in folder.glob("*.csv") if p.stem.lower().startswith(_NAME))
    if not lists:
        return ()
    table, *others = [read_table_file(csv_path, _ALIASES) for csv_path in lists]
    if any(other.columns != table.columns for other in others):
        both = " and ".join(csv_path.name for csv_path in lists)
        raise DataError(f"{folder}: {both} are different lists of boxes. Keep one.")
    table.require(["Image Index", "Finding Label", *_SIDES])
    names = table.columns["Image Index"]
    check_relative(names, table.csv_path, "Image Index")
    found = table.named("Finding Label", _LABELS, f"one of {some(sorted(_LABELS), 15)}")
    rectangles = zip(*(table.numbers(side, 0.0, FRAME_PX) for side in _SIDES), strict=True)
    return tuple(
        Box(f"{folders.get(name, 'images')}/{name}", label, *(side / FRAME_PX for side in sides_px))
        for name, label, sides_px in zip(names, found, rectangles, strict=True)
        if label in labels
    )
