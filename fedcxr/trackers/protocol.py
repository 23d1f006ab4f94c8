"""What a tracker is, and all that it is ever told: numbers and settings of the whole federation.

Never an image, a path, a site's name or anything secret: a tracker may send what it gets to another
company. It is called at the server only, in a thread of its own, one call after another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

Setting = str | int | float | bool
Status = Literal["finished", "interrupted", "failed"]


@dataclass(frozen=True, slots=True)
class RunStart:
    """A run that begins, or goes on."""

    run: str
    """The name of its folder; of a comparison's training, with the comparison's."""
    settings: Mapping[str, Setting]
    """By dotted key: what decides the training. Without files and folders."""
    sites: int
    rounds: int
    """As many as there can be."""
    resumed_after: int | None = None
    """The last round that was finished before; none = it begins."""


@dataclass(frozen=True, slots=True)
class RoundNumbers:
    """A round that ended; 0 is the model before training."""

    round_num: int
    metrics: Mapping[str, float]
    """`train_loss`, `val_macro_auroc`, `sites_counted`, …; what is not defined is not there."""
    time: float
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended."""

    status: Status
    metrics: Mapping[str, float]
    """On the held-out test patients: `test_macro_auroc`, its bounds `_low` and `_high`, and
    `test_auroc/LABEL`; empty where the run did not finish."""
    best_round: int | None = None
    """Whose model was tested."""
    time: float = 0.0
    """Seconds since 1970."""


@runtime_checkable
class Tracker(Protocol):
    """Is told of one run. What it raises is logged and noted in the run's summary."""

    def on_start(self, start: RunStart) -> None:
        """Begin."""

    def on_round(self, numbers: RoundNumbers) -> None:
        """Take the numbers of a round."""

    def on_end(self, end: RunEnd) -> None:
        """Take the result and finish; nothing comes after it."""
