"""Keeping the runs of a server: what was under way when it died goes on when it is up again.

Whether a run's server process is alive is told by the lock of the run's folder, which ends with
its holder, however that ends: Flower itself takes a minute to miss it. What is kept stands in the
home folder too, so that a server which is started again goes on with what its last start left.
"""

import contextlib
import json
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from fedcxr.atomic import write_text_atomically
from fedcxr.deploy.control import Control, RunState
from fedcxr.errors import FedCxrError, NetworkError
from fedcxr.home import home_folder
from fedcxr.locks import is_locked, lock_holder
from fedcxr.runs.checkpoint_files import checkpoint_rounds
from fedcxr.runs.folder import LOCK_FILE, RunFolder
from fedcxr.runs.known_runs import known_runs

LET_GO_S = 2.0
"""Longest wait for a process that was killed to let go of its run's folder, at each look."""
MOST_DEATHS = 5
WITHIN_S = 600.0
"""A server that dies more often than that in this time, with no round in between, is given up."""


@dataclass(frozen=True, slots=True)
class RunChange:
    """What became of a run that is kept."""

    run: Path
    goes_on: bool
    """Whether it goes on, or cannot."""
    why: str
    """From which round, or why it cannot."""


class BadServerError(NetworkError):
    """A server that answers and must be started again, or has died too often."""


@dataclass(slots=True)
class Deaths:
    """How often a server has died of late."""

    _at: list[float] = field(default_factory=list)

    @property
    def are_too_many(self) -> bool:
        """Return whether the server is given up."""
        return len(self._at) > MOST_DEATHS

    def note(self, why: str) -> int:
        """Count one more and return how many there were; `BadServerError` for one too many."""
        now = time.monotonic()
        self._at = [*(at for at in self._at if now - at < WITHIN_S), now]
        if self.are_too_many:
            raise BadServerError(
                f"The server died {len(self._at)} times within {WITHIN_S / 60:g} minutes, with no "
                f"round in between, so it is not started again. {why}"
            )
        return len(self._at)

    def forget(self) -> None:
        """Begin anew: a round was finished."""
        self._at = []


@dataclass(slots=True)
class Keeper:
    """The runs that a server's death must not end."""

    kit: Path
    file: Path
    """Where they are kept."""
    deaths: Deaths = field(default_factory=Deaths)
    runs: dict[str, str] = field(default_factory=dict)
    """By run folder, the id under which Flower was last asked to carry it out."""
    _rounds: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of_kit(cls, kit: Path, port: int) -> "Keeper":
        """Return the keeper of a kit's server, with what its last start left under way."""
        keeper = cls(kit.absolute(), home_folder().absolute() / "kept" / f"{port}.json")
        try:
            runs = json.loads(keeper.file.read_text("utf-8"))
            keeper.runs = {str(path): str(run_id) for path, run_id in runs.items()}
        except (FileNotFoundError, ValueError, AttributeError):
            keeper.runs = {}
        return keeper

    def look(self, control: Control) -> list[RunChange]:
        """Go on with the runs whose server process is gone, and return what has changed.

        Raises:
            NetworkError: no answer of the SuperLink.
            BadServerError: a run's process hangs, or one has died too often.
        """
        before = dict(self.runs)
        listed = {str(run.run_id): run.state for run in control.runs()}
        newest = {
            known.folder: known.flower_run_id for known in known_runs() if known.flower_run_id
        }
        for path, run_id in newest.items():
            if run_id in listed and not listed[run_id].is_over:
                self.runs[path] = run_id
        changes = []
        for path, run_id in list(self.runs.items()):
            has_begun = newest.get(path) == run_id
            change = self._look_at(Path(path), listed.get(run_id), control, has_begun=has_begun)
            changes += [change] if change else []
        if self.runs != before:
            write_text_atomically(self.file, json.dumps(self.runs) + "\n")
        return changes

    def _look_at(
        self, path: Path, state: RunState | None, control: Control, *, has_begun: bool
    ) -> RunChange | None:
        if not (path / "manifest.json").is_file():
            return self._drop(path)
        if not has_begun:
            if state is not None and not state.is_over:
                return None
            if state is None or (state.is_lost and not state.is_stopped):
                return self._go_on(path, control)
            return self._drop(path, state.why)
        is_held = is_locked(path / LOCK_FILE)  # before the status, which is the last word then
        manifest = RunFolder(path).read_json("manifest.json")
        self._note_round(path)
        if manifest["status"] == "finished" or manifest.get("stopped"):
            return self._drop(path)
        if state is None:
            is_free = not is_held or _end_holder(path / LOCK_FILE)
            return self._go_on(path, control) if is_free else None
        if manifest["status"] == "failed" or state.is_stopped:
            return self._drop(path)
        if is_held:
            if state.is_over:
                raise BadServerError(f"{path}: the process of this run's server hangs.")
            return None
        self.deaths.note(f"The last time it was the process of {path}.")
        if not state.is_over:
            control.stop_run(int(self.runs[str(path)]))
        return self._go_on(path, control)

    def _note_round(self, path: Path) -> None:
        rounds = checkpoint_rounds(path / "checkpoints")
        newest = rounds[-1] if rounds else -1
        if newest > self._rounds.get(str(path), newest):
            self.deaths.forget()
        self._rounds[str(path)] = newest

    def _go_on(self, path: Path, control: Control) -> RunChange:
        from fedcxr.deploy import (
            submit,
        )  # PyTorch: 240 MB that a server without a fault never needs

        place = submit.place_of(path, kit=self.kit)
        try:
            submit.check_can_go_on(path, place)
        except NetworkError:
            raise
        except FedCxrError as err:
            self.runs.pop(str(path), None)
            return RunChange(path, goes_on=False, why=str(err))
        self.runs[str(path)] = str(submit.submit_resume(control, path, place))
        rounds = checkpoint_rounds(path / "checkpoints")
        after = f"after round {rounds[-1]}" if rounds else "from the beginning"
        return RunChange(path, goes_on=True, why=after)

    def _drop(self, path: Path, why: str = "") -> RunChange | None:
        """Keep a run no longer."""
        self.runs.pop(str(path), None)
        return RunChange(path, goes_on=False, why=why) if why else None


def _end_holder(lock: Path) -> bool:
    """End a run's process whose SuperLink is gone, and return whether its folder is free.

    It would end by itself, in seconds; one that is frozen would not.
    """
    holder = lock_holder(lock)
    if holder is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(holder, signal.SIGKILL)
    end = time.monotonic() + LET_GO_S
    while is_locked(lock):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
