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
from fedcxr.cli.clock import Clock
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

    def show(self, event: dict[str, Any], clock: Clock) -> None:
        """Show one event."""

    def close(self) -> None:
        """End the display."""


class PlainDisplay:
    """One line a round, for logs and pipes."""

    def __init__(self) -> None:
        self._phase = ""

    def show(self, event: dict[str, Any], clock: Clock) -> None:
        """Print a line for the events that matter in a log."""
        text = event_line(event, clock)
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
                description=f"Round {clock.round_num}/{clock.of_rounds}, sites"
                + " with their VAEs" * clock.makes_vaes,
                total=clock.cohort,
                completed=clock.sites_done,
                extra=f"{_speed_words(clock.images_per_second).removeprefix(', ')}  {left}",
            )
        elif kind == "phase":
            self._progress.update(
                self._task, description=PHASES[event["name"]], total=None, extra=""
            )
        else:
            text = event_line(event, clock)
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

    def follow(self, run: RunFolder, *, from_begin: bool = False) -> None:
        """Begin to follow `run`, from the end of its log as it is now, or from its beginning."""
        file = run.path / "events.jsonl"
        offset = file.stat().st_size if file.exists() and not from_begin else 0
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


def event_line(event: dict[str, Any], clock: Clock) -> str:
    """Return what a log says of an event; empty for most of them."""
    kind = event["event"]
    if kind == "phase":
        return f"{PHASES[event['name']]} …"
    if kind == "run_started":
        return (
            f"Federation: {event['sites']} sites, {event['images']} training images, "
            f"{clock.of_rounds} rounds"
        )
    if kind == "spooling":
        return (
            f"Aggregator {event['name']}: the {event['updates']} updates of a round take "
            f"{event['bytes'] / 1e9:.2f} GB on disk"
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
    if kind == "round_started" and clock.makes_vaes:
        return f"Round {event['round']}: each site trains its VAE first"
    if (
        kind == "site_done"
        and event["outcome"] == "done"
        and clock.makes_vaes
        and clock.cohort <= 20
    ):
        return f"Round {clock.round_num}: {clock.sites_done} of {clock.cohort} sites are done"
    if kind == "site_done" and event["outcome"] != "done":
        return f"Round {clock.round_num}: {event['site_id']} {event['outcome']}"
    if kind == "round_done" and event["round"] > 0:
        left = f", {clock.left} left" if clock.left and event["round"] < clock.rounds else ""
        return (
            f"Round {event['round']}/{clock.of_rounds}: {_loss_words(event['train_loss'])}"
            f"val macro AUROC {_number(event['val_macro_auroc'])}"
            f"{_speed_words(clock.images_per_second)}{left}"
        )
    return ""


def _loss_words(loss: float | None) -> str:
    """Return the training loss before what follows it; nothing where sites do not tell theirs."""
    return "" if loss is None else f"loss {loss:.3f}, "


def _speed_words(images_per_second: float) -> str:
    """Return the speed after what is before it; nothing where sites do not tell their images."""
    return f", {images_per_second:.0f} images/s" if images_per_second else ""


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
