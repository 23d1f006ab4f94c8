"""The server's side of SecAgg+: what it passes on, when it may go on, and how the sum is unmasked.

The server holds one running sum of masked values. Of each site it gets shares of one secret alone:
of the own mask's seed where the values came, of the private mask key where they did not. With less
than it needs it ends the round; there is no way by which it then unmasks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fedcxr.errors import QuorumError, RunError
from fedcxr.secagg.keys import commitment, public_key
from fedcxr.secagg.masks import add_mask
from fedcxr.secagg.quantise import Words
from fedcxr.secagg.setup import Advertised, Revealed, Setup, UnmaskRequest
from fedcxr.secagg.shares import join

Sealed = Mapping[str, Mapping[str, bytes]]
"""By owner, by holder."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the server knows when stage 2 is over."""

    setup: Setup
    advertised: Advertised
    """Of the sites that answered stage 0."""
    sharers: frozenset[str]
    """Sites that answered stage 1: each masks with those of them that are its neighbours."""
    survivors: frozenset[str]
    """Sites whose masked values are in the sum."""

    @property
    def dropped(self) -> frozenset[str]:
        """Return the sites whose masks are in the sum and whose values are not."""
        return self.sharers - self.survivors

    def partners(self, site_id: str) -> frozenset[str]:
        """Return with whom a site has masked."""
        return frozenset(self.setup.neighbours(site_id)) & self.sharers


@dataclass(slots=True)
class Opened:
    """Shares by the site whose secret they are of, and by point."""

    gathered: Gathered
    seeds: dict[str, dict[int, bytes]] = field(default_factory=dict, repr=False)
    mask_keys: dict[str, dict[int, bytes]] = field(default_factory=dict, repr=False)

    def add(self, holder: str, revealed: Revealed) -> None:
        """Take a site's answer to stage 3.

        Raises:
            RunError: it holds another share than was asked for.
        """
        asked = request_for(self.gathered, holder)
        if set(revealed.seeds) != asked.survivors or set(revealed.mask_keys) != asked.dropped:
            raise RunError("the site sends other shares than it was asked for")
        point = self.gathered.setup.point(holder)
        for place, found in ((self.seeds, revealed.seeds), (self.mask_keys, revealed.mask_keys)):
            for owner, one in found.items():
                place.setdefault(owner, {})[point] = one


def check_enough(setup: Setup, left: int, stage: str) -> None:
    """Raise `QuorumError` where too few sites are left to go on."""
    plan = setup.plan
    if left < plan.fewest:
        raise QuorumError(
            f"Round {setup.round_num}: {left} of {plan.sites} sites answered secure aggregation's "
            f"stage {stage}, {plan.fewest} are needed, or the sum would show too much. Nothing was "
            "unmasked."
        )


def keys_for(setup: Setup, advertised: Advertised, site_id: str) -> Advertised:
    """Return what stage 1 sends to a site: the keys of its neighbours."""
    near = setup.neighbours(site_id)
    return {other: advertised[other] for other in near if other in advertised}


def shares_for(setup: Setup, sealed: Sealed, site_id: str) -> dict[str, bytes]:
    """Return what stage 2 sends to a site: by neighbour what it has sealed for it."""
    near = setup.neighbours(site_id)
    return {owner: sealed[owner][site_id] for owner in near if site_id in sealed.get(owner, {})}


def request_for(gathered: Gathered, site_id: str) -> UnmaskRequest:
    """Return what stage 3 asks a survivor for."""
    holds = gathered.partners(site_id) | {site_id}
    return UnmaskRequest(holds & gathered.survivors, holds & gathered.dropped)


def unmask(opened: Opened, total: Words, on_mask: Callable[[], None] = lambda: None) -> None:
    """Take every mask off the sum, in place: what is left is the sum of the survivors' values.

    Args:
        opened: what stage 3 gave.
        total: (N,) the sum of the masked values, mod 2**32.
        on_mask: called after each mask.

    Raises:
        RunError: shares are wrong: what they give is not what the site had made known.
        QuorumError: of a secret fewer shares than the threshold are there.
    """
    gathered = opened.gathered
    seeds = {site_id: _seed(opened, site_id) for site_id in sorted(gathered.survivors)}
    mask_keys = {site_id: _mask_key(opened, site_id) for site_id in sorted(gathered.dropped)}
    setup = gathered.setup
    for site_id, seed in seeds.items():
        add_mask(total, setup.self_mask_key(seed, site_id), subtract=True)
        on_mask()
    for gone, private in mask_keys.items():
        for other in sorted(gathered.partners(gone) & gathered.survivors):
            public = gathered.advertised[other].mask_public
            key = setup.pair_key("mask", private, public, (gone, other))
            # The other has added it where its name comes first; the one that is gone, nothing.
            add_mask(total, key, subtract=other < gone)
            on_mask()


def _seed(opened: Opened, site_id: str) -> bytes:
    gathered = opened.gathered
    seed = _joined(gathered.setup, opened.seeds.get(site_id, {}))
    context = gathered.setup.context("seed", site_id)
    if commitment(seed, context) != gathered.advertised[site_id].seed_commitment:
        raise RunError(f"{site_id}: the shares of its seed do not give what it had made known")
    return seed


def _mask_key(opened: Opened, site_id: str) -> bytes:
    gathered = opened.gathered
    private = _joined(gathered.setup, opened.mask_keys.get(site_id, {}))
    if public_key(private) != gathered.advertised[site_id].mask_public:
        raise RunError(f"{site_id}: the shares of its mask key do not give what it had made known")
    return private


def _joined(setup: Setup, shares: Mapping[int, bytes]) -> bytes:
    if len(shares) < setup.plan.threshold:
        raise QuorumError(
            f"Round {setup.round_num}: {len(shares)} shares of a secret came back, "
            f"{setup.plan.threshold} are needed. Nothing was unmasked."
        )
    return join(shares, setup.plan.threshold)
