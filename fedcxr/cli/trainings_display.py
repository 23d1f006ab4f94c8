"""How far the trainings of a comparison are: a bar on a terminal, now and then a line elsewhere."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # torch and rich: too heavy for `fedcxr --help`
    from rich.progress import Progress

    from fedcxr.experiments.compare.trainings import TrainingsProgress

LINE_EVERY_S = 30.0
"""Between two lines where no training has ended meanwhile."""


class TrainingsDisplay:
    """Shows what a comparison tells of its trainings."""

    def __init__(self, *, is_bar: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._is_bar, self._clock = is_bar, clock
        self._first: TrainingsProgress | None = None
        self._last: TrainingsProgress | None = None
        self._begun = self._last_line = 0.0
        self._told_trainings = 0
        self._bar: Progress | None = None

    def show(self, progress: "TrainingsProgress") -> None:
        """Move the bar, or print a line if a training has ended or the last one is long ago."""
        now = self._clock()
        if self._last is None or _are_others(self._last, progress):
            self._first, self._begun, self._last_line = progress, now, now
            self._told_trainings = progress.trainings
        self._last = progress
        text = f"{progress.trainings} of {progress.total_trainings} trainings"
        left_s = self._left_s(progress, now)
        if left_s is not None:
            text += f", {int(left_s // 60)}:{int(left_s % 60):02d} left"
        if self._is_bar:
            self._draw(percent(progress), text)
        elif progress.trainings != self._told_trainings or now - self._last_line >= LINE_EVERY_S:
            self._last_line, self._told_trainings = now, progress.trainings
            print(f"{percent(progress):3d}%  {text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _left_s(self, progress: "TrainingsProgress", now: float) -> float | None:
        """Return the time left at the speed until now; None while or where it is not known.

        It is not known before anything is trained, nor when all is trained and being judged.
        """
        assert self._first is not None
        done = progress.images - self._first.images
        rest = progress.total_images - progress.images
        if done <= 0 or rest <= 0:
            return None
        return (now - self._begun) * rest / done

    def _draw(self, percent: int, text: str) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (TextColumn("Training"), BarColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.add_task("", total=100)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=percent, description=text)


def percent(progress: "TrainingsProgress") -> int:
    """Return the whole percent that are done: 100 exactly if every training is, else below."""
    if progress.trainings == progress.total_trainings:
        return 100
    return min(99, int(100 * progress.images / max(progress.total_images, 1)))


def _are_others(before: "TrainingsProgress", now: "TrainingsProgress") -> bool:
    """Return whether other trainings are told of than before: those after the tuning."""
    return before.total_images != now.total_images or before.images > now.images
