"""Learning rates over the rounds by name, and when a run ends early.

Each is a pure function of the configuration and of the validation macro AUROC of the rounds before,
so a run that goes on after a stop decides as it would have without one. Not for rates that change
within a round: a site trains a round at one rate.

A history has the AUROC of round 0, the model before training, first; `None` where it is not
defined. Until one is defined no round counts as without improvement: a validation set of one class
neither lowers a rate nor ends a run.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedcxr.config.server import ServerConfig
from fedcxr.config.train import TrainConfig
from fedcxr.registry import Registry

LOWEST_RATE = 0.05
"""The cosine schedule ends near this share of the starting rate."""

Aurocs = Sequence[float | None]
Rate = Callable[[TrainConfig, int, int, Aurocs], float]
"""(config, round from 1, number of rounds, history of the rounds before) → the round's rate."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A rate for every round."""

    rate: Rate
    keys: tuple[str, ...] = ()
    """Fields of `train` that it reads and not every schedule does."""


def _accept(value: object) -> Schedule:
    """Make a schedule of a `Schedule`, or of a function that returns a round's rate."""
    if isinstance(value, Schedule):
        return value
    if not callable(value) or isinstance(value, type):
        raise TypeError(
            "is no function (config, round from 1, rounds, AUROCs so far) → rate, and no "
            "fedcxr.training.schedules.Schedule"
        )
    return Schedule(value)


SCHEDULES: Registry[Schedule] = Registry(
    "train.lr_schedule", "schedule", "fedcxr.schedules", _accept
)


def learning_rate(config: TrainConfig, round_num: int, rounds: int, val_aurocs: Aurocs) -> float:
    """Return the rate of a round.

    Args:
        config: schedule, starting rate.
        round_num: from 1.
        rounds: most rounds of the run.
        val_aurocs: of rounds 0 to `round_num` − 1.

    Raises:
        ConfigError: there is no such schedule.

    >>> learning_rate(TrainConfig(learning_rate=1.0, lr_schedule="cosine"), 1, 10, [0.5])
    1.0
    """
    return SCHEDULES.get(config.lr_schedule).rate(config, round_num, rounds, val_aurocs)


def should_stop(config: ServerConfig, val_aurocs: Aurocs) -> bool:
    """Return whether a run with this history ends before its next round.

    >>> patient = ServerConfig(stop_after=2, min_improvement=0.01)
    >>> should_stop(patient, [0.5, 0.6, 0.605]), should_stop(patient, [0.5, 0.6, 0.605, 0.609])
    (False, True)
    """
    if config.stop_after is None:
        return False
    return rounds_without_better(val_aurocs, config.min_improvement) >= config.stop_after


def rounds_without_better(val_aurocs: Aurocs, min_improvement: float = 0.0) -> int:
    """Return how many rounds have passed since the best one.

    A round is better if it exceeds the best before it by more than `min_improvement`.

    >>> rounds_without_better([0.5, 0.7, 0.6, None]), rounds_without_better([None, None])
    (2, 0)
    """
    best: float | None = None
    without = 0
    for auroc in val_aurocs:
        if auroc is not None and (best is None or auroc > best + min_improvement):
            best, without = auroc, 0
        elif best is not None:
            without += 1
    return without


def _constant(config: TrainConfig, round_num: int, rounds: int, val_aurocs: Aurocs) -> float:
    return config.learning_rate


def _cosine(config: TrainConfig, round_num: int, rounds: int, val_aurocs: Aurocs) -> float:
    """Return half a cosine over the rounds (Loshchilov and Hutter 2017, eq. 5, without restart)."""
    share = 0.5 * (1.0 + math.cos(math.pi * (round_num - 1) / rounds))
    return config.learning_rate * (LOWEST_RATE + (1.0 - LOWEST_RATE) * share)


def _step(config: TrainConfig, round_num: int, rounds: int, val_aurocs: Aurocs) -> float:
    """Return the rate multiplied by `lr_factor` after every `lr_step` rounds."""
    return config.learning_rate * config.lr_factor ** ((round_num - 1) // config.lr_step)


def _plateau(config: TrainConfig, round_num: int, rounds: int, val_aurocs: Aurocs) -> float:
    """Return the rate multiplied by `lr_factor` for each plateau of the history.

    A plateau is `lr_patience` rounds without a better AUROC; after it the count begins again, the
    best stays.
    """
    best: float | None = None
    without = plateaus = 0
    for auroc in val_aurocs:
        if auroc is not None and (best is None or auroc > best):
            best, without = auroc, 0
        elif best is not None:
            without += 1
        if without == config.lr_patience:
            plateaus, without = plateaus + 1, 0
    return config.learning_rate * config.lr_factor**plateaus


SCHEDULES.add("constant", Schedule(_constant))
SCHEDULES.add("cosine", Schedule(_cosine))
SCHEDULES.add("step", Schedule(_step, ("lr_factor", "lr_step")))
SCHEDULES.add("plateau", Schedule(_plateau, ("lr_factor", "lr_patience")))
