"""Progress in a notebook's cell: one line with a bar, and the lines of finished rounds above it.

On a terminal the command line's own displays are used; where there is neither, plain lines.
"""

import html
import sys
import threading
from typing import Any, Protocol

from fedcxr.cli.clock import Clock
from fedcxr.cli.progress import PHASES, Display, LiveDisplay, PlainDisplay, event_line
from fedcxr.cli.trainings_display import TrainingsDisplay

_MOST_LINES = 12
"""Of the latest kept in the cell."""


class Handle(Protocol):
    """What IPython gives for an output that can change."""

    def update(self, obj: object) -> None:
        """Show another thing in the same place."""


class Html:
    """A text that a notebook shows as HTML."""

    def __init__(self, text: str) -> None:
        self._text = text

    def _repr_html_(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "progress"


class CellDisplay:
    """A bar in the cell that runs, which stays there until another is shown."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._handle = _new_output()
        self._lock = threading.Lock()
        self.bar("Preparing data", 0, 0)

    def show(self, event: dict[str, Any], clock: Clock) -> None:
        """Show one event of a run."""
        kind = event["event"]
        if kind == "preparing":
            self.bar("Decoding images", event["done"], event["total"])
        elif kind in ("round_started", "site_done"):
            left = f", {clock.left} left" if clock.left else ""
            text = f"Round {clock.round_num}/{clock.of_rounds}, sites{left}"
            self.bar(text, clock.sites_done, clock.cohort)
        elif kind == "phase":
            self.bar(PHASES[event["name"]], 0, 0)
        else:
            line = event_line(event, clock)
            if line:
                self._lines = [*self._lines, line][-_MOST_LINES:]

    def bar(self, text: str, done: int, total: int) -> None:
        """Show what is being done, and how much of it is; a total of 0 is not known."""
        value = f' value="{done}" max="{total}"' if total else ""
        head = f"{html.escape(text)} <progress{value}></progress>"
        self._update(head + (f" {done}/{total}" if total else ""))

    def close(self) -> None:
        """Leave the lines, without the bar."""
        self._update("")

    def _update(self, bar: str) -> None:
        with self._lock:
            lines = "<br>".join(html.escape(line) for line in self._lines)
            self._handle.update(Html(f"<div>{lines}</div><div>{bar}</div>"))


class CellTrainings(TrainingsDisplay):
    """The same for the trainings of a comparison."""

    def __init__(self) -> None:
        super().__init__(is_bar=True)
        self._cell: CellDisplay | None = None

    def close(self) -> None:
        """Take the bar away."""
        if self._cell is not None:
            self._cell.close()

    def _draw(self, percent: int, text: str) -> None:
        self._cell = self._cell or CellDisplay()
        self._cell.bar(f"Training: {text}", percent, 100)


def run_display() -> Display:
    """Return what shows a run's progress here."""
    if is_notebook():
        return CellDisplay()
    return LiveDisplay() if sys.stderr.isatty() else PlainDisplay()


def trainings_display() -> TrainingsDisplay:
    """Return what shows a comparison's progress here."""
    return CellTrainings() if is_notebook() else TrainingsDisplay(is_bar=sys.stderr.isatty())


def is_notebook() -> bool:
    """Return whether this process is a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")


def _new_output() -> Handle:
    from IPython.display import display  # there in a notebook, and only there

    made: Handle = display(Html(""), display_id=True)
    return made
