"""The image files of a data set, each looked at once: there, whole, an image, and not blank.

Every file is decoded into the 64-pixel cache that a run at that size over all views would use, so
that checking costs one pass, and a second check or such a run finds it made. What the other image
checks need of the pixels (`quality/twins.py`, `quality/orientation.py`) is measured in one pass
over that cache.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.cache.images import cache_of
from fedcxr.data.image_files import ending_hint
from fedcxr.data.paths import Fence
from fedcxr.data.quality.findings import PROBLEM, Finding, finding_of
from fedcxr.data.records import DataSet, Record
from fedcxr.data.tokens import Tokens, load_key
from fedcxr.errors import DataError
from fedcxr.seeding import derive_rng

SIDE_PX = 64
BLANK_STD = 1.0
"""Grey levels: the darkest and flattest radiograph of the samples has 19."""

_BLOCK = 2048

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and the total."""


@dataclass(frozen=True, slots=True)
class DecodedImages:
    """The images of a check, those that can be decoded with their pixels."""

    records: tuple[Record, ...] = field(repr=False)
    """(M,) decoded ones."""
    squares: NDArray[np.uint8] = field(repr=False)
    """(rows, 64, 64), mapped from the cache."""
    row: NDArray[np.int64] = field(repr=False)
    """(M,) of each record in `squares`."""
    digests: tuple[str, ...] = field(repr=False)
    """(M,) of each file's bytes."""
    bad: tuple[tuple[str, str], ...]
    """(path, reason) of every other."""
    mean_bytes: float
    """Of the files that are there."""
    num_there: int
    png_bits: int | None = None
    """As `Cache.png_bits`."""

    @property
    def num_all(self) -> int:
        """How many images were looked for."""
        return len(self.records) + len(self.bad)

    def pixels(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the (B, 64, 64) pixels of the records at some positions, 0 to 255."""
        squares = self.squares
        if isinstance(squares, np.memmap) and squares.filename is not None:
            # Mapped for this block alone: the pages of one long-lived map would pile up, to 0.9 GB.
            squares = np.memmap(squares.filename, dtype=np.uint8, mode="r", shape=squares.shape)
        return squares[self.row[positions]].astype(np.float32)

    def square(self, position: int) -> NDArray[np.uint8]:
        """Return the (64, 64) pixels of the record at a position."""
        return np.array(self.squares[self.row[position]])


def chosen_images(dataset: DataSet, sample: int | None) -> list[Record]:
    """Return a record for each image file, or for a random `sample` of them, in their order."""
    by_path: dict[str, Record] = {}
    for record in dataset.records:
        by_path.setdefault(record.path, record)
    records = list(by_path.values())
    if sample is None or sample >= len(records):
        return records
    drawn = derive_rng(0, "check-data", "sample").choice(len(records), sample, replace=False)
    return [records[i] for i in np.sort(drawn)]


def decode_images(
    dataset: DataSet, records: Sequence[Record], *, workers: int, progress: Progress | None
) -> DecodedImages:
    """Return the images of the records, decoded; what cannot be is in `bad` with its reason."""
    fence = Fence(dataset.files)
    bad: dict[str, str] = {}
    sizes: list[int] = []
    for record in records:
        try:
            stat = fence.stat(record.path)
        except DataError:
            bad[record.path] = "leads out of the data folder by a link; --follow-links allows that"
        except OSError as err:
            bad[record.path] = f"cannot be read: {err.strerror}"
        else:
            if stat is None:
                bad[record.path] = "missing"
            else:
                sizes.append(stat.st_size)
    there = [record for record in records if record.path not in bad]
    if not there:
        none = np.zeros((0, SIDE_PX, SIDE_PX), dtype=np.uint8)
        return DecodedImages((), none, np.zeros(0, dtype=np.int64), (), tuple(bad.items()), 0.0, 0)
    tokens = Tokens(load_key())
    ids = [tokens.image(record.path) for record in there]
    cache = cache_of(
        replace(dataset, records=tuple(there)),
        tokens,
        size_px=SIDE_PX,
        max_bad_fraction=1.0,
        workers=workers,
        progress=None if progress is None else lambda n, total: progress("Decoding", n, total),
    )
    bad |= {path: reason for _, path, reason in cache.bad}
    good = [(one, record) for one, record in zip(ids, there, strict=True) if cache.has(one)]
    contents = cache.contents()
    return DecodedImages(
        records=tuple(record for _, record in good),
        squares=cache.images,
        row=cache.rows([one for one, _ in good]),
        digests=tuple(contents[one] for one, _ in good),
        bad=tuple((record.path, bad[record.path]) for record in records if record.path in bad),
        mean_bytes=sum(sizes) / len(sizes),
        num_there=len(there),
        png_bits=cache.png_bits,
    )


def file_findings(decoded: DecodedImages, dataset: DataSet) -> tuple[Finding, ...]:
    """Return what is wrong with the files of the data set as files."""
    by_kind: dict[str, list[str]] = {kind: [] for kind in _KINDS}
    for path, reason in decoded.bad:
        kind = _kind_of(reason)
        by_kind[kind].append(path if kind == "missing" else f"{path}: {reason}")
    hint = ending_hint(by_kind["missing"], Fence(dataset.files))
    if decoded.num_there == 0 and len(by_kind["missing"]) == len(decoded.bad):
        return finding_of(
            "no-images",
            PROBLEM,
            by_kind["missing"],
            "No image is here",
            text=f"None of the {decoded.num_all:,} images that the tables name is in "
            f"{dataset.root}.{hint}",
            mend="Put the images beside the tables, or give --labels-only to check the tables.",
        )
    return tuple(
        finding
        for kind, (title, text, mend) in _KINDS.items()
        for finding in finding_of(
            kind,
            PROBLEM,
            by_kind[kind],
            title,
            text=text + hint * (kind == "missing"),
            mend=mend,
        )
    )


def blank_findings(decoded: DecodedImages, spread: NDArray[np.float32]) -> tuple[Finding, ...]:
    """Return the images that are one shade all over; `spread` is (M,) of grey levels."""
    blank = np.flatnonzero(spread < BLANK_STD)
    return finding_of(
        "blank-image",
        PROBLEM,
        [
            f"{decoded.records[i].path}: grey level {decoded.square(int(i)).mean():.0f}"
            for i in blank
        ],
        "Blank images",
        text="The whole image is one shade: the export went wrong.",
        mend="Fetch these files again, or take their rows out of the table.",
    )


def blocks(decoded: DecodedImages) -> Iterator[NDArray[np.float32]]:
    """Yield the squares in the order of the records, (B, 64, 64) at a time, to bound memory."""
    for start in range(0, len(decoded.row), _BLOCK):
        yield decoded.pixels(np.arange(start, min(start + _BLOCK, len(decoded.row))))


_KINDS = {
    "missing": (
        "Missing images",
        "The table names these images, and there is no file.",
        "Fetch the rest of the download, or take these rows out of the table.",
    ),
    "damaged": (
        "Truncated or damaged images",
        "The file ends early or cannot be decoded to its end.",
        "Fetch these files again: the download was cut off.",
    ),
    "not-an-image": (
        "Files that are no images",
        "The file has an image's name and another content.",
        "Fetch these files again; a login page may have been saved in their place.",
    ),
    "unreadable": (
        "Images that cannot be read faithfully",
        "The file's grey values would be a guess, or the file may not be opened.",
        "Do what the reason says, or take these rows out of the table.",
    ),
}


def _kind_of(reason: str) -> str:
    if reason == "missing":
        return "missing"
    if reason.startswith(("damaged", "truncated", "empty file")) or reason.endswith("truncated"):
        return "damaged"
    if reason.startswith(("a web page", "neither ")):
        return "not-an-image"
    return "unreadable"
