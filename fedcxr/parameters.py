"""A model's state as one flat float32 vector and a small integer one.

The vector has two segments, `trainable | float buffers`; integer buffers (batch-norm counters) stay
integers in `counters`. Both sides derive the same `ParameterSpec` from the model's config. One
vector makes what follows one line: check for finite values, add to a mean, clip, hash, send.
The order is canonical (NCHW) whatever the model's memory layout: values are copied at the door.
"""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedcxr.errors import ArtefactError, some
from fedcxr.tensor_file import read_tensor_file, write_tensor_file

Kind = Literal["trainable", "buffer", "counter"]

FORMAT = "fedcxr-parameters-1"
_BESIDE = "beside."


@dataclass(frozen=True, slots=True, eq=False)
class Parameters:
    """The values of a model's state; compare by `sha256()`."""

    vector: NDArray[np.float32] = field(repr=False)
    """(P,) trainable, then float buffers."""
    counters: NDArray[np.int64] = field(repr=False)
    """(C,) integer buffers."""

    def sha256(self) -> str:
        """Return the digest over both, as little-endian bytes."""
        sha = hashlib.sha256(np.ascontiguousarray(self.vector, dtype="<f4").data)
        sha.update(np.ascontiguousarray(self.counters, dtype="<i8").data)
        return sha.hexdigest()


@dataclass(frozen=True)  # no slots: cached_property keeps its value in the instance
class ParameterSpec:
    """Where each tensor lies: trainable ones first, then float buffers, then counters."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    kinds: tuple[Kind, ...]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The number of values of each tensor."""
        return tuple(prod(shape) for shape in self.shapes)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Where each tensor starts: in the vector, or for a counter in the counters."""
        floats = self._count("trainable", "buffer")
        starts = (0, *accumulate(self.sizes))[:-1]
        return tuple(
            start - floats if kind == "counter" else start
            for start, kind in zip(starts, self.kinds, strict=True)
        )

    @cached_property
    def num_trainable(self) -> int:
        """Length of the trainable segment."""
        return self._count("trainable")

    @cached_property
    def num_float(self) -> int:
        """Length of the vector: trainable and float buffers."""
        return self._count("trainable", "buffer")

    @cached_property
    def num_counters(self) -> int:
        """Length of the counters."""
        return self._count("counter")

    @cached_property
    def variance_slices(self) -> tuple[slice, ...]:
        """Where batch-norm variances lie in the vector; none of them may be negative."""
        return tuple(
            slice(offset, offset + size)
            for name, offset, size in zip(self.names, self.offsets, self.sizes, strict=True)
            if name.endswith("running_var")
        )

    @cached_property
    def digest(self) -> str:
        """The sha256 of `to_json()`: equal where and only where the layout is."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def tensor_at(self, index: int) -> str:
        """Return the name of the tensor that holds position `index` of the vector."""
        if not 0 <= index < self.num_float:
            raise IndexError(f"position {index} of a vector of {self.num_float}")
        num_tensors = sum(kind != "counter" for kind in self.kinds)
        return self.names[bisect_right(self.offsets[:num_tensors], index) - 1]

    def to_json(self) -> str:
        """Return the canonical JSON: `[[name, shape, dtype, kind], …]`."""
        rows = [
            [name, list(shape), "int64" if kind == "counter" else "float32", kind]
            for name, shape, kind in zip(self.names, self.shapes, self.kinds, strict=True)
        ]
        return json.dumps(rows, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "ParameterSpec":
        """Return the spec that `to_json` wrote."""
        rows = json.loads(text)
        return cls(
            names=tuple(row[0] for row in rows),
            shapes=tuple(tuple(row[1]) for row in rows),
            kinds=tuple(row[3] for row in rows),
        )

    def _count(self, *kinds: Kind) -> int:
        return sum(s for s, kind in zip(self.sizes, self.kinds, strict=True) if kind in kinds)


def spec_of(model: nn.Module) -> ParameterSpec:
    """Return the layout of a model's state, in the order of its own definition."""
    tensors = _ordered(model)
    return ParameterSpec(
        names=tuple(name for name, _, _ in tensors),
        shapes=tuple(tuple(tensor.shape) for _, tensor, _ in tensors),
        kinds=tuple(kind for _, _, kind in tensors),
    )


def extract(model: nn.Module, spec: ParameterSpec) -> Parameters:
    """Return a copy of the model's state, on the CPU and in canonical order."""
    floats, counters = _split(model, spec)
    # reshape reads in logical (NCHW) order, so channels_last tensors come out canonical
    vector = torch.cat([tensor.reshape(-1) for tensor in floats])
    integers = [tensor.reshape(-1) for tensor in counters]
    return Parameters(
        vector=vector.cpu().numpy(),
        counters=torch.cat(integers).cpu().numpy() if integers else np.zeros(0, dtype=np.int64),
    )


def load_into(model: nn.Module, spec: ParameterSpec, parameters: Parameters) -> None:
    """Overwrite the whole state of `model` in place, keeping its device and memory layout.

    Raises:
        ArtefactError: the parameters have another length or dtype than the spec.
    """
    check_fits(parameters, spec)
    floats, counters = _split(model, spec)
    _copy(parameters.vector, floats)
    _copy(parameters.counters, counters)


def check_fits(parameters: Parameters, spec: ParameterSpec) -> None:
    """Raise ArtefactError unless lengths and dtypes are those of the spec."""
    for what, array, dtype, length in (
        ("vector", parameters.vector, np.float32, spec.num_float),
        ("counters", parameters.counters, np.int64, spec.num_counters),
    ):
        if array.dtype != dtype or array.shape != (length,):
            raise ArtefactError(
                f"parameters: {what} is {array.dtype} {array.shape}, the model needs "
                f"{np.dtype(dtype)} ({length},). They are of another model or label list."
            )


def save_parameters(
    path: Path,
    parameters: Parameters,
    spec: ParameterSpec,
    metadata: dict[str, str],
    vectors: Mapping[str, NDArray[np.float32]] | None = None,
) -> None:
    """Write parameters, their spec and the caller's metadata as safetensors, atomically.

    Args:
        path: the file; its folder is made.
        parameters: what `extract` returned.
        spec: their layout.
        metadata: anything to keep beside them; keys starting with `fedcxr.` are reserved.
        vectors: other vectors to keep beside them, by name.
    """
    check_fits(parameters, spec)
    vectors = vectors or {}
    kept = {**metadata, "fedcxr.format": FORMAT, "fedcxr.spec": spec.to_json()}
    arrays = {"vector": parameters.vector, "counters": parameters.counters} | {
        _BESIDE + name: vector for name, vector in vectors.items()
    }
    tensors = {n: torch.from_numpy(np.ascontiguousarray(a)) for n, a in arrays.items()}
    digest = _file_digest(parameters, kept, vectors)
    write_tensor_file(path, tensors, {**kept, "fedcxr.sha256": digest})


def load_parameters(path: Path) -> tuple[Parameters, dict[str, str]]:
    """Return what `save_parameters` wrote, its metadata with the `fedcxr.` keys among them.

    Raises:
        ArtefactError: not safetensors, not written by fedcxr, truncated, or changed since.
    """
    parameters, metadata, _ = load_with_vectors(path)
    return parameters, metadata


def load_with_vectors(
    path: Path,
) -> tuple[Parameters, dict[str, str], dict[str, NDArray[np.float32]]]:
    """Return what `load_parameters` does, and the vectors kept beside the parameters by name."""
    tensors, metadata = read_tensor_file(path)
    if metadata.get("fedcxr.format") != FORMAT:
        raise ArtefactError(
            f"{path}: safetensors, but not a fedcxr checkpoint (fedcxr.format is not {FORMAT}). "
            f"Name a file of a run's checkpoints/ folder."
        )
    try:
        parameters = Parameters(tensors["vector"].numpy(), tensors["counters"].numpy())
        check_fits(parameters, ParameterSpec.from_json(metadata["fedcxr.spec"]))
    except (KeyError, ValueError, IndexError, TypeError) as err:
        raise ArtefactError(f"{path}: damaged checkpoint. Use an earlier one.") from err
    beside = {
        n.removeprefix(_BESIDE): t.numpy() for n, t in tensors.items() if n.startswith(_BESIDE)
    }
    kept = {key: value for key, value in metadata.items() if key != "fedcxr.sha256"}
    if metadata.get("fedcxr.sha256") != _file_digest(parameters, kept, beside):
        raise ArtefactError(
            f"{path}: the sha256 is not the one it was written with: damaged. Use an earlier one."
        )
    return parameters, metadata, beside


def describe_difference(ours: ParameterSpec, theirs: ParameterSpec) -> str:
    """Return in words what `theirs` has, lacks or shapes otherwise than `ours`; empty if equal."""
    mine = dict(zip(ours.names, ours.shapes, strict=True))
    other = dict(zip(theirs.names, theirs.shapes, strict=True))
    found = [f"{name} is missing" for name in mine if name not in other]
    found += [f"{name} is unknown" for name in other if name not in mine]
    found += [
        f"{name} is {list(other[name])}, expected {list(shape)}"
        for name, shape in mine.items()
        if name in other and other[name] != shape
    ]
    if not found and ours != theirs:
        found = ["the order or kind of the tensors differs"]
    return some(found, limit=5)


def _file_digest(
    parameters: Parameters, metadata: dict[str, str], vectors: Mapping[str, NDArray[np.float32]]
) -> str:
    """Return the digest of values and metadata together, so that neither can change unseen."""
    text = json.dumps(metadata, sort_keys=True) + parameters.sha256()
    for name, vector in sorted(vectors.items()):
        text += name + hashlib.sha256(np.ascontiguousarray(vector).data).hexdigest()
    return hashlib.sha256(text.encode()).hexdigest()


def _ordered(model: nn.Module) -> list[tuple[str, Tensor, Kind]]:
    """Return name, tensor and kind: trainable, then float buffers, then integer ones."""
    trainable = dict(model.named_parameters())
    buffers = {
        name: tensor
        for name, tensor in model.state_dict(keep_vars=True).items()
        if name not in trainable
    }
    rows: list[tuple[str, Tensor, Kind]] = [(n, t, "trainable") for n, t in trainable.items()]
    rows += [(n, t, "buffer") for n, t in buffers.items() if t.is_floating_point()]
    rows += [(n, t, "counter") for n, t in buffers.items() if not t.is_floating_point()]
    return rows


def _split(model: nn.Module, spec: ParameterSpec) -> tuple[list[Tensor], list[Tensor]]:
    """Return the model's live tensors, floats and counters, in the spec's order."""
    tensors = dict(model.state_dict())  # detached, but sharing memory with the model
    floats = [tensors[n] for n, k in zip(spec.names, spec.kinds, strict=True) if k != "counter"]
    counters = [tensors[n] for n, k in zip(spec.names, spec.kinds, strict=True) if k == "counter"]
    return floats, counters


def _copy(flat: NDArray[np.float32] | NDArray[np.int64], into: list[Tensor]) -> None:
    """Copy consecutive pieces of `flat` into the tensors."""
    if not into:
        return
    # torch warns of read-only arrays, which is what comes off the wire
    source = torch.from_numpy(flat if flat.flags.writeable else flat.copy())
    pieces = torch.split(source.to(into[0].device), [tensor.numel() for tensor in into])
    with torch.no_grad():
        for tensor, piece in zip(into, pieces, strict=True):
            tensor.copy_(piece.view(tensor.shape))
