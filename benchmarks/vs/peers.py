"""The peers' environments, and the commands that run in them."""

import os
import sys
import tempfile
from pathlib import Path

from benchmarks.processes import finish, started

ROOT = Path(__file__).resolve().parents[2]
LONGEST_SETUP_S = 1800.0
PEER_PYTHON = "FEDCXR_PEER_PYTHON"
"""Environment variable: a Python that has Flower, PyTorch and the rest already."""


def peer_command(peer: str, *words: str) -> list[str]:
    """Return the command line of a peer's `run.py WORDS`; its environment is made if need be.

    Raises:
        RuntimeError: the set-up failed; holds the end of what it said.
    """
    run = ROOT / "benchmarks" / "vs" / peer / "run.py"
    return ["env", f"PYTHONPATH={ROOT}", str(peer_python(peer)), str(run), *words]


def peer_python(peer: str) -> Path:
    """Return the Python of a peer's environment, which its `setup.sh` makes or leaves as it is.

    Raises:
        RuntimeError: the set-up failed; holds the end of what it said.
    """
    named = os.environ.get(PEER_PYTHON)
    if peer == "flower" and named:
        return Path(named)
    script = ROOT / "benchmarks" / "vs" / peer / "setup.sh"
    with tempfile.TemporaryDirectory(prefix="fedcxr-setup-") as folder:
        home, log = Path(folder), Path(folder) / "log.txt"
        with started(["env", f"PYTHON={sys.executable}", str(script)], home, log) as process:
            finish(process, log, LONGEST_SETUP_S)
    return ROOT / "build" / "vs" / peer / "bin" / "python"
