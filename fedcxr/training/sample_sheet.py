"""Real images, their reconstructions and samples on one sheet, for the eyes of the site alone."""

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fedcxr.atomic import write_bytes_atomically

_GAP_PX = 4
_TITLE_PX = 16
_SMALLEST_PX = 96
"""Images are shown at least so large."""


def write_sheet(path: Path, rows: dict[str, NDArray[np.uint8]]) -> None:
    """Write a PNG with a titled row of images for each entry, atomically; same input, same bytes.

    Args:
        path: the file, in a folder of the site's own.
        rows: title → (N, H, H), all of one H.
    """
    side = max(images.shape[1] for images in rows.values())
    scale = -(-_SMALLEST_PX // side)
    cell = side * scale
    columns = max(len(images) for images in rows.values())
    height = (_TITLE_PX + cell + _GAP_PX) * len(rows)
    sheet = Image.new("L", (columns * (cell + _GAP_PX), height), 255)
    pen = ImageDraw.Draw(sheet)
    for number, (title, images) in enumerate(rows.items()):
        top = number * (_TITLE_PX + cell + _GAP_PX)
        pen.text((2, top + 2), title, fill=0)
        for column, image in enumerate(images):
            shown = Image.fromarray(image).resize((cell, cell), Image.Resampling.NEAREST)
            sheet.paste(shown, (column * (cell + _GAP_PX), top + _TITLE_PX))
    buffer = BytesIO()
    sheet.save(buffer, format="png")
    write_bytes_atomically(path, buffer.getvalue())
