"""What privacy costs: a comparison whose arms are levels of protection at several ε, as a curve."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from fedcxr.results.run_privacy import RunEpsilon
from fedcxr.results.score import Score
from fedcxr.results.validation import read_typed
from fedcxr.section import Section

FILE = "privacy_sweep.json"
DESIGN = "sweep_design.json"
Place = Literal["federated", "centralized"]
"""Where an arm is trained: at all sites, or on all their images at one place."""
UNPROTECTED: Mapping[Place, str] = {"federated": "federated", "centralized": "centralized"}
"""The arms without protection, ε = ∞."""
NOT_COMPUTED = Score(value=None, reason="not computed")


class SweptArm(Section):
    """An arm of the sweep that protects somebody."""

    name: str
    level: str
    epsilon: float
    """Asked for."""
    trained: Place = "federated"


class InversionSettings(Section):
    """How each protection is attacked by gradient inversion, on the first training of its arm."""

    images: int
    """Of different patients of the first site; each is an update of its own."""
    steps: int
    """Of the search for one image."""


class SweepDesign(Section):
    """Which arms of a comparison are the sweep's, beside those without protection."""

    delta: float
    arms: tuple[SweptArm, ...]
    inversion: InversionSettings | None = None
    """None = no such attack."""

    @property
    def places(self) -> list[Place]:
        """Where there are arms."""
        found: list[Place] = ["federated"]
        return [
            *found,
            *dict.fromkeys(each.trained for each in self.arms if each.trained not in found),
        ]

    def arms_at(self, place: Place) -> list[SweptArm]:
        """Return those that are trained there."""
        return [arm for arm in self.arms if arm.trained == place]

    @property
    def against(self) -> dict[str, str]:
        """Which arm each arm with protection is held against: the same training without."""
        return {each.name: UNPROTECTED[each.trained] for each in self.arms}


class GroupCost(Section):
    """One sex or age band of test patients under an arm."""

    attribute: str
    group: str
    labels: tuple[str, ...]
    """Findings that the means are over: those that the group has patients enough of."""
    patients: int
    images: int
    """Or studies."""
    auroc: Score
    """Macro, in the group."""
    cost: Score | None
    """That minus the group's without protection; None of the arms without."""
    beyond: Score | None
    """The group's cost minus that of all others of known group: below 0 it loses more than they;
    over the findings that both have patients enough of. None without protection or others."""


class SweepPoint(Section):
    """A level of protection at an ε, over its trainings."""

    arm: str
    title: str
    trained: Place = "federated"
    level: str
    """Who is protected; `none` without protection."""
    epsilon: float | None
    """Asked for; None without protection."""
    spent: RunEpsilon | None
    """The most of any site of any training; None where none is protected."""
    auroc: Score
    """Macro, on the test patients."""
    cost: Score | None
    """The arm's AUROC minus that of the same training without protection; None of the latter."""
    membership_tpr: Score = NOT_COMPUTED
    """Of membership inference, at a false positive rate of 1 %."""
    inversion_ssim: Score = NOT_COMPUTED
    """Of gradient inversion: mean of the reconstructions."""
    inversion_gain: Score = NOT_COMPUTED
    """That minus the best guess without the update, a paired difference."""
    inversion_found: Score = NOT_COMPUTED
    """Share of the images that are re-identified: nearest of all candidates is the true one."""
    groups: tuple[GroupCost, ...] = ()
    """Of sexes and age bands; none in a file of an older fedcxr."""

    @property
    def series(self) -> str:
        """Which points are of one line: who is protected, and where it is trained if not at sites.

        Of the arms without protection, where it is trained.
        """
        if self.level == "none":
            return self.trained
        return self.level if self.trained == "federated" else f"{self.level}, {self.trained}"


class InversionFacts(InversionSettings):
    """The attack by gradient inversion, as it was made."""

    site: str
    candidates: int
    """Training patients among whom the true image is sought."""
    best_guess: Score
    """SSIM of the best guess without an update; the same for all protections."""


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
    inversion: InversionFacts | None = None
    """None where there was none."""
    points: tuple[SweepPoint, ...]
    """The first is federated, without protection."""


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
