"""A site's side of SecAgg+: four stages, each a function from what is known to what is sent.

0. `advertise`  its public keys
1. `share`      shares of its two secrets, sealed for each neighbour
2. `mask`       its values under its own mask and one with each neighbour
3. `reveal`     of each owner one share: of the own mask's seed where its values came, of the
                private mask key where they did not

Whoever has both secrets of a site can take its mask off. So a site gives one of the two for each
owner, once a session, and its state (who keeps it, see `clients/secure_state.py`) makes it so.

Source: Bell et al. 2020, "Secure single-server aggregation with (poly)logarithmic overhead",
Algorithm 2; Bonawitz et al. 2017, "Practical secure aggregation", for the two kinds of mask.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedcxr.errors import RunError
from fedcxr.secagg.keys import commitment, new_secret, public_key, seal, unseal
from fedcxr.secagg.masks import add_mask
from fedcxr.secagg.quantise import Words
from fedcxr.secagg.setup import Advertised, Advertisement, Revealed, Setup, UnmaskRequest
from fedcxr.secagg.shares import SHARE_BYTES, split


@dataclass(frozen=True, slots=True)
class SiteSecrets:
    """What a site makes for one session, and keeps to itself."""

    seal_private: bytes = field(repr=False)
    mask_private: bytes = field(repr=False)
    seed: bytes = field(repr=False)
    """Of its own mask."""


@dataclass(frozen=True, slots=True)
class SharePair:
    """What a holder has of one owner."""

    seed: bytes = field(repr=False)
    mask_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class OwnShares:
    """What stage 1 makes."""

    own: SharePair = field(repr=False)
    """The share that the site holds of itself."""
    sealed: Mapping[str, bytes] = field(repr=False)
    """By neighbour."""


def new_secrets() -> SiteSecrets:
    """Return the secrets of a new session, from the operating system."""
    return SiteSecrets(new_secret(), new_secret(), new_secret())


def advertise(setup: Setup, site_id: str, secrets: SiteSecrets) -> Advertisement:
    """Return stage 0: the site's public keys."""
    return Advertisement(
        public_key(secrets.seal_private),
        public_key(secrets.mask_private),
        commitment(secrets.seed, setup.context("seed", site_id)),
    )


def share(setup: Setup, site_id: str, secrets: SiteSecrets, advertised: Advertised) -> OwnShares:
    """Return stage 1: the shares of the site's secrets, sealed for its neighbours.

    Args:
        setup: of the session.
        site_id: the site.
        secrets: its own.
        advertised: of the neighbours that answered stage 0.

    Raises:
        RunError: some are no neighbours, too few are there, or a key stands for two sites.
    """
    if not set(advertised) <= set(setup.neighbours(site_id)):
        raise RunError("the server sends keys of sites that are no neighbours")
    if len(advertised) + 1 < setup.plan.threshold:
        raise RunError("too few neighbours are left to hold the shares of a secret")
    keys = [key for row in advertised.values() for key in (row.seal_public, row.mask_public)]
    own = advertise(setup, site_id, secrets)
    if len({*keys, own.seal_public, own.mask_public}) != len(keys) + 2:
        raise RunError("the server sends one public key for two sites or purposes")
    points = {holder: setup.point(holder) for holder in (site_id, *advertised)}
    seeds = split(secrets.seed, setup.plan.threshold, list(points.values()))
    mask_keys = split(secrets.mask_private, setup.plan.threshold, list(points.values()))
    pairs = {holder: SharePair(seeds[x], mask_keys[x]) for holder, x in points.items()}
    sealed = {}
    for holder, row in advertised.items():
        key = setup.pair_key("seal", secrets.seal_private, row.seal_public, (site_id, holder))
        text = pairs[holder].seed + pairs[holder].mask_key
        sealed[holder] = seal(key, text, setup.context("shares", site_id, holder))
    return OwnShares(pairs[site_id], sealed)


def open_shares(
    setup: Setup,
    site_id: str,
    secrets: SiteSecrets,
    advertised: Advertised,
    sealed: Mapping[str, bytes],
) -> dict[str, SharePair]:
    """Return by neighbour what it has sent; the first half of stage 2.

    Raises:
        RunError: one was changed on its way, or is of a site that had no key at stage 1; too few.
    """
    if not set(sealed) <= set(advertised):
        raise RunError("the server sends shares of sites without keys")
    if len(sealed) + 1 < setup.plan.threshold:
        raise RunError("too few neighbours have shared their secrets")
    opened = {}
    for owner, box in sealed.items():
        public = advertised[owner].seal_public
        key = setup.pair_key("seal", secrets.seal_private, public, (site_id, owner))
        text = unseal(key, box, setup.context("shares", owner, site_id))
        if len(text) != 2 * SHARE_BYTES:
            raise RunError("a neighbour's shares have another length than they must")
        opened[owner] = SharePair(text[:SHARE_BYTES], text[SHARE_BYTES:])
    return opened


def mask(
    setup: Setup,
    site_id: str,
    secrets: SiteSecrets,
    advertised: Advertised,
    *,
    sharers: frozenset[str],
    values: Words,
) -> None:
    """Put the site's masks on its values, in place: the second half of stage 2.

    Args:
        setup: of the session.
        site_id: the site.
        secrets: its own.
        advertised: of its neighbours.
        sharers: the neighbours whose shares it has opened.
        values: (N,) mod 2**32.
    """
    add_mask(values, setup.self_mask_key(secrets.seed, site_id))
    for other in sorted(sharers):
        public = advertised[other].mask_public
        key = setup.pair_key("mask", secrets.mask_private, public, (site_id, other))
        add_mask(values, key, subtract=site_id > other)


def reveal(
    setup: Setup, site_id: str, held: Mapping[str, SharePair], request: UnmaskRequest
) -> Revealed:
    """Return stage 3: of each owner one share.

    Args:
        setup: of the session.
        site_id: the site.
        held: what it holds, its own share among them.
        request: the server's; a site answers one of a session.

    Raises:
        RunError: an owner is named on both sides or not at all, the site itself is not in the sum,
            or fewer than the threshold are.
    """
    if request.survivors & request.dropped:
        raise RunError("the server asks for both secrets of a site")
    if site_id not in request.survivors:
        raise RunError("the server asks a site whose values are not in the sum")
    if request.survivors | request.dropped != set(held):
        raise RunError("the server's request does not name each site whose shares are here, once")
    if len(request.survivors) < setup.plan.threshold:
        raise RunError("fewer sites than the threshold are in the sum; it is not unmasked")
    return Revealed(
        {owner: held[owner].seed for owner in sorted(request.survivors)},
        {owner: held[owner].mask_key for owner in sorted(request.dropped)},
    )
