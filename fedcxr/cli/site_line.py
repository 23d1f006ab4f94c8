"""The line that says what a site's client does: in place on a terminal, else a line a change."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedcxr.deploy.site_status import Connected

_CLEAR = "\r\x1b[2K"


class SiteLine:
    """Prints lines, and under them on a terminal one that changes in place."""

    def __init__(self) -> None:
        self._in_place = sys.stdout.isatty()
        self._last = ""
        self._lock = threading.Lock()  # the status comes from a thread of its own

    def print(self, text: str) -> None:
        """Print a line that stays."""
        with self._lock:
            self._clear()
            print(text, flush=True)

    def clear(self) -> None:
        """Take the line that changes off the terminal."""
        with self._lock:
            self._clear()

    def _clear(self) -> None:
        if self._in_place and self._last:
            print(_CLEAR, end="", flush=True)
            self._last = ""

    def status(self, now: "Connected") -> None:
        """Show what the client does."""
        text = status_words(now)
        with self._lock:
            if self._in_place:
                print(f"{_CLEAR}{text}{_elapsed(now)}", end="", flush=True)
            elif text != self._last:
                print(text, flush=True)
            self._last = text

    @contextmanager
    def progress(self) -> Iterator[Callable[[str, int, int], None]]:
        """Yield what shows how far something is: a bar on a terminal, else a line for each part."""
        from fedcxr.cli.bar import progress_bar  # rich, on a terminal

        seen = set[str]()
        with progress_bar("Reading the tables") as show:

            def tell(what: str, done: int, total: int) -> None:
                if show is not None:
                    show(what, done, total)
                elif what not in seen:
                    seen.add(what)
                    print(f"{what}: {total:,} images", flush=True)

            yield tell


def status_words(now: "Connected") -> str:
    """Return what a client does, without what changes every second."""
    words = [f"{now.site}: connected since {time.strftime('%H:%M', time.localtime(now.since))}"]
    if now.run:
        words.append(f"{now.run}, round {now.round_num}" if now.round_num else now.run)
    words.append(now.doing or "waits for an order")
    return " · ".join(words)


def _elapsed(now: "Connected") -> str:
    if not now.doing:
        return ""
    minutes, seconds = divmod(int(max(0.0, time.time() - now.doing_since)), 60)
    return f" ({minutes}:{seconds:02d})"
