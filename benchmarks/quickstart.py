"""The quickstart from nothing: wall time, AUROC, Grad-CAM hit rate, time to the first round.

Runs `fedcxr simulate --clients 5` with an empty home folder, so the synthetic data are made,
decoded and probed as on a new machine; then once more with one worker, until the first round is
done.

    python -m benchmarks.quickstart
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

GOALS = {"seconds": 120.0, "macro_auroc": 0.80, "first_round_s": 15.0}


def main() -> None:
    """Measure, print a table, exit 1 if a goal is missed."""
    with tempfile.TemporaryDirectory() as folder:
        figures = whole_run(Path(folder)) | {"first_round_s": first_round(Path(folder))}
    met = {
        "seconds": figures["seconds"] < GOALS["seconds"],
        "macro_auroc": figures["macro_auroc"] >= GOALS["macro_auroc"],
        "hit_rate": figures["hit_rate"] > figures["center_hit_rate"],
        "first_round_s": figures["first_round_s"] < GOALS["first_round_s"],
    }
    print("| what | goal | found |\n|---|---|---|")
    print(f"| command to report, wall | < 120 s | {figures['seconds']:.1f} s |")
    print(f"| global macro AUROC | >= 0.80 | {figures['macro_auroc']:.3f} |")
    baseline = figures["center_hit_rate"]
    print(f"| Grad-CAM hit rate | > {baseline:.3f} (centre) | {figures['hit_rate']:.3f} |")
    print(f"| one worker, start to first round | < 15 s | {figures['first_round_s']:.1f} s |")
    sys.exit(0 if all(met.values()) else 1)


def command(folder: Path, *more: str) -> list[str]:
    """Return the command line of a run below `folder`."""
    runs = str(folder / "runs")
    return [sys.executable, "-m", "fedcxr", "simulate", "--clients", "5", "--runs-dir", runs, *more]


def whole_run(folder: Path) -> dict[str, Any]:
    """Return wall time and scores of the quickstart with an empty home folder."""
    environment = {**os.environ, "FEDCXR_HOME": str(folder / "home")}
    begun = time.monotonic()
    subprocess.run(command(folder), env=environment, check=True)
    took = time.monotonic() - begun
    summary = json.loads(next((folder / "runs").glob("*/summary.json")).read_text())
    return {
        "seconds": took,
        "macro_auroc": summary["macro_auroc"],
        "hit_rate": summary["gradcam"]["hit_rate"],
        "center_hit_rate": summary["gradcam"]["center_hit_rate"],
    }


def first_round(folder: Path) -> float:
    """Return the seconds from the command to its first finished round, in one process."""
    environment = {**os.environ, "FEDCXR_HOME": str(folder / "home")}
    begun = time.monotonic()
    process = subprocess.Popen(
        command(folder, "--workers", "1", "--name", "first", "--quiet"), env=environment
    )
    try:
        while time.monotonic() - begun < 120:
            logs = list((folder / "runs").glob("*-first/rounds.jsonl"))
            if logs and '{"round": 1,' in logs[0].read_text():
                return time.monotonic() - begun
            time.sleep(0.05)
        raise TimeoutError("no round was done in 120 s")
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
