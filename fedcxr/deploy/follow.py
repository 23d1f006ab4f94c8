"""Following a submitted run to its end, through a server that is started anew.

A SuperLink forgets its runs when it dies. One that is kept (`keep.py`) goes on with them under new
ids, and `known_runs` tells of a run folder's newest. So a run is followed by its folder.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fedcxr.deploy.control import Control, RunState
from fedcxr.errors import NetworkError, RunError
from fedcxr.home import home_folder
from fedcxr.interrupts import raise_if_interrupted
from fedcxr.runs.folder import RunFolder
from fedcxr.runs.known_runs import KnownRun, known_runs

BEGIN_S = 120.0
"""Longest wait for the SuperLink to begin with a run."""
SILENT_S = 120.0
"""Longest time without an answer of the SuperLink."""
LOST_S = 90.0
"""Longest wait for a run whose server died to go on under another id."""
MOST_STARTS = 3
"""How often a run that had no folder yet when its server died is submitted."""
POLL_S = 1.0


@dataclass(slots=True)
class Pursuit:
    """A run that is followed."""

    control: Control
    start: Callable[[], int]
    """Submits it and returns the id that Flower gives it."""
    on_start: Callable[[RunFolder], None]
    run: RunFolder | None = None
    """Its folder, once that is known."""
    run_id: int = 0
    _starts: int = 0
    _seen: set[str] = field(default_factory=set)
    """Ids that the run had before."""

    def follow(self) -> RunFolder:
        """Submit the run and return its folder when it came to its end.

        Raises:
            NetworkError: the SuperLink does not begin, or does not answer any more.
            RunError: the run failed, with what it said; or its server died and nobody went on.
        """
        self._submit()
        begun = heard = time.monotonic()
        lost: float | None = None
        while True:
            raise_if_interrupted()
            time.sleep(POLL_S)
            try:
                state, heard = self.control.find_run(self.run_id), time.monotonic()
            except NetworkError as err:  # it may be busy, or being started anew
                if time.monotonic() - heard > SILENT_S:
                    raise NetworkError(f"{err} {self._advice()}") from err
                continue
            if self.run is None:
                self.run = folder_of(self.run_id)
                if self.run is not None:
                    self.on_start(self.run)
            if state is None or self._has_lost_its_server(state):
                if self._status() == "finished" and self.run is not None:
                    return self.run
                lost = lost or time.monotonic()
                if self._goes_on():
                    begun, lost = time.monotonic(), None
                elif time.monotonic() - lost > LOST_S:
                    raise RunError(f"The server of this run died. {self._advice()}")
                continue
            lost = None
            if state.is_over:
                return self._finished(state)
            if not state.has_begun and time.monotonic() - begun > BEGIN_S:
                self.control.stop_run(self.run_id)
                raise NetworkError(
                    f"The SuperLink has not begun with the run within {BEGIN_S:g} s. Its log says "
                    "why."
                )

    def _submit(self) -> None:
        if self.run is not None:
            self._seen |= {known.flower_run_id or "" for known in _known(self.run)}
        self._starts += 1
        self.run_id = self.start()

    def _has_lost_its_server(self, state: RunState) -> bool:
        """Return whether a run is over without its server having said so."""
        if not (state.is_over and state.is_lost):
            return False
        if self.run is None:
            return not state.is_stopped
        manifest = self.run.read_json("manifest.json")
        return manifest["status"] in ("running", "interrupted") and not manifest.get("stopped")

    def _status(self) -> str:
        """Return how the run is by its own folder; empty where there is none."""
        return str(self.run.read_json("manifest.json")["status"]) if self.run else ""

    def _goes_on(self) -> bool:
        """Return whether the run goes on under another id, which is followed from now on."""
        self._seen.add(str(self.run_id))
        if self.run is None:
            # Nothing was begun: so nobody but us can begin it again.
            if self._starts >= MOST_STARTS:
                return False
            self._submit()
            return True
        newest = newest_id(self.run)
        if newest is None or newest in self._seen:
            return False
        self.run_id = int(newest)
        return True

    def _finished(self, state: RunState) -> RunFolder:
        if not (state.is_good or is_finished_unheard(state, self.run)):
            where = f" Its folder: {self.run.path}" if self.run else ""
            raise RunError(f"The run did not come to its end: {state.why}{where}")
        if self.run is None:
            raise RunError(
                f"The run is finished, but {home_folder()} does not know its folder. Was the "
                "server started with another FEDCXR_HOME?"
            )
        return self.run

    def _advice(self) -> str:
        """Return how to look after a run, and how to go on with it."""
        advice = (
            "A server that was started with --keep goes on with what ran: `fedcxr status` says so."
        )
        if self.run is None:
            return f"{advice} Otherwise start the server and the run again."
        return (
            f"{advice} Otherwise start the server and go on with the run: "
            f"`fedcxr resume {self.run.path}`."
        )


def is_finished_unheard(state: RunState, run: RunFolder | None) -> bool:
    """Return whether a run is finished by its folder, and its SuperLink did not hear of it.

    One that stood still at that moment waits for the run's process until it takes it for dead.
    """
    return (
        run is not None and state.is_lost and run.read_json("manifest.json")["status"] == "finished"
    )


def folder_of(run_id: int) -> RunFolder | None:
    """Return the folder of a run by the id that Flower gave it."""
    for known in reversed(known_runs()):
        if known.flower_run_id == str(run_id):
            return RunFolder(known.path)
    return None


def newest_id(run: RunFolder) -> str | None:
    """Return the id that Flower gave a run folder's newest run; none where it is not known."""
    known = _known(run)
    return known[-1].flower_run_id if known else None


def _known(run: RunFolder) -> list[KnownRun]:
    """Return what the home folder knows of a run folder, the oldest first."""
    path = run.path.absolute()
    return [known for known in known_runs() if known.path == path]
