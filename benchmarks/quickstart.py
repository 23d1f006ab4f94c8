"""The quickstart from nothing: wall time, AUROC, Grad-CAM hit rate, time to the first round.

Runs `fedcxr simulate --clients 5` with an empty home folder, so the synthetic data are made,
decoded and probed as on a new machine; then once more with one worker, until the first round is
done.

    python -m benchmarks.quickstart      # two minutes; the short form is the same
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.processes import finish, started
from benchmarks.result import Result, Row, run_as_command

WHOLE_S, FIRST_ROUND_S, MACRO_AUROC = 100.0, 15.0, 0.80
LONGEST_S = 600.0


def quickstart(short: bool) -> Result:
    """Run the quickstart twice."""
    with tempfile.TemporaryDirectory(prefix="fedcxr-quickstart-") as folder:
        found = whole_run(Path(folder)) | {"first_round_s": first_round(Path(folder))}
    took_s, first_s, auroc = found["seconds"], found["first_round_s"], found["macro_auroc"]
    hits, by_chance = found["hit_rate"], found["center_hit_rate"]
    first = "one worker, start to first round"
    return Result(
        name="quickstart",
        title="The quickstart from nothing",
        command="python -m benchmarks.quickstart",
        short=short,
        rows=[
            Row("command to report, wall", f"< {WHOLE_S:g} s", f"{took_s:.1f} s", took_s < WHOLE_S),
            Row("global macro AUROC", f"≥ {MACRO_AUROC:.2f}", f"{auroc:.3f}", auroc >= MACRO_AUROC),
            Row(
                "Grad-CAM hit rate", f"> {by_chance:.3f} (centre)", f"{hits:.3f}", hits > by_chance
            ),
            Row(first, f"< {FIRST_ROUND_S:g} s", f"{first_s:.1f} s", first_s < FIRST_ROUND_S),
        ],
        notes=[
            "With an empty home folder: the synthetic data are drawn, decoded and the precision "
            "probed within the time."
        ],
        figures=found,
    )


def command(folder: Path, *more: str) -> list[str]:
    """Return the command line of a run below `folder`."""
    runs = str(folder / "runs")
    return [sys.executable, "-m", "fedcxr", "simulate", "--clients", "5", "--runs-dir", runs, *more]


def whole_run(folder: Path) -> dict[str, Any]:
    """Return wall time and scores of the quickstart with an empty home folder."""
    begun, log = time.monotonic(), folder / "log.txt"
    with started(command(folder), folder / "home", log) as process:
        finish(process, log, LONGEST_S)
    took = time.monotonic() - begun
    summary = json.loads(next((folder / "runs").glob("*/summary.json")).read_text())
    return {
        "seconds": took,
        "macro_auroc": summary["macro_auroc"],
        "hit_rate": summary["heat_maps"]["hit_rate"]["gradcam"],
        "center_hit_rate": summary["heat_maps"]["center_hit_rate"],
    }


def first_round(folder: Path) -> float:
    """Return the seconds from the command to its first finished round, in one process."""
    begun, log = time.monotonic(), folder / "log.txt"
    words = command(folder, "--workers", "1", "--name", "first", "--quiet")
    with started(words, folder / "home", log) as process:
        while process.poll() is None and time.monotonic() - begun < LONGEST_S:
            logs = list((folder / "runs").glob("*-first/rounds.jsonl"))
            if logs and '{"round": 1,' in logs[0].read_text():
                return time.monotonic() - begun
            time.sleep(0.05)
    raise RuntimeError(f"no round was done: {log.read_text()}")


if __name__ == "__main__":
    run_as_command(quickstart, __doc__)
