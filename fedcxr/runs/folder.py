"""A run folder and the files in it.

```
<time>-<name>/  manifest.json  config.yaml  partition/  rounds.jsonl  events.jsonl
                checkpoints/  predictions.npz  summary.json  gradcam/  report.html
```
Whole files are replaced atomically; logs are appended a line at a time, and a last line that was
cut off by a crash is dropped when they are read.
"""

import contextlib
import fcntl
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from fedcxr.atomic import write_text_atomically
from fedcxr.errors import ArtefactError

_LOCK_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run."""

    path: Path

    @classmethod
    def create(cls, runs_dir: Path, name: str) -> "RunFolder":
        """Return a new, empty folder named by the time and `name`."""
        return cls.at(new_folder(runs_dir, name))

    @classmethod
    def at(cls, path: Path) -> "RunFolder":
        """Return the folder `path`, made ready for a run."""
        for part in ("checkpoints", "gradcam"):
            (path / part).mkdir(parents=True)
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Return an existing run's folder; `ArtefactError` if it is none."""
        if not (path / "manifest.json").is_file():
            raise ArtefactError(
                f"{path}: not a run folder (no manifest.json). "
                "Give the folder that `fedcxr simulate` printed."
            )
        return cls(path)

    @property
    def name(self) -> str:
        """The folder's own name, unique under its runs folder."""
        return self.path.name

    @contextlib.contextmanager
    def lock(self, wait_s: float = 0.0) -> Iterator[None]:
        """Hold the folder, so that no second process writes into it.

        Args:
            wait_s: longest wait for a process that holds it.

        Raises:
            ArtefactError: another process holds it.
        """
        end = time.monotonic() + wait_s
        with (self.path / ".lock").open("w") as file:
            while not _taken(file):
                if time.monotonic() >= end:
                    raise ArtefactError(
                        f"{self.path}: another process is writing this run. Wait for it or stop it."
                    )
                time.sleep(_LOCK_POLL_S)
            yield

    def read_json(self, file: str) -> dict[str, Any]:
        """Return a JSON file of the folder; `ArtefactError` if missing or damaged."""
        try:
            tree = json.loads((self.path / file).read_text("utf-8"))
        except FileNotFoundError as err:
            raise ArtefactError(
                f"{self.path / file}: missing. Finish the run first: `fedcxr resume`."
            ) from err
        except (json.JSONDecodeError, UnicodeDecodeError) as err:
            raise ArtefactError(
                f"{self.path / file}: not JSON ({err}). The file was changed after the run."
            ) from err
        if not isinstance(tree, dict):
            raise ArtefactError(f"{self.path / file}: expected a JSON object.")
        return tree

    def write_json(self, file: str, tree: dict[str, Any]) -> None:
        """Write a JSON file whole; numbers that are not finite become null."""
        text = json.dumps(_finite(tree), indent=2, ensure_ascii=False, allow_nan=False)
        write_text_atomically(self.path / file, text + "\n")

    def update_manifest(self, **fields: object) -> None:
        """Change some fields of the manifest."""
        self.write_json("manifest.json", {**self.read_json("manifest.json"), **fields})

    def append(self, file: str, line: dict[str, Any]) -> None:
        """Append one JSON line and have it on disk before returning."""
        text = json.dumps(_finite(line), ensure_ascii=False, allow_nan=False) + "\n"
        with (self.path / file).open("a", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())

    def event(self, kind: str, **fields: object) -> None:
        """Append to the event log, which the progress display follows; not synced to disk."""
        line = json.dumps(_finite({"event": kind, "time": time.time(), **fields}))
        with (self.path / "events.jsonl").open("a", encoding="utf-8") as out:
            out.write(line + "\n")

    def read_lines(self, file: str) -> list[dict[str, Any]]:
        """Return the whole lines of a log, empty if it is not there."""
        path = self.path / file
        if not path.is_file():
            return []
        # As bytes: text would also be split at U+2028 and the like, which a site's reason may hold.
        data = path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        return [json.loads(line) for line in whole.splitlines()]

    def replace_lines(self, file: str, lines: list[dict[str, Any]]) -> None:
        """Write a log anew, whole."""
        text = "".join(json.dumps(_finite(line), ensure_ascii=False) + "\n" for line in lines)
        write_text_atomically(self.path / file, text)


def new_folder(runs_dir: Path, name: str) -> Path:
    """Return a new folder named by the time and `name`.

    Raises:
        ArtefactError: there are a thousand of that name.
    """
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{name}"
    for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
        path = runs_dir / (stem + suffix)
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return path
    raise ArtefactError(f"{runs_dir}: too many runs named {stem}. Choose another --name.")


def _taken(file: IO[str]) -> bool:
    """Return whether an open file could be locked; it is free again once closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _finite(value: object) -> object:
    """Return `value` with every float that JSON cannot hold as None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
