"""A run in a project of Weights & Biases; needs the extra `fedcxr[wandb]`.

W&B by itself also sends the console, the host's name, the script's path and the git state: all of
that is switched off.
"""

from typing import Any

from fedcxr.trackers.protocol import RoundNumbers, RunEnd, RunStart

_EXIT_CODE = {"finished": 0, "interrupted": 130, "failed": 6}


class WandbTracker:
    """Logs settings, numbers by round, and the result as the run's summary."""

    def __init__(self, project: str) -> None:
        self._project = project
        self._run: Any = None

    def on_start(self, start: RunStart) -> None:
        """Begin the run."""
        import wandb  # an extra, and only here

        settings = wandb.Settings(
            console="off",
            disable_code=True,
            disable_git=True,
            save_code=False,
            host="fedcxr",
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
        )
        self._run = wandb.init(
            project=self._project,
            name=start.run,
            config=dict(start.settings),
            reinit="create_new",
            settings=settings,
        )

    def on_round(self, numbers: RoundNumbers) -> None:
        """Log the round's numbers."""
        self._run.log(dict(numbers.metrics), step=numbers.round_num)

    def on_end(self, end: RunEnd) -> None:
        """Note the result and end the run."""
        self._run.summary.update({**end.metrics, "best_round": end.best_round})
        self._run.finish(exit_code=_EXIT_CODE[end.status])
