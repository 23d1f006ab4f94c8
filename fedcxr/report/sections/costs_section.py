"""What the training took: every arm's costs, and a run's seconds by phase."""

from collections.abc import Sequence

from fedcxr.report.rendering import Fact
from fedcxr.report.shown import Shown, View
from fedcxr.report.wording import MISSING, duration, fixed, size
from fedcxr.results.run_files import RunFacts


def show(view: View) -> Shown | None:
    """Return the costs; a run's table would have one row, so it has its phases and rounds."""
    run = view.result.run
    phases = run.summary.phases if run and run.summary else {}
    return Shown(
        {
            "phases": phases,
            "phase_sum": sum(phases.values()) or 1.0,
            "speeds": _speeds(run) if run else [],
        }
    )


def _speeds(run: RunFacts) -> list[Fact]:
    """Return times and traffic of a round, as means over the rounds."""
    rounds = run.trained
    speed = run.summary.train_images_per_second if run.summary else None
    return [
        Fact("Training speed", f"{fixed(speed, 0)} images/s" if speed else MISSING, "all sites"),
        Fact("A round", duration(_mean([line.seconds for line in rounds])), "mean"),
        Fact("of it training", duration(_mean([line.seconds_train for line in rounds])), "mean"),
        Fact(
            "of it evaluation", duration(_mean([line.seconds_evaluate for line in rounds])), "mean"
        ),
        Fact(
            "Sent a round",
            size(_mean([line.bytes_down for line in rounds])),
            "parameters to the sites, mean",
        ),
        Fact(
            "Received a round", size(_mean([line.bytes_up for line in rounds])), "from sites, mean"
        ),
    ]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
