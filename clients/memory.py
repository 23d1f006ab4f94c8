"""What a site keeps between rounds, two generations of each kind, and never sends.

Kinds are its private parameters (batch-norm statistics of its own), what its updates have lost in
a codec, the optimiser's state, and what the algorithm keeps. Each is written after the round that
made it, under that round's number; an order for round r starts from the newest generation before r,
so a server that goes back a round after a crash finds the right one.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from fedcxr.errors import ArtefactError, DivergedError
from fedcxr.tensor_file import read_tensor_file, write_tensor_file
from fedcxr.vectors import Vectors

KEPT_GENERATIONS = 2

PRIVATE = "private"
ALGORITHM = "algorithm"


@dataclass(frozen=True, slots=True)
class SiteMemory:
    """One site's memory of one run, as an order for one round sees it."""

    folder: Path
    """The run's own, below the site's state folder."""
    round_num: int
    last_round: int = 0
    """The newest round that the server has of the site: kept is that one or a later one."""

    def read(self, kind: str) -> Vectors | None:
        """Return what was kept in the newest round before this one; None if nothing ever was.

        Raises:
            ArtefactError: later rounds only were kept: the server went back further than two
                rounds; what was kept is gone, or older than what the server has; or the file is
                damaged.
        """
        kept = self._generations(kind)
        before = [number for number in kept if number < self.round_num]
        if kept and not before and kept != [self.round_num]:
            raise ArtefactError(
                f"{self.folder}: kept from rounds {kept}, none from before round "
                f"{self.round_num}. The server went back too far; start the run anew."
            )
        newest = max(before, default=0)
        if newest < self.last_round:
            raise ArtefactError(
                f"{self.folder}: what this site kept of round {self.last_round} ({kind}) is gone, "
                "so it cannot go on as if nothing had happened. Put the folder back, or start the "
                "run anew."
            )
        return _read(self._file(kind, newest)) if before else None

    def write(self, kind: str, vectors: Vectors) -> None:
        """Keep vectors as this round's, atomically, and drop all but the newest two generations.

        Later ones are of a history that the server has left, and go as well.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(self._file(kind, self.round_num), vectors)
        generations = self._generations(kind)
        kept = [number for number in generations if number <= self.round_num]
        for number in set(generations) - set(kept[-KEPT_GENERATIONS:]):
            self._file(kind, number).unlink(missing_ok=True)

    def _generations(self, kind: str) -> list[int]:
        files = self.folder.glob(f"{kind}-*")
        names = (re.fullmatch(rf"{kind}-(\d+)\.safetensors", file.name) for file in files)
        return sorted(int(name[1]) for name in names if name)

    def _file(self, kind: str, round_num: int) -> Path:
        return self.folder / f"{kind}-{round_num:05d}.safetensors"


@dataclass(frozen=True, slots=True)
class StagedMemory:
    """A site's memory in which nothing is written before the answer has passed the door."""

    memory: SiteMemory
    _staged: dict[str, Vectors] = field(default_factory=dict)

    def read(self, kind: str) -> Vectors | None:
        """Return what was kept before this round."""
        return self.memory.read(kind)

    def write(self, kind: str, vectors: Vectors) -> None:
        """Have vectors kept at `commit`."""
        self._staged[kind] = vectors

    def commit(self) -> None:
        """Keep what was staged; if a number is not finite nothing, and raise `DivergedError`."""
        for vectors in self._staged.values():
            floats = [vector for vector in vectors.values() if vector.dtype.kind == "f"]
            if not all(np.isfinite(vector).all() for vector in floats):
                raise DivergedError("what the site would keep is not finite")
        for kind, vectors in self._staged.items():
            self.memory.write(kind, vectors)


def memory_of(state: Path, run: str, round_num: int, last_round: int = 0) -> SiteMemory:
    """Return a site's memory for an order.

    Args:
        state: the site's state folder.
        run: the run's name.
        round_num: the order's.
        last_round: the order's.
    """
    return SiteMemory(state / run, round_num, last_round)


def _write(file: Path, vectors: Vectors) -> None:
    tensors = {n: torch.from_numpy(np.ascontiguousarray(v)) for n, v in vectors.items()}
    write_tensor_file(file, tensors, {"sha256": _digest(vectors)})


def _read(file: Path) -> Vectors:
    tensors, metadata = read_tensor_file(file)
    vectors = {name: tensor.numpy() for name, tensor in tensors.items()}
    if metadata.get("sha256") != _digest(vectors):
        raise ArtefactError(
            f"{file}: the sha256 is not the one it was written with: damaged. Start the run anew."
        )
    return vectors


def _digest(vectors: Vectors) -> str:
    parts = [
        [name, vector.dtype.str, hashlib.sha256(np.ascontiguousarray(vector).data).hexdigest()]
        for name, vector in sorted(vectors.items())
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
