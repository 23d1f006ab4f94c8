"""Follows a run's event log and shows it: a live line on a terminal, plain lines elsewhere.

The log is a file, so the display is the same for every engine and can never slow a run down.
"""

import json
import sys
import threading
import time
from typing import Any, Protocol, Self

from rich.progress import TaskID

from fedcxr.cli.bar import counting_bar
from fedcxr.errors import some
from fedcxr.runs.folder import RunFolder

POLL_S = 0.2

PHASES = {
    "prepare": "Preparing data",
    "test": "Scoring held-out patients",
    "explain": "Drawing heat maps",
    "report": "Writing the report",
}


class Display(Protocol):
    """Shows events."""

    def show(self, event: dict[str, Any], clock: "Clock") -> None:
        """Show one event."""

    def close(self) -> None:
        """End the display."""


class Clock:
    """What is known of speed and time left, from the events so far."""

    def __init__(self) -> None:
        self.rounds = 0
        self.may_stop = False
        self.sites_done = 0
        self.cohort = 0
        self.round_num = 0
        self._images = 0
        self._started: float | None = None
        self._first_round = 1
        self._now = 0.0

    def take(self, event: dict[str, Any]) -> None:
        """Account for an event."""
        kind, self._now = event["event"], event["time"]
        if kind == "run_started":
            self.rounds, self.may_stop = event["rounds"], event.get("may_stop", False)
        elif kind == "stopped_early":
            self.rounds, self.may_stop = event["round"], False
        elif kind == "round_started":
            self.round_num, self.cohort, self.sites_done = event["round"], len(event["cohort"]), 0
            if self._started is None:
                self._started, self._first_round = self._now, self.round_num
        elif kind == "site_done":
            self.sites_done += 1
            self._images += event["images"]

    @property
    def images_per_second(self) -> float:
        """Training images a second since the first round, evaluation's time included."""
        passed = self._now - self._started if self._started is not None else 0.0
        return self._images / passed if passed > 0 else 0.0

    @property
    def of_rounds(self) -> str:
        """How many rounds there are, or can be at most."""
        return f"≤{self.rounds}" if self.may_stop else str(self.rounds)

    @property
    def left(self) -> str:
        """Time left of the rounds, as m:ss; empty while unknown, or if the run may end any time."""
        done = self.round_num - self._first_round + self.sites_done / max(self.cohort, 1)
        if self._started is None or done <= 0 or self.may_stop:
            return ""
        per_round = (self._now - self._started) / done
        seconds = per_round * (self.rounds - self._first_round + 1 - done)
        return f"{int(seconds // 60)}:{int(seconds % 60):02d}"


class PlainDisplay:
    """One line a round, for logs and pipes."""

    def __init__(self) -> None:
        self._phase = ""

    def show(self, event: dict[str, Any], clock: Clock) -> None:
        """Print a line for the events that matter in a log."""
        text = _line(event, clock)
        if text:
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing is open."""


class LiveDisplay:
    """A bar over all rounds and sites, with lines for finished rounds above it."""

    def __init__(self) -> None:
        self._progress = counting_bar()
        self._task: TaskID = self._progress.add_task("Preparing data", total=None, extra="")
        self._progress.start()

    def show(self, event: dict[str, Any], clock: Clock) -> None:
        """Move the bar; keep a line for each finished round."""
        kind = event["event"]
        if kind == "preparing":
            self._progress.update(
                self._task,
                description="Decoding images",
                extra="",
                total=event["total"],
                completed=event["done"],
            )
        elif kind in ("round_started", "site_done"):
            left = f"{clock.left} left" if clock.left else ""
            self._progress.update(
                self._task,
                description=f"Round {clock.round_num}/{clock.of_rounds}, sites",
                total=clock.cohort,
                completed=clock.sites_done,
                extra=f"{clock.images_per_second:.0f} images/s  {left}",
            )
        elif kind == "phase":
            self._progress.update(
                self._task, description=PHASES[event["name"]], total=None, extra=""
            )
        else:
            text = _line(event, clock)
            if text:
                self._progress.console.print(text, highlight=False, markup=False)

    def close(self) -> None:
        """Take the bar away."""
        self._progress.stop()


class Follower:
    """Reads a run's event log in a thread of its own until it is closed."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._clock = Clock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)
        self._display.close()

    def follow(self, run: RunFolder) -> None:
        """Begin to follow `run`, from the end of its log as it is now."""
        file = run.path / "events.jsonl"
        offset = file.stat().st_size if file.exists() else 0
        self._thread = threading.Thread(target=self._read, args=(run, offset), daemon=True)
        self._thread.start()

    def _read(self, run: RunFolder, offset: int) -> None:
        file = run.path / "events.jsonl"
        while True:
            last = self._stop.is_set()
            if file.exists():
                with file.open("rb") as log:
                    log.seek(offset)
                    new = log.read()
                whole = new[: new.rfind(b"\n") + 1]
                offset += len(whole)
                for line in whole.splitlines():
                    event = json.loads(line)
                    self._clock.take(event)
                    self._display.show(event, self._clock)
            if last:
                return
            time.sleep(POLL_S)


def _line(event: dict[str, Any], clock: Clock) -> str:
    kind = event["event"]
    if kind == "phase":
        return f"{PHASES[event['name']]} …"
    if kind == "run_started":
        return (
            f"Federation: {event['sites']} sites, {event['images']} training images, "
            f"{clock.of_rounds} rounds"
        )
    if kind == "fewer_clients":
        return f"{event['why'].capitalize()}: {event['workers']} clients at once from here on"
    if kind == "round_refused":
        return f"Round {event['round']}: {event['why']}"
    if kind == "stopped_early":
        return _early_end(event)
    if kind == "site_changed":
        return f"{event['site_id']}: {event['what']}"
    if kind == "starting_weights":
        return _weights(event)
    if kind == "resumed":
        return f"Going on after round {event['round']}"
    if kind == "site_done" and event["outcome"] != "done":
        return f"Round {clock.round_num}: {event['site_id']} {event['outcome']}"
    if kind == "round_done" and event["round"] > 0:
        left = f", {clock.left} left" if clock.left and event["round"] < clock.rounds else ""
        return (
            f"Round {event['round']}/{clock.of_rounds}: loss {_number(event['train_loss'])}, "
            f"val macro AUROC {_number(event['val_macro_auroc'])}, "
            f"{clock.images_per_second:.0f} images/s{left}"
        )
    return ""


def _early_end(event: dict[str, Any]) -> str:
    """Return why no further round comes."""
    least = event["min_improvement"]
    by = f" by more than {least:g}" if least else ""
    return (
        f"Stopped after round {event['round']}: val macro AUROC was not better{by} for "
        f"{event['stop_after']} rounds"
    )


def _weights(event: dict[str, Any]) -> str:
    """Return what came from a file of weights."""
    new = some(event["new"], 14) if event["new"] else "none"
    return (
        f"Weights of {event['source']}: the head's rows of {len(event['copied'])} labels are taken "
        f"over; new: {new}"
    )


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"
