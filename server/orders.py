"""The orders of a round: who is asked, and the message for each."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from flwr.app import ArrayRecord, Message, MessageType, RecordDict

from fedcxr.config.server import NormPolicy
from fedcxr.schema import WireSchema
from fedcxr.wire import ORDER, VECTORS, Order, pack_order
from server.cohort import draw_cohort

Orders = list[tuple[str, Callable[[], Message]]]
"""(site_id, maker of its message), in the order in which replies are taken."""


Draw = Callable[[Sequence[str], int], list[str]]
"""(all sites of the plan, round) → those that take part, perhaps none."""


@dataclass(frozen=True, slots=True)
class Federation:
    """What stays the same over all rounds."""

    run: str
    task: str
    """`SiteTask` as JSON."""
    schema: WireSchema
    seed: int
    node_by_site: Mapping[str, int]
    most_examples: Mapping[str, int]
    """Training images of each site in the plan; no site may weigh more."""
    fraction: float
    quorum: float
    threads: int
    """Of each client."""
    norm_factor: float | None = None
    """How many times as long as usual an update may be."""
    norm_policy: NormPolicy = "refuse"
    draw: Draw | None = None
    """Who is asked in a round, where it is not a fixed share of the sites."""
    advice: str = ""
    """How to go on where too few sites answered, for a reader."""


@dataclass(slots=True)
class OrderBook:
    """Makes orders, and knows those that were not answered yet."""

    federation: Federation
    learning_rate: float = 0.0
    open: dict[str, Order] = field(default_factory=dict)
    """By site, the order that it was sent and has not answered."""
    last_rounds: dict[str, int] = field(default_factory=dict)
    """By site, the newest round that its update is in."""

    def cohort(self, round_num: int) -> list[str]:
        """Return the sites that take part in a round, those with most images first.

        Replies are added in this order, so a long one must not be waited for at the end, nor stand
        between short ones.
        """
        sites = self.federation
        if sites.draw is None:
            drawn = draw_cohort(list(sites.node_by_site), sites.fraction, sites.seed, round_num)
        else:
            chosen = sites.draw(list(sites.most_examples), round_num)
            drawn = [site_id for site_id in chosen if site_id in sites.node_by_site]
        return sorted(drawn, key=lambda site_id: (-sites.most_examples[site_id], site_id))

    def orders(
        self, kind: str, site_ids: Sequence[str], round_num: int, arrays: ArrayRecord
    ) -> Orders:
        """Return each site with the maker of its message; all share one record of arrays."""
        self.open = {}
        make = partial(self._make, kind, round_num, arrays, len(site_ids))
        return [(site_id, partial(make, site_id)) for site_id in site_ids]

    def _make(
        self, kind: str, round_num: int, arrays: ArrayRecord, num_sites: int, site_id: str
    ) -> Message:
        sites = self.federation
        order = Order(
            sites.run,
            round_num,
            secrets.token_hex(16),
            sites.schema.digest,
            sites.task,
            self.learning_rate,
            sites.threads,
            num_sites,
            self.last_rounds.get(site_id, 0) if kind == MessageType.TRAIN else 0,
        )
        self.open[site_id] = order
        return Message(
            RecordDict({ORDER: pack_order(order), VECTORS: arrays}),
            dst_node_id=sites.node_by_site[site_id],
            message_type=kind,
            group_id=str(round_num),
        )
