"""What the `run.py` of NVIDIA FLARE and of pfl share: the command line, an end, and a check.

Only the standard library is imported, so that a missing peer is a plain message.
"""

import argparse
import contextlib
import json
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.processes import family, tail

Run = Callable[[dict[str, Any], Path], dict[str, Any]]
"""(numbers of the work, an empty folder) -> `round_s`, `images`, `test_macro_auroc`."""


class PeerError(Exception):
    """The peer is not there, failed, did not end in time, or did other work than it was given."""


def main(package: str, run: Run) -> None:
    """Answer the command line of a peer's `run.py`."""
    begun = time.monotonic()
    parser = argparse.ArgumentParser(description=f"Run a workload through {package}.")
    parser.add_argument("--workload", type=Path, required=True, metavar="DIR")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE")
    parser.add_argument("--timeout-s", type=float, default=3600.0)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # a `finally` must be reached, too
    try:
        found = {"version": installed(package)}
        numbers = json.loads((args.workload / "workload.json").read_text(encoding="utf-8"))
        with tempfile.TemporaryDirectory(prefix=f"{package}-") as name, ended(args.timeout_s):
            found |= run({**numbers, "folder": str(args.workload.absolute())}, Path(name))
        check(found, numbers)
    except PeerError as err:
        sys.exit(f"{package}: {err}")
    found["wall_s"] = time.monotonic() - begun
    args.json.write_text(json.dumps(found) + "\n", encoding="utf-8")


def installed(package: str) -> str:
    """Return the version of a peer.

    Raises:
        PeerError: it is not there.
    """
    try:
        return version(package)
    except PackageNotFoundError as err:
        raise PeerError(
            f"not installed for {sys.executable}. Run the setup.sh beside run.py, and run.py with "
            "the Python that it makes."
        ) from err


@contextlib.contextmanager
def ended(timeout_s: float) -> Iterator[None]:
    """Stop what runs inside after so long; kill the processes that it leaves, in any case.

    Raises:
        PeerError: it was not done in time.
    """

    def late(*_: object) -> None:
        raise PeerError(f"not done in {timeout_s:g} s.")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        for pid in family(os.getpid())[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def quiet(log: Path) -> Iterator[None]:
    """Send what this process and its children write to a file; say its end where they fail.

    Raises:
        PeerError: anything but PeerError was raised inside.
    """
    kept = os.dup(1), os.dup(2)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    except PeerError as err:
        raise PeerError(f"{err} {tail(log)}") from err
    except Exception as err:
        raise PeerError(f"{type(err).__name__}: {err} {tail(log)}") from err
    finally:
        sys.stdout.flush()
        for number, stream in zip(kept, (1, 2), strict=True):
            os.dup2(number, stream)
            os.close(number)


def check(found: Mapping[str, Any], numbers: Mapping[str, Any]) -> None:
    """Refuse the figures of other work than was given.

    Raises:
        PeerError: other numbers of images or rounds than the work has, or an AUROC that is none.
    """
    sites = sum(n for name, n in numbers["files"].items() if name.startswith("sites/"))
    images = sites * numbers["rounds"] * numbers["local_epochs"]
    if found["images"] != images:
        raise PeerError(f"trained on {found['images']} images, and the work has {images}.")
    if len(found["round_s"]) != numbers["rounds"]:
        raise PeerError(f"ran {len(found['round_s'])} of {numbers['rounds']} rounds.")
    if not math.isfinite(found["test_macro_auroc"]):
        raise PeerError("the AUROC of the model on test.csv is not a number.")
