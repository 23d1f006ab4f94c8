"""Passes a run's numbers on to its trackers without ever waiting for them, or failing with them.

Each tracker has a thread of its own. One that raises gets nothing more; one that hangs is left
behind at the end. Both are logged at once and said in the run's summary.
"""

import logging
import queue
import threading
import time
from collections.abc import Mapping

from fedcxr.trackers.protocol import RoundNumbers, RunEnd, RunStart, Tracker

log = logging.getLogger(__name__)

END_S = 30.0
"""Longest wait at the end of a run for what trackers have still to send."""

Told = RunStart | RoundNumbers | RunEnd


class Relay:
    """The trackers of one run by name; without any it does nothing."""

    def __init__(self, trackers: Mapping[str, Tracker] | None = None) -> None:
        self._lines = [_Line(name, tracker) for name, tracker in (trackers or {}).items()]

    def tell(self, what: Told) -> None:
        """Hand something over to every tracker that still takes it."""
        for line in self._lines:
            line.waiting.put(what)

    def close(self, wait_s: float = END_S) -> dict[str, str]:
        """Wait for the trackers, and return what went wrong, by tracker."""
        end = time.monotonic() + wait_s
        for line in self._lines:
            line.waiting.put(None)
        for line in self._lines:
            line.join(max(0.0, end - time.monotonic()))
            if line.is_alive():
                line.problem = f"did not come to an end in {wait_s:g} s"
                log.warning("tracker %s: %s", line.name, line.problem)
        found = {line.name: line.problem for line in self._lines if line.problem}
        self._lines = []
        return found


class _Line(threading.Thread):
    """One tracker and what it has still to be told."""

    def __init__(self, name: str, tracker: Tracker) -> None:
        super().__init__(name=name, daemon=True)
        self.waiting: queue.SimpleQueue[Told | None] = queue.SimpleQueue()
        self.problem = ""
        self._tracker = tracker
        self.start()

    def run(self) -> None:
        """Tell the tracker, one thing after the other, until it fails or the run ends."""
        while (what := self.waiting.get()) is not None:
            try:
                self._tell(what)
            except (Exception, SystemExit) as err:  # whatever a tracker raises: the run goes on
                self.problem = f"{type(err).__name__}: {err}"
                log.warning("tracker %s gets nothing more: %s", self.name, self.problem)
                return

    def _tell(self, what: Told) -> None:
        if isinstance(what, RunStart):
            self._tracker.on_start(what)
        elif isinstance(what, RoundNumbers):
            self._tracker.on_round(what)
        else:
            self._tracker.on_end(what)
