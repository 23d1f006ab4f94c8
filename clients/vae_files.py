"""A site's VAE and its samples on the site's own disk, and a training that is under way.

Two generations are kept, each under the round that made it; so a server that goes back a round
after a crash finds what the site trained on then. What was made for other images, labels or
settings is refused. Nothing of it ever leaves the site.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedcxr.atomic import write_bytes_atomically
from fedcxr.errors import ArtefactError, some
from fedcxr.tensor_file import read_tensor_file, write_tensor_file
from fedcxr.training.vae import VaeEpoch, VaeProgress, VaeTerms

KEPT_GENERATIONS = 2
SHEET = "vae-sheet.png"

_TRAINING = "vae-training.safetensors"


@dataclass(frozen=True, slots=True)
class VaeKey:
    """What a VAE and its samples were made for."""

    labels: tuple[str, ...]
    digest: str
    """Of the site's images and targets, the settings and the seed."""
    given: str = ""
    """Of the model that the site was given then; empty where it makes no difference."""


@dataclass(frozen=True, slots=True)
class KeptVae:
    """One generation."""

    made_in: int
    """The round before whose training it was made."""
    key: VaeKey
    numbers: Mapping[str, float]
    """What is said of it, by wire key."""
    samples: NDArray[np.uint8]
    """(S, H, H), a memory map; S = 0 where the site goes without."""
    target: NDArray[np.float32]
    """(S, L)."""
    weights: Mapping[str, Tensor]
    """Of the VAE; empty where there is none."""


@dataclass(frozen=True, slots=True)
class VaeFiles:
    """The files of one site and run."""

    folder: Path

    def find(self, key: VaeKey, *, since: int, round_num: int) -> KeptVae | None:
        """Return the newest generation of the rounds from `since` to this one, None if none is.

        One of this very round counts only if the site was given the same model.

        Raises:
            ArtefactError: it is damaged, or of other labels, images or settings.
        """
        for made_in in reversed(self._generations()):
            if not since <= made_in <= round_num:
                continue
            kept = self._read(made_in)
            _check_key(self.folder, kept.key, key)
            if made_in < round_num or kept.key.given == key.given:
                return kept
        return None

    def newest(self) -> KeptVae | None:
        """Return the newest generation, whatever it was made for; None if there is none.

        Raises:
            ArtefactError: it is damaged.
        """
        made_in = max(self._generations(), default=None)
        return None if made_in is None else self._read(made_in)

    def write(self, kept: KeptVae) -> None:
        """Keep a generation, and drop all but the newest two of this round and those before."""
        buffer = BytesIO()
        np.lib.format.write_array(buffer, np.ascontiguousarray(kept.samples), allow_pickle=False)
        samples = buffer.getvalue()
        write_bytes_atomically(self._samples(kept.made_in), samples)
        about = {
            "made_in": str(kept.made_in),
            "key": json.dumps(asdict(kept.key)),
            "numbers": json.dumps(dict(kept.numbers), sort_keys=True),
            "samples": hashlib.sha256(samples).hexdigest(),
        }
        weights = {f"vae.{name}": tensor for name, tensor in kept.weights.items()}
        tensors = {**weights, "target": torch.from_numpy(kept.target)}
        about["sha256"] = _digest(tensors, about)
        write_tensor_file(self._record(kept.made_in), tensors, about)
        (self.folder / _TRAINING).unlink(missing_ok=True)
        generations = self._generations()
        newest = [number for number in generations if number <= kept.made_in][-KEPT_GENERATIONS:]
        for number in set(generations) - set(newest):
            self._record(number).unlink(missing_ok=True)
            self._samples(number).unlink(missing_ok=True)

    def read_progress(self, key: VaeKey) -> VaeProgress | None:
        """Return the training under way for this key, None if there is none."""
        file = self.folder / _TRAINING
        if not file.is_file():
            return None
        tensors, about = read_tensor_file(file)
        if about.get("sha256") != _digest(tensors, _without_digest(about)):
            raise ArtefactError(f"{file}: damaged. Delete it to train the site's VAE anew.")
        if about["key"] != json.dumps(asdict(key)):
            return None
        parts: dict[str, dict[str, Tensor]] = {"weights": {}, "best": {}, "adam": {}}
        for name, tensor in tensors.items():
            part, _, own = name.partition(".")
            parts[part][own] = tensor
        history = tuple(_epoch(row) for row in json.loads(about["history"]))
        best = int(about["best_epoch"])
        return VaeProgress(history, best, parts["weights"], parts["best"], parts["adam"])

    def write_progress(self, key: VaeKey, progress: VaeProgress) -> None:
        """Keep a training under way."""
        parts = {
            "weights": progress.weights,
            "best": progress.best_weights,
            "adam": progress.optimizer,
        }
        # Safetensors refuses two names for one tensor, as where the newest epoch is the best.
        tensors = {
            f"{part}.{name}": tensor.clone()
            for part, named in parts.items()
            for name, tensor in named.items()
        }
        about = {
            "key": json.dumps(asdict(key)),
            "history": json.dumps([asdict(epoch) for epoch in progress.history]),
            "best_epoch": str(progress.best_epoch),
        }
        about["sha256"] = _digest(tensors, about)
        write_tensor_file(self.folder / _TRAINING, tensors, about)

    def _generations(self) -> list[int]:
        names = (
            re.fullmatch(r"vae-(\d+)\.safetensors", file.name) for file in self.folder.glob("vae-*")
        )
        return sorted(int(name[1]) for name in names if name)

    def _record(self, made_in: int) -> Path:
        return self.folder / f"vae-{made_in:05d}.safetensors"

    def _samples(self, made_in: int) -> Path:
        return self.folder / f"vae-samples-{made_in:05d}.npy"

    def _read(self, made_in: int) -> KeptVae:
        file = self._record(made_in)
        tensors, about = read_tensor_file(file)
        if about.get("sha256") != _digest(tensors, _without_digest(about)):
            raise ArtefactError(
                f"{file}: the sha256 is not the one it was written with: damaged. Delete it to "
                "make the site's VAE anew."
            )
        samples = self._samples(made_in)
        if (
            not samples.is_file()
            or _sha256(samples, samples.stat().st_mtime_ns) != about["samples"]
        ):
            raise ArtefactError(
                f"{samples}: missing or damaged. Delete {file} to make the site's VAE anew."
            )
        key = json.loads(about["key"])
        return KeptVae(
            int(about["made_in"]),
            VaeKey(tuple(key["labels"]), key["digest"], key["given"]),
            json.loads(about["numbers"]),
            np.load(samples, mmap_mode="r", allow_pickle=False),
            tensors["target"].numpy(),
            {n.removeprefix("vae."): t for n, t in tensors.items() if n.startswith("vae.")},
        )


def _check_key(folder: Path, kept: VaeKey, now: VaeKey) -> None:
    if kept.labels != now.labels:
        raise ArtefactError(
            f"{folder}: the VAE there was made for the labels {some(list(kept.labels), 14)}, and "
            f"this run has {some(list(now.labels), 14)}. Start the run anew."
        )
    if kept.digest != now.digest:
        raise ArtefactError(
            f"{folder}: the VAE there was made for other images, targets or settings than the "
            "site has now. Give the site back its data, or start the run anew."
        )


@lru_cache(maxsize=256)
def _sha256(file: Path, mtime_ns: int) -> str:
    """Return a file's digest, read once for each process as long as it is not written anew."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _without_digest(about: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in about.items() if name != "sha256"}


def _digest(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> str:
    parts: Sequence[object] = [
        [name, str(tensor.dtype), list(tensor.shape), hashlib.sha256(_bytes(tensor)).hexdigest()]
        for name, tensor in sorted(tensors.items())
    ]
    return hashlib.sha256(json.dumps([parts, dict(sorted(about.items()))]).encode()).hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.contiguous().numpy().tobytes()


def _epoch(row: Mapping[str, dict[str, float] | int | None]) -> VaeEpoch:
    """Return what `asdict` made of an epoch."""
    terms = {
        name: VaeTerms(**part) if isinstance(part := row[name], dict) else None
        for name in ("train", "val")
    }
    number, train = row["epoch"], terms["train"]
    assert isinstance(number, int)
    assert train is not None
    return VaeEpoch(number, train, terms["val"])
