"""What privacy costs: a comparison whose arms are levels of protection at several ε, as a curve."""

from pathlib import Path
from typing import Literal

from fedcxr.results.run_privacy import RunEpsilon
from fedcxr.results.score import Score
from fedcxr.results.validation import read_typed
from fedcxr.section import Section

FILE = "privacy_sweep.json"
DESIGN = "sweep_design.json"
UNPROTECTED = "federated"
"""The arm without protection, ε = ∞."""
NOT_COMPUTED = Score(value=None, reason="not computed")


class SweptArm(Section):
    """An arm of the sweep that protects somebody."""

    name: str
    level: str
    epsilon: float
    """Asked for."""


class SweepDesign(Section):
    """Which arms of a comparison are the sweep's, beside the one without protection."""

    delta: float
    arms: tuple[SweptArm, ...]


class SweepPoint(Section):
    """A level of protection at an ε, over its trainings."""

    arm: str
    title: str
    level: str
    """Who is protected; `none` without protection."""
    epsilon: float | None
    """Asked for; None without protection."""
    spent: RunEpsilon | None
    """The most of any site of any training; None where none is protected."""
    auroc: Score
    """Macro, on the test patients."""
    cost: Score | None
    """The arm's AUROC minus that without protection; None of the latter."""
    membership_tpr: Score = NOT_COMPUTED
    """Of membership inference, at a false positive rate of 1 %."""
    inversion_ssim: Score = NOT_COMPUTED
    """Of gradient inversion."""


class PrivacySweep(Section):
    """The curve."""

    format: Literal[1] = 1
    fedcxr: str
    name: str
    source: str
    is_synthetic: bool
    model: str
    image_size: int
    sites: int
    rounds: int
    seeds: tuple[int, ...]
    test_images: int
    test_patients: int
    interval: float
    """Level of the intervals."""
    delta: float
    points: tuple[SweepPoint, ...]
    """The first is without protection."""


def is_sweep(folder: Path) -> bool:
    """Return whether a comparison is a sweep's."""
    return (folder / DESIGN).is_file()


def read_design(folder: Path) -> SweepDesign:
    """Return the design of the sweep in `folder`.

    Raises:
        ArtefactError: the file is missing or damaged.
    """
    return read_typed(
        folder / DESIGN, SweepDesign, "Put it back as it was, or start the sweep anew."
    )


def read_sweep(folder: Path) -> PrivacySweep:
    """Return the finished sweep in `folder`.

    Raises:
        ArtefactError: it is not finished, or the file is damaged.
    """
    return read_typed(folder / FILE, PrivacySweep, f"Go on with `fedcxr resume {folder}`.")
