"""The work through NVIDIA FLARE's simulator; README.md says what was chosen and why.

    build/vs/nvflare/bin/python benchmarks/vs/nvflare/run.py --workload DIR --json FILE

`job.py` holds the job, `client.py` what a client does.
"""

import os
import sys
from pathlib import Path
from typing import Any

ROOT = str(Path(__file__).resolve().parents[3])
sys.path.insert(1, ROOT)  # before what is installed: Opacus has a `benchmarks`, too

from benchmarks.vs import bounded  # noqa: E402  (found through the line above)


def run(workload: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run the job; return what it took and reached."""
    os.environ["PYTHONPATH"] = ROOT  # of the simulator and its workers
    os.environ["TMPDIR"] = str(folder)
    # Two clients and more share the cores, a thread each; one alone has all.
    cores = len(os.sched_getaffinity(0))
    os.environ["OMP_NUM_THREADS"] = str(max(1, cores // workload["clients"]))
    with bounded.quiet(folder / "log.txt"):
        import job  # torch and nvflare, which `--help` must do without

        return job.run(workload, folder)


if __name__ == "__main__":
    bounded.main("nvflare", run)
