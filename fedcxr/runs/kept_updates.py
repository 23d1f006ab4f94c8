"""The models that a server saw, where a run keeps them: those it gave, and the sites' own.

    updates/round-00001/given.safetensors     the model that the sites were given
    updates/round-00001/site-00.safetensors   the same with the site's update added

They are what an attacker at the server has; a run without `server.keep_updates` has none.
"""

import re
from pathlib import Path

UPDATES = "updates"


def given_file(run: Path, round_num: int) -> Path:
    """Return the file of the model that a round began with."""
    return _folder(run, round_num) / "given.safetensors"


def update_file(run: Path, round_num: int, site_id: str) -> Path:
    """Return the file of a site's model after its training in a round."""
    return _folder(run, round_num) / f"{site_id}.safetensors"


def kept_rounds(run: Path) -> list[int]:
    """Return the rounds of which there are models, in order."""
    names = (re.fullmatch(r"round-(\d+)", p.name) for p in (run / UPDATES).glob("round-*"))
    return sorted(int(name[1]) for name in names if name)


def _folder(run: Path, round_num: int) -> Path:
    return run / UPDATES / f"round-{round_num:05d}"
