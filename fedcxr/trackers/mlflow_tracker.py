"""A run in MLflow's experiment `fedcxr`; needs the extra `fedcxr[mlflow]`."""

import re
from typing import Any

from fedcxr.trackers.protocol import RoundNumbers, RunEnd, RunStart

EXPERIMENT = "fedcxr"
_STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
_NOT_IN_NAMES = re.compile(r"[^\w. :/-]")
"""Signs that MLflow refuses in a metric's name, as a label may have them."""
_MOST_LETTERS = 500
"""Of a parameter's value: MLflow's servers refuse longer ones."""


class MlflowTracker:
    """Logs parameters, metrics by round, and the result."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._client: Any = None
        self._run_id = ""

    def on_start(self, start: RunStart) -> None:
        """Create the run with its settings as parameters."""
        import mlflow  # an extra, and only here

        self._client = mlflow.MlflowClient(tracking_uri=self._uri)
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        number = (
            experiment.experiment_id
            if experiment is not None
            else self._client.create_experiment(EXPERIMENT)
        )
        # with tags: without any MLflow adds the user's name and the script's path
        tags = {"mlflow.user": "", "mlflow.source.name": "fedcxr"}
        self._run_id = self._client.create_run(number, run_name=start.run, tags=tags).info.run_id
        for key, value in start.settings.items():
            self._client.log_param(self._run_id, key, str(value)[:_MOST_LETTERS])

    def on_round(self, numbers: RoundNumbers) -> None:
        """Log the round's numbers."""
        self._log(numbers.metrics, numbers.round_num, numbers.time)

    def on_end(self, end: RunEnd) -> None:
        """Log the result and end the run."""
        self._log(end.metrics, end.best_round or 0, end.time)
        self._client.set_terminated(self._run_id, status=_STATUS[end.status])

    def _log(self, metrics: Any, step: int, at: float) -> None:  # noqa: ANN401  # a mapping
        for name, value in metrics.items():
            name = _NOT_IN_NAMES.sub("_", name)
            self._client.log_metric(self._run_id, name, value, timestamp=int(at * 1000), step=step)
