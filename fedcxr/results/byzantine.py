"""What a study of hostile sites found: one model for each aggregator, attack and seed."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedcxr.errors import ArtefactError, some
from fedcxr.results.score import Score
from fedcxr.results.validation import what_misfits
from fedcxr.section import Section

FILE = "byzantine.json"
KIND = "byzantine"
"""What the manifest of such a study calls it."""
NO_ATTACK, MEAN = "none", "mean"
"""The cell that drops are held against."""
MOST_DROP = 0.02
"""Of macro AUROC, against the mean without attack, that a robust aggregator may lose."""


class HostileRun(Section):
    """One training."""

    defence: str
    attack: str
    seed: int
    hostile: tuple[str, ...]
    auroc: Score
    """Macro, on the test patients, of the round that validation chose; None if it broke off."""
    best_round: int | None
    rounds: int
    """That were done."""
    last_val_auroc: float | None
    """Macro, on the server's validation patients, of the last round."""
    counted: int
    """Updates of hostile sites that were taken, over all rounds."""
    sent: int
    """Updates that they were asked for."""
    broke_off: str | None
    """Why the training did not come to its end."""


class AttackNote(Section):
    """An attack as a reader is told of it."""

    name: str
    title: str
    knows: str


class ByzantineStudy(Section):
    """The study."""

    format: Literal[1] = 1
    fedcxr: str
    name: str
    is_synthetic: bool
    source: str
    model: str
    image_size: int
    scheme: str
    sites: int
    hostile: int
    """Sites of each training that attack."""
    rounds: int
    train_images: int
    test_images: int
    test_patients: int
    trim: float
    """Of `trimmed-mean`, at each end."""
    byzantine: int
    """Of `krum` and `multi-krum`."""
    norm_factor: float
    """Of the defences with `+bound`; the others have no bound on an update's length."""
    deviations: float
    """Of ALIE, z."""
    defences: tuple[str, ...]
    attacks: tuple[AttackNote, ...]
    """The first is none."""
    runs: tuple[HostileRun, ...]

    def cell(self, defence: str, attack: str) -> "Cell":
        """Return what a defence scored under an attack, over its seeds."""
        runs = [run for run in self.runs if (run.defence, run.attack) == (defence, attack)]
        base = [run for run in self.runs if (run.defence, run.attack) == (MEAN, NO_ATTACK)]
        return _cell(runs, base)


@dataclass(frozen=True, slots=True)
class Cell:
    """A defence under an attack; means over the seeds."""

    auroc: Score
    """With its interval over patients where there is one training."""
    drop: float | None
    """Against the mean without attack."""
    last_val_auroc: float | None
    counted: int
    sent: int
    broke_off: str | None
    """Why one of its trainings did not come to its end; then there is no AUROC."""

    @property
    def is_held(self) -> bool:
        """Whether it loses no more than a robust aggregator may."""
        return self.drop is not None and self.drop <= MOST_DROP


def read_byzantine(folder: Path) -> ByzantineStudy:
    """Return the finished study in `folder`.

    Raises:
        ArtefactError: it is not finished, or the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        raise ArtefactError(f"{path}: missing. Finish the study first: `fedcxr resume {folder}`.")
    try:
        tree = json.loads(path.read_text("utf-8"))
    except ValueError as err:
        raise ArtefactError(f"{path}: not JSON ({err}). Write it again: `fedcxr report`.") from err
    found, wrong = what_misfits(ByzantineStudy, tree)
    if found is None:
        raise ArtefactError(f"{path}: {some(wrong)}. Write it again with `fedcxr report {folder}`.")
    return found


def _cell(runs: Sequence[HostileRun], base: Sequence[HostileRun]) -> Cell:
    auroc, reference = _mean(run.auroc.value for run in runs), _mean(r.auroc.value for r in base)
    score = runs[0].auroc if len(runs) == 1 else Score(value=auroc)
    return Cell(
        auroc=score,
        drop=None if auroc is None or reference is None else reference - auroc,
        last_val_auroc=_mean(run.last_val_auroc for run in runs),
        counted=sum(run.counted for run in runs),
        sent=sum(run.sent for run in runs),
        broke_off=next((run.broke_off for run in runs if run.broke_off), None),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    found = list(values)
    known = [value for value in found if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(found) else None
