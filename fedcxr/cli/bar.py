"""A bar on a terminal for what is done of a whole."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # too heavy for `fedcxr --help`
    from rich.progress import Progress

Show = Callable[[str, int, int], None]
"""Told what is being done, how much is done of it and how much it is; 0 = not known yet."""


@contextmanager
def progress_bar(begins_with: str) -> Iterator[Show | None]:
    """Yield what moves the bar on a terminal, None where stderr is none; it is gone at the end."""
    if not sys.stderr.isatty():
        yield None
        return
    with counting_bar(is_timed=True) as bar:
        task = bar.add_task(begins_with, total=None)

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total or None)

        yield show


def counting_bar(*, is_timed: bool = False) -> "Progress":
    """Return a bar on stderr that says what is done, of how many, and is gone at the end.

    Args:
        is_timed: whether the time left ends the line, or the field `extra` of the task.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn() if is_timed else TextColumn("{task.fields[extra]}"),
        console=Console(stderr=True),
        transient=True,
    )
