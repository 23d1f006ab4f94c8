"""The work through pfl-research's simulation; README.md says what was chosen and why.

    build/vs/pfl/bin/python benchmarks/vs/pfl/run.py --workload DIR --json FILE

`train.py` is the script that torchrun starts once a core.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = str(HERE.parents[2])
sys.path.insert(1, ROOT)  # before what is installed: Opacus has a `benchmarks`, too

from benchmarks.vs import bounded  # noqa: E402  (found through the line above)


def run(workload: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run the simulation; return what it took and reached."""
    cores = len(os.sched_getaffinity(0))
    processes = min(cores, workload["clients"])
    environment = {
        **os.environ,
        "PYTHONPATH": ROOT,
        "OMP_NUM_THREADS": str(cores // processes),
        "PFL_PYTORCH_DEVICE": "cpu",
        "GLOO_SOCKET_IFNAME": "lo",  # both ranks are here, whatever the host's name resolves to
    }
    script = [str(HERE / "train.py"), workload["folder"], str(folder)]
    command = [sys.executable, *script]
    if processes > 1:
        torchrun = ["torch.distributed.run", "--standalone", "--nnodes=1"]
        command = [sys.executable, "-m", *torchrun, f"--nproc_per_node={processes}", *script]
    with bounded.quiet(folder / "log.txt"):
        code = subprocess.Popen(command, cwd=folder, env=environment).wait()
        if code:
            raise bounded.PeerError(f"the simulation ended with code {code}.")
    return dict(json.loads((folder / "result.json").read_text(encoding="utf-8")))


if __name__ == "__main__":
    bounded.main("pfl", run)
