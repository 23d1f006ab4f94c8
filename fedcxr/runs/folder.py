"""A run folder and the files in it.

```
<time>-<name>/  manifest.json  config.yaml  partition/  rounds.jsonl  events.jsonl
                checkpoints/  predictions.npz  summary.json  gradcam/  report.html
```
Whole files are replaced atomically; logs are appended a line at a time, and a last line that was
cut off by a crash is dropped when they are read.
"""

import contextlib
import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fedcxr.atomic import append_line, write_text_atomically
from fedcxr.errors import ArtefactError
from fedcxr.filenames import in_json
from fedcxr.locks import take_lock
from fedcxr.storage import writing

LOCK_FILE = ".lock"

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
        with writing(path):
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
            ArtefactError: another process holds it, or the disk knows no locks.
            StorageError: the folder cannot be written.
        """
        end = time.monotonic() + wait_s
        with writing(self.path):
            file = (self.path / LOCK_FILE).open("w")
        with file:
            while not take_lock(file.fileno(), self.path):
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
        write_text_atomically(self.path / file, _json(tree, indent=2) + "\n")

    def update_manifest(self, **fields: object) -> None:
        """Change some fields of the manifest."""
        self.write_json("manifest.json", {**self.read_json("manifest.json"), **fields})

    def append(self, file: str, line: dict[str, Any]) -> None:
        """Append one JSON line and have it on disk before returning."""
        append_line(self.path / file, _json(line), sync=True)

    def event(self, kind: str, **fields: object) -> None:
        """Append to the event log, which the progress display follows; not synced to disk."""
        line = _json({"event": kind, "time": time.time(), **fields})
        append_line(self.path / "events.jsonl", line, sync=False)

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
        write_text_atomically(self.path / file, "".join(_json(line) + "\n" for line in lines))


def new_folder(runs_dir: Path, name: str) -> Path:
    """Return a new folder named by the time and `name`.

    Raises:
        ArtefactError: there are a thousand of that name.
    """
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{name}"
    for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
        path = runs_dir / (stem + suffix)
        with contextlib.suppress(FileExistsError), writing(path):
            path.mkdir(parents=True)
            return path
    raise ArtefactError(f"{runs_dir}: too many runs named {stem}. Choose another --name.")


def _json(tree: Mapping[str, Any], indent: int | None = None) -> str:
    """Return JSON that UTF-8 can hold, whatever file names are in it."""
    return in_json(json.dumps(_finite(tree), indent=indent, ensure_ascii=False, allow_nan=False))


def _finite(value: object) -> object:
    """Return `value` with every float that JSON cannot hold as None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
