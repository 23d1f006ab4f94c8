"""A bar on a terminal for what is done of a whole."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Show = Callable[[str, int, int], None]
"""Told what is being done, how much is done of it and how much it is; 0 = not known yet."""


@contextmanager
def progress_bar(begins_with: str) -> Iterator[Show | None]:
    """Yield what moves the bar on a terminal, None where stderr is none; it is gone at the end."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # too heavy for `fedcxr --help`
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(begins_with, total=None)

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total or None)

        yield show
