"""How a site's update is made small for its way to the server, and made whole again: arithmetic.

An update is the trained vector minus the vector that the site was given. Every codec loses some of
it; the site keeps the difference and adds it to its next update (error feedback), so nothing is
lost for good. Decoding is the same arithmetic on both sides: the site knows to the bit what the
server will have. A batch-norm variance never becomes negative by rounding. Not for the parameters
that the server sends: they are the point that all sites start from.

Source: Seide et al. 2014, "1-bit stochastic gradient descent", §2.1 (error feedback); Karimireddy
et al. 2019, "Error feedback fixes SignSGD and other gradient compression schemes", Algorithm 2;
Stich et al. 2018, "Sparsified SGD with memory" (top-k).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.server import CodecName
from fedcxr.parameters import ParameterSpec

Arrays = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float32]

DTYPES: Mapping[CodecName, Mapping[str, str]] = {
    "fp16": {"halves": "<f2"},
    "int8": {"steps": "|i1", "scales": "<f4"},
    "topk": {"indices": "<i4", "values": "<f4", "buffers": "<f2"},
}
"""The arrays of an encoded update, by codec; the counters travel beside them as they are."""

MOST_STEPS = 127
_LARGEST_HALF = 65504.0
_SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, slots=True)
class Codec:
    """Which codec a run uses; `none` sends the parameters as they are."""

    name: CodecName = "none"
    topk: float = 1.0
    """Codec `topk`: share of the trainable numbers that is sent."""

    def lengths(self, spec: ParameterSpec) -> dict[str, int]:
        """Return how many numbers each array of an update holds.

        >>> spec = ParameterSpec(("w", "bn.running_var"), ((3, 7), (2,)), ("trainable", "buffer"))
        >>> Codec("int8").lengths(spec), Codec("topk", 0.1).lengths(spec)
        ({'steps': 23, 'scales': 2}, {'indices': 3, 'values': 3, 'buffers': 2})
        """
        if self.name == "fp16":
            return {"halves": spec.num_float}
        if self.name == "int8":
            return {"steps": spec.num_float, "scales": len(_tensors(spec))}
        if self.name == "topk":
            sent = max(1, math.ceil(self.topk * spec.num_trainable - 1e-9))
            buffers = spec.num_float - spec.num_trainable
            return {"indices": sent, "values": sent, "buffers": buffers}
        return {}


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """An update on its way."""

    codec: CodecName
    arrays: Arrays = field(repr=False)
    counters: NDArray[np.int64] = field(repr=False)


def encode(codec: Codec, wanted: Floats, given: Floats, spec: ParameterSpec) -> Arrays:
    """Return the update as the arrays that `DTYPES` names.

    Args:
        codec: any but `none`.
        wanted: (P,) finite: the update and what earlier ones lost.
        given: (P,) what the server adds it to; no variance in it is negative.
        spec: the layout of both.
    """
    if codec.name == "fp16":
        return {"halves": _halves(wanted, given, spec)}
    if codec.name == "int8":
        return _encode_int8(wanted, given, spec)
    indices = _largest(wanted[: spec.num_trainable], codec.lengths(spec)["indices"])
    # Buffers go whole: each round moves all of them, and statistics that stay behind the weights
    # spoil the model. Ranked with the weights they would take every place: variances move by whole
    # numbers. As float16 they are 1 % of densenet121's update.
    buffers = _halves(wanted, given, spec, start=spec.num_trainable)
    return {"indices": indices, "values": wanted[indices], "buffers": buffers}


def decode(encoded: Encoded, spec: ParameterSpec, out: Floats) -> None:
    """Write the update into `out`, (P,); the arrays must have been checked."""
    arrays = encoded.arrays
    if encoded.codec == "fp16":
        out[:] = arrays["halves"]
    elif encoded.codec == "int8":
        for part, scale in zip(_tensors(spec), arrays["scales"], strict=True):
            np.multiply(arrays["steps"][part], scale, out=out[part])
    else:
        out[: spec.num_trainable] = 0.0
        out[arrays["indices"]] = arrays["values"]
        out[spec.num_trainable :] = arrays["buffers"]


def _encode_int8(wanted: Floats, given: Floats, spec: ParameterSpec) -> Arrays:
    """One scale a tensor: those of a network differ by orders of magnitude."""
    tensors = _tensors(spec)
    variances = {(part.start, part.stop) for part in spec.variance_slices}
    steps = np.zeros(spec.num_float, np.int8)
    scales = np.zeros(len(tensors), np.float32)
    for number, part in enumerate(tensors):
        lowest = -given[part] if (part.start, part.stop) in variances else None
        value = wanted[part] if lowest is None else np.maximum(wanted[part], lowest)
        scale = np.abs(value).max(initial=0.0) / np.float32(MOST_STEPS)
        if scale < _SMALLEST_NORMAL:  # nothing, or too small to be divided evenly: all is carried
            continue
        nearest = np.rint(value / scale)  # half to even
        if lowest is not None:
            nearest += nearest * scale < lowest
        steps[part], scales[number] = nearest, scale
    return {"steps": steps, "scales": scales}


def _halves(
    wanted: Floats, given: Floats, spec: ParameterSpec, start: int = 0
) -> NDArray[np.float16]:
    """Return `wanted[start:]` as float16; what is too large for it is cut and so carried over."""
    halves = np.clip(wanted[start:], -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16)
    for part in spec.variance_slices:
        lowest = -given[part]
        half = np.clip(np.maximum(wanted[part], lowest), -_LARGEST_HALF, _LARGEST_HALF)
        half = half.astype(np.float16)
        low = half < lowest
        half[low] = np.nextafter(half[low], np.float16(0))
        halves[part.start - start : part.stop - start] = half
    return halves


def _largest(values: Floats, count: int) -> NDArray[np.int32]:
    """Return where the `count` largest magnitudes are, rising; of equal ones the first.

    By value: which of equal ones `argpartition` finds differs between processors.
    """
    size = np.abs(values)
    least = np.partition(size, len(size) - count)[len(size) - count]
    chosen = size > least
    equal = np.flatnonzero(size == least)
    chosen[equal[: count - np.count_nonzero(chosen)]] = True
    return np.flatnonzero(chosen).astype(np.int32)


def _tensors(spec: ParameterSpec) -> list[slice]:
    """Return where each float tensor lies in the vector."""
    return [
        slice(offset, offset + size)
        for offset, size, kind in zip(spec.offsets, spec.sizes, spec.kinds, strict=True)
        if kind != "counter"
    ]
