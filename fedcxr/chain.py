"""From a site's update to what is sent, and back at the server: a chain of links.

Each link changes some of the vectors and says which it then declares; the server undoes the links
in the opposite order. A codec is a link. What a link loses it keeps at the site (error feedback),
so over the rounds the server gets all of it. It is what *this* site has sent that counts: an update
that the server refused or that came too late is gone, as it is without a codec.

Source: Karimireddy et al. 2019, "Error feedback fixes SignSGD and other gradient compression
schemes", Algorithm 2; here the update of a whole round takes the place of a gradient.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from fedcxr.codecs import Codec, Floats, check_arrays, decode, encode
from fedcxr.errors import RunError
from fedcxr.parameters import ParameterSpec
from fedcxr.vectors import Declared, Vectors, VectorSpec

V = TypeVar("V")

UPDATE = "update"
LOST = "lost"


class Memory(Protocol):
    """What a site keeps between rounds, by a name."""

    def read(self, kind: str) -> Vectors | None:
        """Return what was kept in the newest round before this one; None if nothing was."""

    def write(self, kind: str, vectors: Vectors) -> None:
        """Keep vectors as this round's."""


@dataclass(frozen=True, slots=True)
class SiteSide:
    """What a link may use at a site."""

    given: Floats
    """(P,) the shared values that the server sent."""
    memory: Memory


class Link(Protocol):
    """One step from an update to what is sent."""

    def declare(self, declared: Declared, spec: ParameterSpec) -> Declared:
        """Return what is declared after this link of what was before it."""

    def apply(self, vectors: Vectors, spec: ParameterSpec, site: SiteSide) -> Vectors:
        """Return the vectors after this link; `RunError` if they cannot be sent."""

    def invert(self, vectors: Vectors, spec: ParameterSpec, out: Floats) -> Vectors:
        """Return the vectors before this link, the update written into `out`, (P,).

        Raises:
            RunError: the values, which are as declared, cannot be ones that a site has made.
        """


@dataclass(frozen=True, slots=True)
class CodecLink:
    """The update made small by a codec, what that loses carried over to the next round."""

    codec: Codec

    def declare(self, declared: Declared, spec: ParameterSpec) -> Declared:
        """Return the codec's arrays in place of the update."""
        arrays = {
            name: VectorSpec(dtype, length)
            for name, (dtype, length) in self.codec.arrays(spec).items()
        }
        return {**_without_update(declared), **arrays}

    def apply(self, vectors: Vectors, spec: ParameterSpec, site: SiteSide) -> Vectors:
        """Return the codec's arrays of the update and of what the updates before have lost."""
        with np.errstate(over="ignore", invalid="ignore"):  # told of below, in words
            lost = site.memory.read(LOST)
            wanted = vectors[UPDATE] if lost is None else vectors[UPDATE] + lost[LOST]
        if not np.isfinite(wanted).all():
            raise RunError("the update is not finite; lower train.learning_rate")
        arrays = encode(self.codec, wanted, site.given, spec)
        decoded = np.empty_like(wanted)
        decode(self.codec, arrays, spec, decoded)
        site.memory.write(LOST, {LOST: wanted - decoded})
        return {**_without_update(vectors), **arrays}

    def invert(self, vectors: Vectors, spec: ParameterSpec, out: Floats) -> Vectors:
        """Return the update in place of the codec's arrays."""
        names = self.codec.arrays(spec)
        arrays = {name: vectors[name] for name in names}
        check_arrays(arrays, spec)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused by name
            decode(self.codec, arrays, spec, out)
        rest = {name: vector for name, vector in vectors.items() if name not in names}
        return {**rest, UPDATE: out}


@dataclass(frozen=True, slots=True)
class ClipLink:
    """The trained values shortened to an L2 norm, and of the float buffers nothing.

    It is the site's own part of what a server that aggregates under client-level privacy does as
    well: no site need be believed.
    """

    clip: float

    def declare(self, declared: Declared, spec: ParameterSpec) -> Declared:
        """Return what was declared: the update keeps its form."""
        return declared

    def apply(self, vectors: Vectors, spec: ParameterSpec, site: SiteSide) -> Vectors:
        """Return the vectors with the shortened update; `RunError` if it is not finite."""
        size, update = spec.num_trainable, np.zeros_like(vectors[UPDATE])
        factor = clip_factor(vectors[UPDATE][:size], self.clip)
        update[:size] = vectors[UPDATE][:size] * np.float32(factor)
        return {**vectors, UPDATE: update}

    def invert(self, vectors: Vectors, spec: ParameterSpec, out: Floats) -> Vectors:
        """Return the vectors as they came: what was cut off is gone."""
        return vectors


def clip_factor(values: Floats, clip: float) -> float:
    """Return min(1, clip ÷ L2 norm), the norm in float64.

    Raises:
        RunError: a value is not finite.

    >>> clip_factor(np.array([3.0, 4.0], np.float32), 1.0)
    0.2
    """
    norm = math.sqrt(float(np.einsum("i,i->", values, values, dtype=np.float64)))
    if not math.isfinite(norm):
        raise RunError("the update is not finite; lower train.learning_rate")
    return min(1.0, clip / norm) if norm else 1.0


@dataclass(frozen=True, slots=True)
class Chain:
    """All links of a run, in the order in which a site applies them."""

    links: tuple[Link, ...] = ()

    def declare(self, declared: Declared, spec: ParameterSpec) -> Declared:
        """Return what is sent where these vectors are made."""
        for link in self.links:
            declared = link.declare(declared, spec)
        return declared

    def names(self, spec: ParameterSpec) -> set[str]:
        """Return the names of what the links make of an update."""
        return set(self.declare({UPDATE: VectorSpec("<f4", spec.num_float)}, spec))

    def apply(self, vectors: Vectors, spec: ParameterSpec, site: SiteSide) -> Vectors:
        """Return what is sent of these vectors."""
        for link in self.links:
            vectors = link.apply(vectors, spec, site)
        return vectors

    def invert(self, vectors: Vectors, spec: ParameterSpec, out: Floats) -> Vectors:
        """Return the vectors that were made; the update may lie in `out` until the next call."""
        for link in reversed(self.links):
            vectors = link.invert(vectors, spec, out)
        return vectors


def chain_of(codec: Codec, clip: float | None = None) -> Chain:
    """Return the links of a run.

    Args:
        codec: the run's.
        clip: the norm to which a site's update is shortened; none = it is not.
    """
    links: list[Link] = [] if clip is None else [ClipLink(clip)]
    return Chain((*links, *([] if codec.name == "none" else [CodecLink(codec)])))


def _without_update(vectors: Mapping[str, V]) -> dict[str, V]:
    return {name: value for name, value in vectors.items() if name != UPDATE}
