"""What speaks against an arm having been trained as well as the others: facts, no sentences.

A comparison of ways of training is fair where each was trained to its best. Rounds and the grid of
learning rates are set beforehand and may have been too few or too narrow for one of the arms; what
its trainings left behind shows that. Not a test: an arm without a warning may still have been
undertrained, and one with a warning need not have been.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.experiments.compare.arms import Arm, Training
from fedcxr.results.reading import read_rounds
from fedcxr.results.undertrained import (
    BestRoundIsLast,
    FairnessWarning,
    RateAtEdge,
    StillRising,
)

_FEWEST_POINTS = 3
"""Rounds that a line is put through: with two there is no telling a slope from noise."""
_STANDARD_ERRORS = 2.0


Curve: TypeAlias = Sequence[tuple[int, float | None]]
"""Rounds from 0 on, each with the macro AUROC on val; None where there is none."""


def warnings_of(
    config: ExperimentConfig, arms: Sequence[Arm], by_arm: Mapping[str, Sequence[Training]]
) -> list[FairnessWarning]:
    """Return the warnings arm by arm.

    Args:
        config: of the comparison.
        arms: at the learning rates that they were trained with.
        by_arm: the finished trainings of each.
    """
    found: list[FairnessWarning | None] = []
    for arm in arms:
        curves = [_curve(training) for training in by_arm[arm.name]]
        rate = arm.config.train.learning_rate
        found += [
            best_round_is_last(arm.name, curves),
            rate_at_edge(arm.name, rate, config.compare.learning_rates),
            still_rising(arm.name, curves, threshold=config.compare.margin / 2),
        ]
    return [warning for warning in found if warning is not None]


def best_round_is_last(arm: str, curves: Sequence[Curve]) -> BestRoundIsLast | None:
    """Return the warning where it is in any of the trainings.

    Of rounds that are equally good the first is the best, as for the server.

    >>> curves = [[(0, 0.5), (1, 0.6), (2, 0.7)], [(0, 0.5), (1, 0.7), (2, 0.7)]]
    >>> best_round_is_last("local", curves)
    BestRoundIsLast(kind='best-round-is-last', arm='local', trainings=1, of_trainings=2)
    """
    at_the_end = 0
    for curve in curves:
        known = [(value, -round_num) for round_num, value in curve if value is not None]
        if known and -max(known)[1] == curve[-1][0]:
            at_the_end += 1
    if not at_the_end:
        return None
    return BestRoundIsLast(arm=arm, trainings=at_the_end, of_trainings=len(curves))


def rate_at_edge(arm: str, rate: float, tried: Sequence[float]) -> RateAtEdge | None:
    """Return the warning where the rate is at an edge of those tried; of two, both are edges.

    >>> rate_at_edge("local", 0.003, [0.003, 0.001])
    RateAtEdge(kind='rate-at-edge', arm='local', rate=0.003, edge='highest', rates=(0.001, 0.003))
    >>> rate_at_edge("local", 0.003, [0.003])  # nothing was tuned
    """
    rates = tuple(sorted(tried))
    if len(rates) < 2 or rate not in (rates[0], rates[-1]):
        return None
    edge: Literal["lowest", "highest"] = "lowest" if rate == rates[0] else "highest"
    return RateAtEdge(arm=arm, rate=rate, edge=edge, rates=rates)


def still_rising(arm: str, curves: Sequence[Curve], *, threshold: float) -> StillRising | None:
    """Return the warning where another third of the rounds would have added a clear gain.

    A straight line is put through each training's last third of rounds, three at least. Its slope
    times the rounds of that third is the gain; judged is its mean over the trainings. It is clear
    if it exceeds both
    - the threshold, which is half the margin: a gain of that size can turn a verdict, and
    - twice its standard error, from the scatter about the lines: a few rounds of a flat curve that
      jitters, as on a small validation set, rise by more than half the margin now and then.

    A schedule that takes the learning rate down to 0 flattens any curve: then this warning is
    silent, and says nothing of what a longer schedule would give.

    Args:
        arm: its name.
        curves: one a training; those of fewer than three rounds are left out.
        threshold: in AUROC.

    >>> rising = [(round_num, 0.5 + 0.01 * round_num) for round_num in range(10)]
    >>> found = still_rising("local", [rising], threshold=0.005)
    >>> round(found.slope, 6), round(found.gain, 6)  # three rounds more, 0.01 each
    (0.01, 0.03)
    """
    lines = [line for line in map(_fit_last_third, curves) if line is not None]
    if not lines:
        return None
    gain = float(np.mean([line.slope * line.rounds for line in lines]))
    # One variance of a round's AUROC about the line, pooled over the trainings.
    variance = sum(line.squares for line in lines) / sum(line.rounds - 2 for line in lines)
    of_gains = [variance * line.rounds**2 / line.spread for line in lines]
    standard_error = math.sqrt(sum(of_gains)) / len(lines)
    if not gain > max(threshold, _STANDARD_ERRORS * standard_error):
        return None
    slope = float(np.mean([line.slope for line in lines]))
    return StillRising(arm=arm, trainings=len(lines), slope=slope, gain=gain, threshold=threshold)


@dataclass(frozen=True, slots=True)
class _Line:
    """A straight line through the last third of a training's rounds."""

    rounds: int
    slope: float
    squares: float  # sum of the squared distances from the line
    spread: float  # sum of squares of the rounds about their mean


def _fit_last_third(curve: Curve) -> _Line | None:
    trained = [(at, value) for at, value in curve if at > 0 and value is not None]
    if len(trained) < _FEWEST_POINTS:
        return None
    rounds = max(_FEWEST_POINTS, math.ceil(len(trained) / 3))
    x, y = np.array(trained[-rounds:], dtype=np.float64).T
    x, y = x - x.mean(), y - y.mean()
    spread = float(x @ x)
    slope = float(x @ y) / spread
    return _Line(rounds, slope, float(np.sum((y - slope * x) ** 2)), spread)


def _curve(training: Training) -> Curve:
    return [(line.round, line.val_macro_auroc) for line in read_rounds(training.folder)]
