"""Where fedcxr keeps what outlives a run: caches, synthetic data, probes, the patient key.

Not under `~/.cache`, which people empty: without the patient key no partition can be used again.
"""

import os
from pathlib import Path


def home_folder() -> Path:
    """Return the folder of `FEDCXR_HOME`, or `~/.fedcxr`; it may not exist yet."""
    return Path(os.environ.get("FEDCXR_HOME") or Path.home() / ".fedcxr")
