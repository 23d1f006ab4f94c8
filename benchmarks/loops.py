"""The two sides of `train_loop` and `gpu`: training inside `fedcxr simulate`, and a plain loop.

Both take full batches of the same cached images with the same precision and augmentation. A time
begins when all of its processes are warm: `simulate` has a round that does not count, and plain
loops take a few steps and then wait for one another.
"""

import contextlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

from benchmarks.processes import finish, started, tail
from benchmarks.vs.workload import Work, write_workload

SETTINGS = (
    "train.lr_schedule=constant",
    *("explain.max_boxes=0", "explain.images_per_outcome=0"),
)
LONGEST_S = 900.0


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a federation found, its first round left out."""

    images: int
    seconds: float
    """Of the rounds' training: sending, waiting and aggregating are in it."""
    manifest: dict[str, Any]

    @property
    def rate(self) -> float:
        """Return the images a second."""
        return self.images / self.seconds


@dataclass(frozen=True, slots=True)
class Plain:
    """How many plain loops run side by side, on how many threads each."""

    processes: int
    threads: int = 1
    device: str = "cpu"
    compiled: bool = False

    @property
    def name(self) -> str:
        """Return the set-up in words."""
        loops = "one process" if self.processes == 1 else f"{self.processes} processes"
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{loops}, {threads}" if self.device == "cpu" else loops


class Bench:
    """A folder with the work's images, and a home folder in which they are decoded once.

    The images are written when the folder has none yet: work of another size can use the same.
    """

    def __init__(self, folder: Path, work: Work) -> None:
        self.folder, self.work, self.home = folder, work, folder / "home"
        self.data = folder / "work"
        if not self.data.exists():
            write_workload(self.data, work)

    def simulate(self, rounds: int, *flags: str) -> Simulated:
        """Run a federation of so many rounds.

        Raises:
            RuntimeError: it failed, took too long, or trained on other images than the work has.
        """
        runs, log = self._new("runs"), self.folder / "simulate.log"
        work, data = self.work, self.data
        words = [
            *("simulate", "--quiet", "--runs-dir", str(runs), "--rounds", str(rounds)),
            *("--data", str(data / "data"), "--partition", str(data / "partition")),
            *("--model", work.model, "--image-size", str(work.image_size)),
            *("--batch-size", str(work.batch_size), "--local-epochs", str(work.local_epochs)),
            *(word for setting in SETTINGS for word in ("--set", setting)),
        ]
        key = f"FEDCXR_PATIENT_KEY={data / 'patient.key'}"
        command = ["env", key, sys.executable, "-m", "fedcxr", *words, *flags]
        with started(command, self.home, log) as process:
            finish(process, log, LONGEST_S)
        return _read(next(runs.iterdir()), work)

    def plain(self, setup: Plain, manifest: dict[str, Any], num_images: int) -> float:
        """Return the images a second of plain loops that share so many images.

        Args:
            setup: how many loops, of which kind.
            manifest: of a federation of the same work; its precision and cache are used.
            num_images: shared out in full batches.

        Raises:
            RuntimeError: a loop failed or took too long.
        """
        each = num_images // setup.processes // self.work.batch_size * self.work.batch_size
        go = self._new("go")
        command = self._plain_command(setup, manifest, each, go)
        logs = [self.folder / f"plain-{n}.log" for n in range(setup.processes)]
        with contextlib.ExitStack() as stack:
            loops = [stack.enter_context(started(command, self.home, log)) for log in logs]
            for loop, log in zip(loops, logs, strict=True):
                _wait_until_ready(loop, log)
            go.touch()
            for loop, log in zip(loops, logs, strict=True):
                finish(loop, log, LONGEST_S)
        told = [json.loads(log.read_text("utf-8").splitlines()[-1]) for log in logs]
        seconds = max(t["ended"] for t in told) - min(t["begun"] for t in told)
        return float(sum(t["images"] for t in told) / seconds)

    def _plain_command(
        self, setup: Plain, manifest: dict[str, Any], num_images: int, go: Path
    ) -> list[str]:
        work, precision = self.work, manifest["precision"]
        return [
            *(sys.executable, "-m", "benchmarks.plain_loop"),
            *("--cache", str(self.home / "cache" / manifest["cache_digest"])),
            *("--model", work.model, "--image-size", str(work.image_size)),
            *("--batch-size", str(work.batch_size), "--images", str(num_images)),
            *("--threads", str(setup.threads), "--device", setup.device, "--go", str(go)),
            *("--dtype", precision["dtype"]),
            *(["--channels-last"] if precision["channels_last"] else []),
            *(["--compile"] if setup.compiled else []),
        ]

    def _new(self, name: str) -> Path:
        return self.folder / f"{name}-{time.monotonic_ns()}"


def best_of(rates: Mapping[str, Sequence[float]]) -> str:
    """Return the set-up with the highest mean.

    >>> best_of({"a": [1.0, 5.0], "b": [3.0, 4.0]})
    'b'
    """
    return max(rates, key=lambda name: sum(rates[name]) / len(rates[name]))


def _read(run: Path, work: Work) -> Simulated:
    lines = [json.loads(x) for x in (run / "rounds.jsonl").read_text("utf-8").splitlines()]
    trained = [line for line in lines if line["round"] > 0]
    wanted = work.train_images * work.local_epochs
    if any(line["images"] != wanted for line in trained):
        raise RuntimeError(f"a round trained on other than {wanted} images: {run}")
    warm = trained[1:] or trained
    manifest = json.loads((run / "manifest.json").read_text("utf-8"))
    seconds = sum(line["seconds_train"] for line in warm)
    return Simulated(sum(line["images"] for line in warm), seconds, manifest)


def _wait_until_ready(loop: "Popen[str]", log: Path) -> None:
    end = time.monotonic() + LONGEST_S
    while "ready" not in log.read_text("utf-8").split():
        if loop.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"a plain loop did not start: {tail(log)}")
        time.sleep(0.02)
