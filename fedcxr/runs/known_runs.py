"""The runs that a home folder knows of: `runs.jsonl` in it, a line for each.

Run folders lie anywhere; caches, site logs and the state of Flower's sites lie in the home folder.
`fedcxr clean` tells by these lines which of them no run needs any more.
"""

import json
import logging
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fedcxr.atomic import append_line
from fedcxr.home import home_folder
from fedcxr.runs.folder import RunFolder

REGISTRY = "runs.jsonl"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KnownRun:
    """A run that was begun; its folder may be gone."""

    folder: str
    """Absolute."""
    cache_digest: str
    partition_digest: str
    created: str
    """ISO 8601 with the zone."""
    flower_run_id: str | None = None
    """Of a run by `flwr run`, whose sites keep their state in the home folder under it."""

    @property
    def path(self) -> Path:
        """The run folder."""
        return Path(self.folder)


def register_run(run: RunFolder, *, flower_run_id: str | None = None) -> None:
    """Note a run whose manifest is written, in the home folder.

    Where that cannot be written the run goes on: it is not worth less for it.
    """
    manifest = run.read_json("manifest.json")
    known = KnownRun(
        folder=str(run.path.absolute()),
        cache_digest=manifest["cache_digest"],
        partition_digest=manifest["partition_digest"],
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        flower_run_id=flower_run_id,
    )
    file = home_folder() / REGISTRY
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        append_line(file, json.dumps(asdict(known)), sync=False)
    except OSError as err:
        _log.warning("%s: this run is not noted: %s", file, err)


def known_runs() -> list[KnownRun]:
    """Return the runs of the home folder, in their order; lines that are none are passed over."""
    try:
        lines = (home_folder() / REGISTRY).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [run for line in lines if (run := _parse(line)) is not None]


def _parse(line: bytes) -> KnownRun | None:
    try:
        tree: dict[str, Any] = json.loads(line)
        return KnownRun(**{name: tree[name] for name in KnownRun.__dataclass_fields__})
    except (ValueError, TypeError, KeyError):
        return None
