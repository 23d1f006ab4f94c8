"""The orders of a round: who is asked, and the message for each."""

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from flwr.app import ArrayRecord, Message, MessageType, RecordDict

from fedcxr.config.server import NormPolicy
from fedcxr.schema import WireSchema
from fedcxr.wire import ORDER, SECURE, VECTORS, Order, pack_order, pack_secure
from server.cohort import draw_cohort

Orders = list[tuple[str, Callable[[], Message]]]
"""(site_id, maker of its message), in the order in which replies are taken."""


Draw = Callable[[Sequence[str], int], list[str]]
"""(all sites of the plan, round) → those that take part, perhaps none."""


@dataclass(frozen=True, slots=True)
class SaidInRound:
    """What a stage of secure aggregation says to each site."""

    num_sites: int
    """That the round began with."""
    texts: Mapping[str, str]


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
        there = self.federation.node_by_site
        return self.by_images([name for name in self.drawn(round_num) if name in there])

    def drawn(self, round_num: int) -> list[str]:
        """Return the sites that are drawn for a round, whether all of them are there or not."""
        sites = self.federation
        if sites.draw is not None:
            return sites.draw(list(sites.most_examples), round_num)
        return draw_cohort(list(sites.node_by_site), sites.fraction, sites.seed, round_num)

    def by_images(self, site_ids: Collection[str]) -> list[str]:
        """Return sites, those with most images first."""
        most = self.federation.most_examples
        return sorted(site_ids, key=lambda site_id: (-most[site_id], site_id))

    def orders(
        self,
        kind: str,
        site_ids: Sequence[str],
        round_num: int,
        arrays: ArrayRecord | None,
        *,
        said: SaidInRound | None = None,
    ) -> Orders:
        """Return each site with the maker of its message; all share one record of arrays.

        Args:
            kind: Flower's type of the messages.
            site_ids: who is asked.
            round_num: the round.
            arrays: for all of them; none = a stage of secure aggregation without any.
            said: what a stage of secure aggregation says.
        """
        self.open = {}
        num_sites = len(site_ids) if said is None else said.num_sites
        content = RecordDict() if arrays is None else RecordDict({VECTORS: arrays})
        make = partial(self._make, kind, round_num, content, num_sites)
        texts = {} if said is None else said.texts
        return [(site_id, partial(make, site_id, texts.get(site_id))) for site_id in site_ids]

    def _make(
        self,
        kind: str,
        round_num: int,
        shared: RecordDict,
        num_sites: int,
        site_id: str,
        text: str | None,
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
        content = RecordDict({ORDER: pack_order(order), **dict(shared.items())})
        if text is not None:
            content[SECURE] = pack_secure(text)
        return Message(
            content,
            dst_node_id=sites.node_by_site[site_id],
            message_type=kind,
            group_id=str(round_num),
        )
