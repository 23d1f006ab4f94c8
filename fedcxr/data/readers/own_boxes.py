"""Boxes around findings, of a table of one's own.

Only those of a label that the image has are kept: where readers disagree, the label is what most
say, and a box of the few would score a heat map for what is not there.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from fedcxr.config.dataset_sections import BoxTable
from fedcxr.data.labels import POSITIVE
from fedcxr.data.paths import Fence
from fedcxr.data.readers.own_fields import OwnImages
from fedcxr.data.readers.own_findings import same_cell
from fedcxr.data.readers.own_tables import key_cells, stack, table_at
from fedcxr.data.readers.table_files import read_any_table
from fedcxr.data.readers.tables import CsvTable
from fedcxr.data.records import Box, Record
from fedcxr.errors import RecordError, some

_LIMIT_PX = 1e5


def read_own_boxes(
    read: OwnImages,
    folder: Path,
    records: Sequence[Record],
    labels: Sequence[str],
    fence: Fence,
) -> tuple[Box, ...]:
    """Return the boxes that `dataset.yaml` names, in fractions of their images.

    Args:
        read: the rows of the images.
        folder: that the tables lie in.
        records: the images that were read.
        labels: the findings to keep.
        fence: where the images lie, for their sizes.

    Raises:
        RecordError: a column is missing, a number is none, or a box leaves its image.
    """
    rule = read.file.says.boxes
    if rule is None:
        return ()
    table, paths = _rows(read, rule, folder)
    sides = _numbers(table, rule, read)
    states = {record.path: dict(zip(labels, record.labels, strict=True)) for record in records}
    found: dict[Box, None] = {}
    left_out: Counter[str] = Counter()
    sizes: dict[str, tuple[int, int]] = {}
    for path, label, box in zip(paths, _labels(read, table, rule), sides, strict=True):
        if box is None or path not in states or label in set(read.file.says.labels) - set(labels):
            continue
        if states[path].get(label) != POSITIVE:
            left_out["of labels that the image has not" if label in labels else "of others"] += 1
            continue
        if path not in sizes:
            sizes[path] = rule.frame_px or _size_of(path, read, fence)
        found[_box(path, label, box, rule, sizes[path], read)] = None
    for why, count in left_out.items():
        read.notes.append(f"Left out: {count} boxes {why}.")
    return tuple(found)


def _rows(read: OwnImages, rule: BoxTable, folder: Path) -> tuple[CsvTable, list[str]]:
    """Return the table of boxes, and the path of each row's image; blank where it has none."""
    if rule.table is None:
        return read.own.table, list(read.paths)
    columns = {*rule.on, *rule.sides(), *([rule.label] if rule.label else [])}
    aliases = read.file.says.aliases
    parts: dict[str, CsvTable] = {
        split: read_any_table(table_at(folder, name, read.file, "boxes"), aliases, columns)
        for split, name in rule.table.items()
    }
    table, _ = stack(parts, read.file)
    table.require(sorted(columns))
    by_key = dict(zip(key_cells(read.own.table, rule.on), read.paths, strict=True))
    return table, [by_key.get(key, "") for key in key_cells(table, rule.on)]


def _labels(read: OwnImages, table: CsvTable, rule: BoxTable) -> list[str]:
    """Return the label of each row, blank where it is none of `dataset.yaml`."""
    if rule.label is None:
        return [rule.of or ""] * len(table)
    says = read.file.says
    words = {same_cell(own.column or label): label for label, own in says.labels.items()}
    words |= {same_cell(label): label for label in says.labels}
    return [words.get(same_cell(cell), "") for cell in table[rule.label]]


def _numbers(
    table: CsvTable, rule: BoxTable, read: OwnImages
) -> list[tuple[float, float, float, float] | None]:
    """Return the four numbers of each row, None where all are blank."""
    cells = list(zip(*(table[column] for column in rule.sides()), strict=True))
    found: list[tuple[float, float, float, float] | None] = []
    bad = []
    for position, row in enumerate(cells):
        if not any(cell.strip() for cell in row):
            found.append(None)
            continue
        try:
            x, y, w, h = (float(cell) for cell in row)
            found.append((x, y, w, h))
            is_wrong = not all(0 <= side <= _LIMIT_PX for side in (x, y, w, h))
        except ValueError:
            is_wrong = True
        if is_wrong:
            bad.append(str(position + 2))
    if bad:
        raise RecordError(
            f"{read.file.at('boxes')}: {len(bad)} rows of {table.csv_path.name} (row {some(bad)}) "
            f"without four numbers of pixels in {some([*rule.sides()])}. Mend these rows."
        )
    return found


def _box(
    path: str,
    label: str,
    numbers: tuple[float, float, float, float],
    rule: BoxTable,
    size: tuple[int, int],
    read: OwnImages,
) -> Box:
    x, y, third, fourth = numbers
    width, height = (third, fourth) if rule.width is not None else (third - x, fourth - y)
    across, down = size
    # half a pixel: corners are often rounded
    if width < 0 or height < 0 or x + width > across + 0.5 or y + height > down + 0.5:
        raise RecordError(
            f"{read.file.at('boxes')}: the box {numbers} of {path} is not in its picture of "
            f"{across} × {down} pixels. Name the `frame_px` that the numbers are of, or mend it."
        )
    return Box(path, label, x / across, y / down, width / across, height / down)


def _size_of(path: str, read: OwnImages, fence: Fence) -> tuple[int, int]:
    """Return the width and height of an image, by its header."""
    facts = read.facts.get(path)
    if facts is not None and facts.size_px is not None:
        return facts.size_px
    try:
        if fence.stat(path) is not None:
            with Image.open(fence.file(path)) as image:
                return image.size
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        pass
    raise RecordError(
        f"{read.file.at('boxes')}: {path} has boxes, and its size cannot be read from its file. "
        "Fetch the file, or say under `frame_px` which picture the numbers are of."
    )
