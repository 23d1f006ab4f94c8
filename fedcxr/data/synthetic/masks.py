"""Where each synthetic sign is: a mask cropped to its box, and all of them packed in one file.

`masks.npz` goes row by row with `boxes.csv`:
  size_px  ()      side of the square images
  boxes    (R, 4)  int32 left, top, width, height in pixels
  start    (R + 1) int64 where each row's bytes begin in `bits`
  bits     (bytes) uint8, `numpy.packbits` of the mask inside the box, row-major
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FILE_NAME = "masks.npz"


@dataclass(frozen=True, slots=True)
class MaskCrop:
    """A mask and the box that just holds it, in pixels."""

    left: int
    top: int
    inside: NDArray[np.bool_]
    """(height, width); (0, 0) where nothing of the sign is on the image."""

    def box(self, size_px: int) -> tuple[float, float, float, float]:
        """Return x, y, width and height in fractions of the image."""
        height, width = self.inside.shape
        return self.left / size_px, self.top / size_px, width / size_px, height / size_px


def crop_masks(masks: NDArray[np.bool_]) -> list[MaskCrop]:
    """Return the crops of (S, H, W) masks.

    >>> mask = np.zeros((1, 4, 4), dtype=bool)
    >>> mask[0, 1:3, 2] = True
    >>> crop_masks(mask)[0].box(4)
    (0.5, 0.25, 0.25, 0.5)
    """
    height, width = masks.shape[1:]
    columns: NDArray[np.bool_] = np.any(masks, axis=1)
    rows: NDArray[np.bool_] = np.any(masks, axis=2)
    lefts, tops = columns.argmax(axis=1), rows.argmax(axis=1)
    rights = np.where(columns.any(axis=1), width - columns[:, ::-1].argmax(axis=1), 0)
    bottoms = np.where(rows.any(axis=1), height - rows[:, ::-1].argmax(axis=1), 0)
    return [
        MaskCrop(int(left), int(top), mask[top:bottom, left:right].copy())
        for mask, left, top, right, bottom in zip(masks, lefts, tops, rights, bottoms, strict=True)
    ]


def write_masks(path: Path, crops: list[MaskCrop], size_px: int) -> None:
    """Write `masks.npz`; the same crops give the same bytes."""
    packed = [np.packbits(crop.inside) for crop in crops]
    boxes = [(c.left, c.top, c.inside.shape[1], c.inside.shape[0]) for c in crops]
    np.savez(
        path,
        size_px=np.int32(size_px),
        boxes=np.array(boxes, dtype=np.int32).reshape(-1, 4),
        start=np.cumsum([0, *(len(p) for p in packed)], dtype=np.int64),
        bits=np.concatenate([np.zeros(0, np.uint8), *packed]),
    )


@dataclass(frozen=True, slots=True)
class Masks:
    """The masks of a synthetic data set, row by row with its `boxes.csv`."""

    size_px: int
    boxes: NDArray[np.int32]
    start: NDArray[np.int64]
    bits: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.boxes)

    def mask(self, row: int) -> NDArray[np.bool_]:
        """Return the (H, W) mask of one row."""
        left, top, width, height = (int(v) for v in self.boxes[row])
        packed = self.bits[self.start[row] : self.start[row + 1]]
        inside = np.unpackbits(packed, count=width * height).reshape(height, width)
        mask = np.zeros((self.size_px, self.size_px), dtype=bool)
        mask[top : top + height, left : left + width] = inside
        return mask


def read_masks(root: Path) -> Masks:
    """Return the masks below a synthetic data set's root."""
    with np.load(root / FILE_NAME, allow_pickle=False) as file:
        return Masks(int(file["size_px"]), file["boxes"], file["start"], file["bits"])
