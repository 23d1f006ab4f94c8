"""Small federations as a user runs them: `fedcxr simulate` in a child process, and its run folder.

For the benchmarks that ask how the whole behaves (`soak`, `scaling`, `digests`).
"""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import Peaks, finish, watched

SMALL: Mapping[str, object] = {
    "model.name": "densenet_small",
    "model.image_size": 32,
    "data.synthetic.patients": 60,
    "data.synthetic.size_px": 32,
    "train.local_epochs": 1,
    "explain.max_boxes": 0,
    "explain.images_per_outcome": 0,
}
"""One epoch of a small network on few small images, with no Grad-CAM at the end."""


@dataclass(frozen=True)
class Ended:
    """A federation that ended well."""

    rounds: list[dict[str, Any]]
    """Lines of rounds.jsonl, the first of the model before training."""
    manifest: dict[str, Any]
    summary: dict[str, Any]
    peaks: Peaks
    """From the first round on."""


def simulate_command(runs: Path, settings: Mapping[str, object]) -> list[str]:
    """Return the command line of a federation, SMALL but for `settings`."""
    pairs = [f"{key}={value}" for key, value in {**SMALL, **settings}.items()]
    words = ["simulate", "--quiet", "--runs-dir", str(runs)]
    return [sys.executable, "-m", "fedcxr", *words, *(w for p in pairs for w in ("--set", p))]


def run_federation(folder: Path, settings: Mapping[str, object], *, timeout_s: float) -> Ended:
    """Run a federation below `folder`, whose data are kept there for the next one.

    Raises:
        RuntimeError: it failed or took too long.
    """
    runs = folder / f"runs-{len(list(folder.glob('runs-*')))}"
    log = folder / "log.txt"
    with watched(simulate_command(runs, settings), folder / "home", log) as watch:
        end = time.monotonic() + timeout_s
        while watch.process.poll() is None and time.monotonic() < end:
            if list(runs.glob("*/rounds.jsonl")):
                break
            time.sleep(0.05)
        watch.peaks = Peaks()  # only the first run below `folder` draws the data and probes
        finish(watch.process, log, end - time.monotonic())
    run = next(runs.iterdir())
    lines = (run / "rounds.jsonl").read_text("utf-8").splitlines()
    manifest, summary = (
        json.loads((run / f"{n}.json").read_text()) for n in ("manifest", "summary")
    )
    return Ended([json.loads(line) for line in lines], manifest, summary, watch.peaks)
