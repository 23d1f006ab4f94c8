"""The names of the files in a run's `checkpoints/`; what is in them, `saved_model.py` reads."""

import re
from pathlib import Path


def checkpoint_file(folder: Path, round_num: int) -> Path:
    """Return the file of a round's checkpoint."""
    return folder / f"round-{round_num:05d}.safetensors"


def checkpoint_rounds(folder: Path) -> list[int]:
    """Return the rounds that have a checkpoint, in order."""
    names = (re.fullmatch(r"round-(\d+)\.safetensors", p.name) for p in folder.glob("round-*"))
    return sorted(int(name[1]) for name in names if name)
