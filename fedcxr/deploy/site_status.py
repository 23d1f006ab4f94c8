"""What a connected client is doing, as its own processes have noted it (`clients/activity.py`)."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class Connected:
    """The client is connected."""

    site: str
    since: float
    """Seconds since the epoch."""
    run: str = ""
    """The last one that it had an order of; empty = none since it connected."""
    round_num: int = 0
    """0 = before training."""
    doing: str = ""
    """Empty = it waits for an order."""
    doing_since: float = 0.0


@contextlib.contextmanager
def status_told(file: Path, site: str, on_status: Callable[[Connected], None]) -> Iterator[None]:
    """Tell every second what a client does that connects now, until the end of the block.

    Args:
        file: in which it is noted.
        site: whose client.
        on_status: called from a thread of its own.
    """
    since, is_over = time.time(), threading.Event()

    def tell() -> None:
        while not is_over.is_set():
            on_status(read_status(file, site, since))
            is_over.wait(POLL_S)

    thread = threading.Thread(target=tell, name="site-status", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(2 * POLL_S)


def read_status(file: Path, site: str, since: float) -> Connected:
    """Return what a client does that is connected since a time; older notes are another start's."""
    try:
        note = json.loads(file.read_bytes())
        begun = float(note["since"])
        found = Connected(site, since, str(note["run"]), int(note["round"]), note["doing"], begun)
    except (OSError, ValueError, KeyError, TypeError):
        return Connected(site, since)
    return found if begun >= since else Connected(site, since)
