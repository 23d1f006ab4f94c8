"""What an aggregator is: it is given one update after another, and then asked for the result."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.server import ServerConfig
from fedcxr.schema import WireSchema
from server.aggregate.head_rows import HeadRows
from server.check import SiteUpdate

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Aggregate:
    """The sites' updates of a round as one."""

    update: Doubles = field(repr=False)
    """(P,) of the shared part: trained values, then float buffers."""
    counters: NDArray[np.int64] = field(repr=False)
    """The largest of the sites': counters count steps and have no meaningful mean."""
    vectors: Mapping[str, Doubles] = field(repr=False)
    """(T,) each: what the algorithm has sites send besides."""


class Aggregator(Protocol):
    """One round's."""

    def add(self, update: SiteUpdate) -> None:
        """Add a site's update, which holds only until this returns."""

    def result(self) -> Aggregate:
        """Return the aggregate of what was added, at least one update."""


@dataclass(frozen=True, slots=True)
class AggregatorPlace:
    """What an aggregator is made with."""

    schema: WireSchema
    head: tuple[HeadRows, ...]
    """Where each label's values lie."""
    num_sites: int
    """Most updates that can come."""
    folder: Path
    """For what does not fit into memory; the round's own, removed after it."""
    settings: ServerConfig = field(default_factory=ServerConfig)
    """Of the run; an aggregator reads its own keys of it."""

    def room(self) -> dict[str, int]:
        """Return the `bytes` that a round's `updates` take where all are kept."""
        size = 4 * self.num_sites * self.schema.shared.spec.num_float
        return {"updates": self.num_sites, "bytes": size}


TooFew = Callable[[int, ServerConfig], str | None]
"""What is wrong where only so many updates come, with the figures; None where they are enough."""


@dataclass(frozen=True, slots=True)
class AggregatorKind:
    """An aggregator that can be chosen by name."""

    title: str
    """With its source, for a reader."""
    make: Callable[[AggregatorPlace], Aggregator]
    counts_known: bool = False
    """Whether sites must send how many training targets they know of each label."""
    needs_all: bool = False
    """Whether it keeps all updates of a round (on disk) until the last has come."""
    is_mean: bool = True
    """Whether it gives a weighted mean; an algorithm that sends more than an update needs one."""
    too_few: TooFew = lambda count, settings: None
    """Asked when a run begins, of its cohort, and in every round, of the updates that passed."""
