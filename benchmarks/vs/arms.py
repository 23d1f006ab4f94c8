"""One piece of work through one framework: a command in a fresh process, and what it found.

A framework starts from nothing: fedcxr has an empty home folder, so that decoding the images,
probing the precision and starting the workers all count.
"""

import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.processes import finish, started
from benchmarks.vs.peers import peer_command
from benchmarks.vs.plain_torch import load_workload, macro_auroc

FEDCXR = {"fedcxr-fp32": "fp32", "fedcxr-auto": "auto"}
"""Arm → --precision."""
FLOWER = {"flower": 1, "flower-2cpu": 2}
"""Arm → cores that a client reserves, each for one thread: two are Flower's default."""
ARMS = (*FEDCXR, *FLOWER, "nvflare", "pfl")
LONGEST_S = 1800.0

SETTINGS = (
    "train.lr_schedule=constant",
    *("explain.max_boxes=0", "explain.images_per_outcome=0"),
    *("train.augment.min_crop_area=1", "train.augment.max_aspect=1"),
    *("train.augment.flip=0", "train.augment.max_rotation_deg=0"),
)
"""No peer augments or explains."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of one arm took and reached."""

    wall_s: float
    """From the start of its process to its end."""
    images: int
    """Training images through the network, over all rounds."""
    steady: float
    """Images a second over the rounds after the first; nan where there is one round."""
    test_macro_auroc: float

    @property
    def images_per_second(self) -> float:
        """Return the images a second over the whole command."""
        return self.images / self.wall_s


def run_arm(arm: str, work: Path) -> Outcome:
    """Run the work of a folder through an arm.

    Raises:
        RuntimeError: it cannot be set up, fails, or does not end in time.
    """
    with tempfile.TemporaryDirectory(prefix="fedcxr-arm-") as name:
        folder = Path(name)
        command = _command(arm, work.absolute(), folder)
        log = folder / "log.txt"
        begun = time.perf_counter()
        with started(command, folder / "home", log) as process:
            finish(process, log, LONGEST_S)
            wall_s = time.perf_counter() - begun
        read = _read_fedcxr if arm in FEDCXR else _read_peer
        return Outcome(wall_s, *read(folder))


def _command(arm: str, work: Path, folder: Path) -> list[str]:
    if arm not in FEDCXR:
        words = ["--workload", str(work), "--json", str(folder / "found.json")]
        if arm in FLOWER:
            return peer_command("flower", *words, "--cpus-per-client", str(FLOWER[arm]))
        return peer_command(arm, *words)
    numbers = load_workload(work)
    words = [
        *("--quiet", "--runs-dir", str(folder / "runs"), "--precision", FEDCXR[arm]),
        *("--data", str(work / "data"), "--partition", str(work / "partition")),
        *("--model", numbers["model"], "--learning-rate", str(numbers["learning_rate"])),
    ]
    for key in ("seed", "rounds", "image_size", "local_epochs", "batch_size"):
        words += [f"--{key.replace('_', '-')}", str(numbers[key])]
    for setting in SETTINGS:
        words += ["--set", setting]
    key = f"FEDCXR_PATIENT_KEY={work / 'patient.key'}"
    return ["env", key, sys.executable, "-m", "fedcxr", "simulate", *words]


def _read_fedcxr(folder: Path) -> tuple[int, float, float]:
    """Return images, steady rate and score of a run folder."""
    run = next((folder / "runs").iterdir())
    events = _lines(run / "events.jsonl")
    done = [e for e in events if e["event"] == "round_done" and e["round"] > 0]
    seconds = done[-1]["time"] - done[0]["time"]
    late = sum(e["images"] for e in done[1:])
    with np.load(run / "predictions.npz", allow_pickle=False) as arrays:
        score = macro_auroc(arrays["target"], arrays["probs"])
    images = sum(e["images"] for e in done)
    return images, late / seconds if late else float("nan"), score


def _read_peer(folder: Path) -> tuple[int, float, float]:
    """Return images, steady rate and score as a peer wrote them."""
    found = json.loads((folder / "found.json").read_text("utf-8"))
    images, rounds = found["images"], found["round_s"]
    late = images * (len(rounds) - 1) / len(rounds)
    steady = late / sum(rounds[1:]) if late else float("nan")
    return images, steady, found["test_macro_auroc"]


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]
