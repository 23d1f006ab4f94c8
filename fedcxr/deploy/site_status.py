"""What a connected client is doing, as its own processes have noted it (`clients/activity.py`)."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Connected:
    """The client is connected."""

    site: str
    since: float
    """Seconds since the epoch."""
    run: str = ""
    """The last one that it had an order of; empty = none since it connected."""
    round_num: int = 0
    """0 = before training."""
    doing: str = ""
    """Empty = it waits for an order."""
    doing_since: float = 0.0


def read_status(file: Path, site: str, since: float) -> Connected:
    """Return what a client does that is connected since a time; older notes are another start's."""
    try:
        note = json.loads(file.read_bytes())
        begun = float(note["since"])
        found = Connected(site, since, str(note["run"]), int(note["round"]), note["doing"], begun)
    except (OSError, ValueError, KeyError, TypeError):
        return Connected(site, since)
    return found if begun >= since else Connected(site, since)
