"""Signals that end the process, as KeyboardInterrupt, and a note of them that cannot be lost.

Python drops an exception that a signal's handler raises while a finaliser or a callback of the
garbage collector runs: the process would go on as if nobody had asked it to end. So the handler
also takes a note, and long work looks at it between its steps.
"""

import os
import signal
import threading
import time
from types import FrameType

PARENT_S = 1.0
"""Between two looks whether the process that started this one is there."""

_asked = False


def end_on_signals() -> None:
    """Have SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt and be noted, from now on.

    One that the caller ignores, as a shell does with SIGINT for what it puts into the background
    and nohup with SIGHUP, stays ignored.
    """
    global _asked
    _asked = False
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


def interrupt(signum: int, frame: FrameType | None) -> None:
    """Note that the process was asked to end, and raise KeyboardInterrupt; a signal's handler."""
    global _asked
    _asked = True
    if signum == signal.SIGHUP:  # the shell sends it and the kernel again, in the midst of the end
        signal.signal(signum, signal.SIG_IGN)
    raise KeyboardInterrupt


def raise_if_interrupted() -> None:
    """Raise KeyboardInterrupt where the process was asked to end and it was not heard."""
    if _asked:
        raise KeyboardInterrupt


def end_when_orphaned(grace_s: float = 0.0) -> None:
    """From now on end this process, whatever it does, when the one that started it is gone.

    Args:
        grace_s: seconds in which it may end by itself.
    """
    words = (os.getppid(), grace_s)
    threading.Thread(
        target=_watch_parent, args=words, daemon=True, name="end-when-orphaned"
    ).start()


def _watch_parent(parent: int, grace_s: float) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_S)
    time.sleep(grace_s)
    os.kill(os.getpid(), signal.SIGKILL)
