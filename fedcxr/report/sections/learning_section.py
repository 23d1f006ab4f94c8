"""Learning curves, and what a run's sites gave to its rounds."""

from dataclasses import dataclass

from fedcxr.report.figures_learning import draw_learning
from fedcxr.report.shown import Shown, View
from fedcxr.results.run_files import Round

_MOST_MISSED = 30


@dataclass(frozen=True, slots=True)
class Missed:
    """A site that gave nothing to a round, and why."""

    round: int
    site_id: str
    what: str
    """`refused` or `missing`."""
    reason: str


def show(view: View) -> Shown | None:
    """Return the curves, None where no round was finished."""
    pictures = draw_learning(view.result)
    if not pictures:
        return None
    run = view.result.run
    missed = [each for line in run.rounds for each in _missed(line)] if run else []
    values = {
        "pictures": pictures,
        "run": run,
        "missed": missed[:_MOST_MISSED],
        "more_missed": max(0, len(missed) - _MOST_MISSED),
        "has_site_lines": any(c.site for arm in view.result.arms for c in arm.learning),
        "has_test_curve": any(c.test_loss for arm in view.result.arms for c in arm.learning),
    }
    return Shown(values, tuple(pictures))


def _missed(line: Round) -> list[Missed]:
    return [
        Missed(line.round, each.site_id, what, each.reason)
        for what, absences in (("refused", line.refused), ("missing", line.missing))
        for each in absences
    ]
