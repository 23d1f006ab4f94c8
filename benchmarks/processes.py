"""A command and all that it starts: its processes, their memory, and what it leaves behind.

Memory is the proportional set size (PSS): a page that k processes share counts as 1/k in each, so
that sums hold every page once. Linux only; elsewhere there are no such figures.
"""

import contextlib
import itertools
import os
import re
import signal
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
MARK = "FEDCXR_BENCHMARKS"
"""The environment variable that says from which commands a process comes, the outermost first."""
TIDY_S = 10.0
FAMILY_EVERY = 4
"""Of the looks at the first process, how many to one at all of them."""

_SIZES = re.compile(r"^(\w+):\s+(\d+) kB", re.MULTILINE)


@dataclass
class Peaks:
    """The most memory seen while a command ran, in bytes."""

    own: int = 0
    """Of its first process: the server."""
    family: int = 0
    """Of all its processes together, at one time."""


@dataclass
class Watch:
    """A command that is running, and the memory seen so far."""

    process: "subprocess.Popen[str]"
    peaks: Peaks = field(default_factory=Peaks)


@contextlib.contextmanager
def started(
    command: list[str], home: Path, log: Path, mark: Path | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """Run a command in a session of its own with `home` as FEDCXR_HOME; end what is left of it.

    Args:
        command: what to run.
        home: also the mark by which `marked` knows the processes that come from it.
        log: where its standard output and error go.
        mark: a second mark, where other commands of this home are to go on when this one ends.
    """
    marks = os.pathsep.join([os.environ.get(MARK, ""), str(home), *([str(mark)] if mark else [])])
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            command,
            env={**os.environ, "FEDCXR_HOME": str(home), MARK: marks},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end(process, mark or home)


def end(process: "subprocess.Popen[str]", home: Path) -> None:
    """Stop a command as Ctrl-C does, so that it tidies up; then kill what still comes from it."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(TIDY_S)
    for pid in marked(home):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.kill()  # without /proc nothing is found above
    process.wait(TIDY_S)


@contextlib.contextmanager
def watched(command: list[str], home: Path, log: Path, *, every_s: float = 0.5) -> Iterator[Watch]:
    """Run a command as `started` does and follow the memory of its processes.

    To read it takes some 10 ms of a core for each process, so all together are read less often than
    the first one, and neither so often that it would show in the command's own time.
    """
    with started(command, home, log) as process:
        watch, stop = Watch(process), threading.Event()
        thread = threading.Thread(target=_follow, args=(watch, stop, every_s), daemon=True)
        thread.start()
        try:
            yield watch
        finally:
            stop.set()
            thread.join()


def _follow(watch: Watch, stop: threading.Event, every_s: float) -> None:
    pid = watch.process.pid
    for number in itertools.count():
        if stop.wait(every_s):
            return
        own, peaks = pss_bytes(pid), watch.peaks
        peaks.own = max(peaks.own, own)
        if number % FAMILY_EVERY == 0:
            together = own + sum(pss_bytes(other) for other in family(pid)[1:])
            peaks.family = max(peaks.family, together)


def finish(process: "subprocess.Popen[str]", log: Path, timeout_s: float) -> None:
    """Wait for a command to end well.

    Raises:
        RuntimeError: it failed, or did not end in time; holds the end of its log.
    """
    try:
        code = process.wait(timeout_s)
    except subprocess.TimeoutExpired as err:
        raise RuntimeError(f"not done in {timeout_s:.0f} s: {tail(log)}") from err
    if code:
        raise RuntimeError(f"exit status {code}: {tail(log)}")


def wait_until(
    is_there: Callable[[], bool], why: Callable[[], str], timeout_s: float = 900.0
) -> None:
    """Wait until something is there.

    Raises:
        RuntimeError: it did not come; holds `why`.
    """
    end = time.monotonic() + timeout_s
    while not is_there():
        if time.monotonic() > end:
            raise RuntimeError(f"not there after {timeout_s:.0f} s: {why()}")
        time.sleep(0.2)


def tail(log: Path, characters: int = 400) -> str:
    """Return the end of a log on one line."""
    return " ".join(log.read_text("utf-8", errors="replace").split())[-characters:]


def family(pid: int) -> list[int]:
    """Return the process and all that came from it, itself first."""
    found = [pid]
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [p for child in listing.read_text().split() for p in family(int(child))]
        except OSError:
            continue  # it has ended
    return found


def marked(home: Path) -> list[int]:
    """Return the running processes that come from a command started with `home`, orphans too."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended, or is someone else's
        mark = next((v for v in variables if v.startswith(f"{MARK}=".encode())), b"")
        if str(home) in mark.decode().partition("=")[2].split(os.pathsep):
            found.append(int(entry.name))
    return found


def pss_bytes(pid: int) -> int:
    """Return a process's proportional set size; 0 if it has ended, or without /proc."""
    return memory(pid)["Pss"]


def own_bytes(sizes: Mapping[str, int]) -> int:
    """Return the part of a process's `memory` that it made itself, without the files it maps.

    Its share of libtorch's pages falls by half, some 100 MB, when any other program loads it, too.
    """
    return sizes["Pss_Anon"] + sizes["Pss_Shmem"]


def memory(pid: int) -> Mapping[str, int]:
    """Return a process's memory in bytes by the names of smaps_rollup; 0 as in `pss_bytes`."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        text = ""
    return defaultdict(int, {kind: 1024 * int(kb) for kind, kb in _SIZES.findall(text)})


def shared_memory() -> set[str]:
    """Return the names of what lies in shared memory."""
    return {path.name for path in SHARED_MEMORY.iterdir()} if SHARED_MEMORY.is_dir() else set()


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and of its children that have ended; 0 without it."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    fields = text.rpartition(")")[2].split()  # from the third on: a name may hold anything
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def anonymous_bytes(pid: int) -> int:
    """Return the memory of a process that maps no file; cheap to read; 0 as in `pss_bytes`."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = dict(re.findall(r"^(Rss(?:Anon|Shmem)):\s+(\d+) kB", text, re.MULTILINE))
    return 1024 * sum(map(int, found.values()))
