"""What is public of one secure round: who takes part, in which circle, and what each key is for.

A site derives degree and threshold from the number of sites itself, so that a server cannot ask for
a weaker graph.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedcxr.errors import RunError
from fedcxr.secagg.graph import FEWEST_SITES, GraphPlan, graph_plan, neighbours
from fedcxr.secagg.keys import agreed_key, context_of, derived_key


@dataclass(frozen=True, slots=True)
class Setup:
    """One attempt at one round, the same at the server and at every site."""

    run: str
    round_num: int
    session: str
    """Of this attempt; a round that is done again has new keys under another one."""
    circle: tuple[str, ...]
    """All sites that are asked, in random order."""

    def __post_init__(self) -> None:
        if len(set(self.circle)) != len(self.circle) or len(self.circle) < FEWEST_SITES:
            raise RunError("a secure round needs at least three sites, each of them once")

    @property
    def plan(self) -> GraphPlan:
        """Return degree and threshold."""
        return graph_plan(len(self.circle))

    def neighbours(self, site_id: str) -> tuple[str, ...]:
        """Return with whom a site shares masks; they hold the shares of its secrets."""
        if site_id not in self.circle:
            raise RunError("the site does not take part in this secure round")
        return neighbours(self.circle, self.plan.degree, site_id)

    def point(self, holder: str) -> int:
        """Return where a holder's shares lie on every polynomial."""
        return self.circle.index(holder) + 1

    def context(self, purpose: str, *names: str) -> bytes:
        """Return what a key of this attempt is for."""
        return context_of(purpose, self.run, self.round_num, self.session, *names)

    def pair_key(self, purpose: str, private: bytes, public: bytes, pair: tuple[str, str]) -> bytes:
        """Return the key of two sites; `RunError` if they cannot agree on one."""
        return agreed_key(private, public, self.context(purpose, *sorted(pair)))

    def self_mask_key(self, seed: bytes, site_id: str) -> bytes:
        """Return the key of a site's own mask."""
        return derived_key(seed, self.context("self-mask", site_id))


@dataclass(frozen=True, slots=True)
class Advertisement:
    """What a site makes known at stage 0."""

    seal_public: bytes
    """For what is sent to it."""
    mask_public: bytes
    """For the masks that it shares."""
    seed_commitment: bytes
    """Of its own mask's seed."""


Advertised = Mapping[str, Advertisement]
"""By site."""


@dataclass(frozen=True, slots=True)
class UnmaskRequest:
    """What the server asks a site for at stage 3."""

    survivors: frozenset[str]
    """Sites whose masked values have come, of the site's neighbours and itself."""
    dropped: frozenset[str]
    """Neighbours that had shared their secrets, and whose masked values did not come."""


@dataclass(frozen=True, slots=True)
class Revealed:
    """What a site answers at stage 3: of each owner one share, never two."""

    seeds: Mapping[str, bytes] = field(repr=False)
    """By survivor, the share of its own mask's seed."""
    mask_keys: Mapping[str, bytes] = field(repr=False)
    """By site that is gone, the share of its private mask key."""
