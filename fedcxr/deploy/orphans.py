"""A process that ends with the one that started it, however that one ended."""

import logging
import os
import signal
import threading
import time

LOG_FORMAT = "%(asctime)s %(name)s: %(message)s"
GRACE_S = 10.0
"""For Flower to say goodbye to the other side, before its whole process group is killed."""


def end_with_parent() -> None:
    """From now on end this process, and its group, when its standard input ends.

    The parent holds the other end of that pipe and never writes; the system closes it when the
    parent is gone, even by SIGKILL.
    """
    threading.Thread(target=_watch, daemon=True, name="end-with-parent").start()


def log_to_stderr(*names: str) -> None:
    """Have our own loggers, `fedcxr` or those named, print; Flower's have handlers of their own."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    for name in names or ("fedcxr",):
        ours = logging.getLogger(name)
        ours.addHandler(handler)
        ours.propagate = False


def _watch() -> None:
    # Not sys.stdin: Python aborts where a thread holds its lock while the process ends.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os.killpg(os.getpgrp(), signal.SIGKILL)
