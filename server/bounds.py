"""How far one site may move the model: many times as far as usual is refused, or cut.

An update is what a site adds to the parameters that it was given. Its length says how far it moves
the model, and a site that sends a thousand times the usual length takes the mean over, whatever the
others send. Usual is the median over the rounds before of each round's median. A site with more
training images than most takes more steps and may go further in proportion; the images are those of
the plan, not what the site says of itself. The first round has nothing to compare with.

Trained values and batch-norm statistics are measured apart: variances move by whole numbers and
would hide the rest.

Source: Sun et al. 2019, "Can you really backdoor federated learning?", §4 (norm thresholding);
there the threshold is a constant.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedcxr.codecs import Floats
from fedcxr.config.server import NormPolicy
from fedcxr.parameters import ParameterSpec

_SLICE = 1 << 18
_DIGITS = 6
"""Of a norm: its last bits depend on how many threads added it up."""


@dataclass(frozen=True, slots=True)
class Norms:
    """Euclidean lengths of an update."""

    trained: float
    buffers: float
    """Of the batch-norm statistics."""
    besides: float = 0.0
    """Of what the algorithm has a site send besides; of several the longest."""

    def exceed(self, limit: "Norms") -> bool:
        """Return whether any of them is longer than its limit."""
        pairs = zip(self.lengths(), limit.lengths(), strict=True)
        return any(length > most for length, most in pairs)

    def lengths(self) -> tuple[float, float, float]:
        """Return all three."""
        return self.trained, self.buffers, self.besides


@dataclass(frozen=True, slots=True)
class UpdateBound:
    """What the rounds before allow."""

    factor: float
    policy: NormPolicy
    history: tuple[Norms, ...]
    """Of each round so far the medians over its accepted updates."""
    images: Mapping[str, int]
    """Training images of each site in the plan."""

    def limit(self, site_id: str) -> Norms | None:
        """Return the longest update that the site may send; None in the first round."""
        if not self.history:
            return None
        typical = max(1.0, statistics.median(self.images.values()))
        size = self.factor * max(1.0, self.images[site_id] / typical)
        return Norms(
            size * statistics.median(norms.trained for norms in self.history),
            size * statistics.median(norms.buffers for norms in self.history),
            size * statistics.median(norms.besides for norms in self.history),
        )


def norms_of(update: Floats, spec: ParameterSpec, besides: Iterable[Floats] = ()) -> Norms | None:
    """Return the lengths of what a site sent; None where a value of it is not finite.

    Args:
        update: (P,) of the shared part.
        spec: its layout.
        besides: (T,) each, what the algorithm has sites send.
    """
    end = spec.num_trainable
    trained, buffers = length_of(update[:end]), length_of(update[end:])
    others = [length_of(vector) for vector in besides]
    if trained is None or buffers is None or None in others:
        return None
    return Norms(trained, buffers, max((x for x in others if x is not None), default=0.0))


def shortened(vector: Floats, length: float, most: float) -> Floats:
    """Return a vector cut to the length `most`, its direction kept."""
    if length <= most:
        return vector
    return (vector.astype(np.float64) * (most / length)).astype(np.float32)


def clipped(update: Floats, norms: Norms, limit: Norms, spec: ParameterSpec) -> Floats:
    """Return the update shortened to the limit, its direction kept.

    Args:
        update: (P,) what the site sent.
        norms: of the update.
        limit: of its two parts.
        spec: the layout.
    """
    end = spec.num_trainable
    trained = shortened(update[:end], norms.trained, limit.trained)
    buffers = shortened(update[end:], norms.buffers, limit.buffers)
    return np.concatenate([trained, buffers])


def median_norms(accepted: Sequence[Norms]) -> Norms:
    """Return the medians of a round's accepted updates, of which there is at least one."""
    return Norms(
        statistics.median(norms.trained for norms in accepted),
        statistics.median(norms.buffers for norms in accepted),
        statistics.median(norms.besides for norms in accepted),
    )


def length_of(values: Floats) -> float | None:
    """Return the Euclidean length; None where a value is not finite."""
    total = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(values), _SLICE):
            part = values[start : start + _SLICE]
            total += float(np.dot(part, part))
    if not math.isfinite(total):  # a value that is not finite, or too large for float32
        if not np.isfinite(values).all():
            return None
        wide = values.astype(np.float64)
        total = float(np.dot(wide, wide))
    return float(f"{math.sqrt(total):.{_DIGITS}g}")
