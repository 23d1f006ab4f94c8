"""What `fedcxr check-data` found, as values: findings, statistics, and the report of both.

A problem makes the data set unclean: training on it would fail or would mislead. A notice is what a
careful user wants to know and may well accept. The report names files of the data set, so it stays
where the data are.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.quality.counts import People
from fedcxr.data.quality.disk import Disk
from fedcxr.data.quality.splits import Pair
from fedcxr.data.records import OfficialSet

PROBLEM, NOTICE = "problem", "notice"
MAX_EXAMPLES = 10
MAX_PICTURES = 12
JSON_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Picture:
    """A small view of an image, for the page."""

    caption: str
    pixels: NDArray[np.uint8]
    """(H, W)"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of thing that is wrong, or worth knowing."""

    kind: str
    """Stable name, `kebab-case`."""
    severity: str
    """`problem` or `notice`."""
    count: int
    """Of what the title names: files, pairs, patients, labels."""
    title: str
    """What is counted, in a few words."""
    text: str
    """What is wrong with it, and why it matters."""
    mend: str
    """What to do about it."""
    examples: tuple[str, ...] = ()
    """The first ten, as paths relative to the root or as rows."""
    pictures: tuple[tuple[Picture, ...], ...] = field(default=(), repr=False, compare=False)
    """Rows of images to look at side by side."""


@dataclass(frozen=True, slots=True)
class Images:
    """What was seen of the image files."""

    looked_at: int
    good: int
    shapes: dict[str, int]
    """Of `from_headers` files: how many are `320 × 390 L JPEG`, most frequent first."""
    from_headers: int
    png_bits: int | None
    """Depth by which 16-bit PNG files are scaled (`fedcxr/data/images/png_depth.py`), None without
    such files."""


@dataclass(frozen=True, slots=True)
class DataReport:
    """Everything that a check found out."""

    root: Path
    layout: str
    """`chexpert`, `nih14`, … or `files` where the tables could not be read."""
    labels: tuple[str, ...]
    findings: tuple[Finding, ...]
    """Problems first."""
    patients: int
    studies: int
    num_images: int
    label_counts: dict[str, dict[str, dict[str, int]]]
    """By split (`all` first), by label, by state: how many images."""
    people: People
    pairs: tuple[Pair, ...]
    """Every two splits that were compared."""
    images: Images | None
    disk: Disk | None
    notes: tuple[str, ...] = ()
    official: tuple[OfficialSet, ...] | None = None
    """The val and test sets that the data set itself holds out; None where no reader says so."""
    seconds: float = 0.0

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that make the data set unclean."""
        return tuple(finding for finding in self.findings if finding.severity == PROBLEM)

    @property
    def is_clean(self) -> bool:
        """True if there is no problem."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON holds it, without pictures."""
        return {
            "format": JSON_FORMAT,
            "root": str(self.root),
            "layout": self.layout,
            "is_clean": self.is_clean,
            "patients": self.patients,
            "studies": self.studies,
            "images": self.num_images,
            "findings": [
                {
                    "kind": finding.kind,
                    "severity": finding.severity,
                    "count": finding.count,
                    "title": finding.title,
                    "text": finding.text,
                    "mend": finding.mend,
                    "examples": list(finding.examples),
                }
                for finding in self.findings
            ],
            "labels": self.label_counts,
            "people": self.people.to_json(),
            "splits": [pair.to_json() for pair in self.pairs],
            "files": None if self.images is None else _images_to_json(self.images),
            "disk": None if self.disk is None else self.disk.to_json(),
            "notes": list(self.notes),
            "official_sets": None if self.official is None else [asdict(o) for o in self.official],
            "seconds": round(self.seconds, 3),
        }


def finding_of(
    kind: str,
    severity: str,
    items: Sequence[str],
    title: str,
    *,
    text: str,
    mend: str,
    pictures: tuple[tuple[Picture, ...], ...] = (),
) -> tuple[Finding, ...]:
    """Return the finding that counts `items` and shows the first of them, none if there are none.

    >>> finding_of("missing", PROBLEM, ["a.png"], "Missing", text="", mend="")[0].count
    1
    """
    if not items:
        return ()
    shown = tuple(items[:MAX_EXAMPLES])
    return (Finding(kind, severity, len(items), title, text, mend, shown, pictures),)


def sorted_findings(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the problems, then the notices, each in the order of the checks."""
    return tuple(sorted(findings, key=lambda finding: finding.severity != PROBLEM))


def _images_to_json(images: Images) -> dict[str, Any]:
    return {
        "looked_at": images.looked_at,
        "good": images.good,
        "shapes": images.shapes,
        "from_headers": images.from_headers,
        "png_bits": images.png_bits,
    }
