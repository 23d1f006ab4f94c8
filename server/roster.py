"""Which site answers at which node: asked of every node that shows up, before and between rounds.

Flower's node ids change from run to run, and a hospital whose client starts again comes back under
a new one. So each node is asked for its site's card, and from then on only sites are spoken of. All
sites of the plan must be there before round 1; whoever comes later is asked before the next round.
A node that says it is a site which another node answers for is refused, and takes over when that
one is gone or has missed a round. Where the deployment's kits bind each site to a public key, a
node that Flower knows by another key is refused whatever it says.
"""

import logging
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from flwr.app import Message, MessageType, RecordDict
from flwr.serverapp import Grid

from fedcxr.errors import RunError, some
from fedcxr.schema import KNOWN, POSITIVE
from fedcxr.vectors import Declared, Vectors
from fedcxr.wire import (
    ORDER,
    VECTORS,
    Order,
    pack_order,
    unpack_card_texts,
    unpack_receipt,
    unpack_result,
    vectors_in,
)
from server.check import check_receipt

POLL_S = 0.2
ASK_AGAIN_S = 30.0
"""After which a node that gave no card is asked again; every further time after twice as long. Its
client may have been killed with the question."""
RETURN_S = 30.0
"""Longest wait before a round for the card of a node that showed up while a site is missing."""

log = logging.getLogger(__name__)

OnChange = Callable[[str, str], None]
"""Told of a site, and what became of it or of its node."""


@dataclass(frozen=True, slots=True)
class Card:
    """What a site says of itself."""

    site_id: str
    node_id: int
    numbers: Mapping[str, float]
    texts: Mapping[str, object]
    vectors: Vectors = field(default_factory=dict)
    """What the run's schema declares of a card."""


@dataclass(frozen=True, slots=True)
class JoinLimits:
    """How long sites are waited for at the start."""

    timeout_s: float
    """For their nodes to show up."""
    answer_s: float | None
    """For a node's card, which may have to decode all its images first; none = until the grid gives
    up on it."""
    may_grow: bool
    """Whether nodes can show up that are not there yet."""
    fewest: int | None = None
    """Sites that are enough once `timeout_s` is over; none = all of the plan."""


@dataclass(slots=True)
class _Query:
    node_id: int
    order: Order
    asked_at: float


class Roster:
    """The sites of a plan, and the node at which each is found."""

    def __init__(
        self,
        grid: Grid,
        train_images: Mapping[str, int],
        order: Order,
        on_change: OnChange = lambda site_id, what: None,
        declared: Declared | None = None,
        site_keys: Mapping[str, bytes] | None = None,
        *,
        tells_counts: bool = True,
    ) -> None:
        """Take the plan's sites.

        Args:
            grid: carries the messages.
            train_images: the sites of the plan, with their training images.
            order: run, task and spec of the query; its nonce is replaced.
            on_change: told when a site comes back at another node, or a node is refused.
            declared: the vectors of a card; none = it has none.
            site_keys: by site, the public key (PEM) of the only node that may answer for it; none =
                nodes have no keys.
            tells_counts: whether a card has the site's numbers of patients and images.
        """
        self._tells_counts = tells_counts
        self._grid = grid
        self._images = train_images
        self._order = order
        self._on_change = on_change
        self._declared = declared or {}
        self._site_keys = site_keys
        self._answered: set[int] = set()
        self._again: dict[int, tuple[float, float]] = {}
        """Of each node that was asked, when it may be asked again, and how long after that."""
        self._is_gathered = False
        self._queries: dict[str, _Query] = {}
        self._reasons: dict[int, str] = {}
        self._rivals: dict[str, list[Card]] = {}
        self.cards: dict[str, Card] = {}
        self.node_by_site: dict[str, int] = {}
        """Kept in place: who holds it sees where each site is now."""

    def gather(self, limits: JoinLimits) -> dict[str, Card]:
        """Return the card of every site of the plan, as soon as all are there.

        When the wait is over and there are enough, of those that are there; `update` takes up the
        others.

        Raises:
            RunError: a site is not there in time, failed, or has other data or another model than
                the plan says.
        """
        fewest = len(self._images) if limits.fewest is None else limits.fewest
        end = time.monotonic() + limits.timeout_s
        while self._absent():
            self._ask_new_nodes()
            self._collect()
            now = time.monotonic()
            silent = [q for q in self._queries.values() if not _is_over(q, limits.answer_s, now)]
            is_over = now >= end or not limits.may_grow
            if self._absent() and is_over and len(self.node_by_site) >= fewest:
                break
            if self._absent() and is_over and not silent:
                raise self._not_there(limits.answer_s)
            if self._absent():
                time.sleep(POLL_S if limits.may_grow else 0.0)
        for site_id in self._absent():
            self._on_change(site_id, "was not there at the beginning")
        self._is_gathered = True
        self.cards = {s: self.cards[s] for s in self._images if s in self.cards}
        return self.cards

    def update(self, missed: Collection[str] = ()) -> None:
        """Ask the nodes that showed up since, and take up sites that came back.

        Waits a moment for a new node's card only while a site is without a node.

        Args:
            missed: sites that did not answer in the last round.
        """
        there = set(self._grid.get_node_ids())
        self._ask_new_nodes(there)
        end = time.monotonic() + RETURN_S
        while self._queries:
            self._collect(missed)
            lost = [s for s, node in self.node_by_site.items() if node not in there or s in missed]
            lost += self._absent()
            if not (lost and self._queries) or time.monotonic() >= end:
                break
            time.sleep(POLL_S)
        for site_id in list(self._rivals):
            self._promote(site_id, there, missed)

    def _absent(self) -> list[str]:
        return sorted(set(self._images) - set(self.node_by_site))

    def _ask_new_nodes(self, there: Collection[int] | None = None) -> None:
        """Ask the nodes that have not been asked, and again those that have not answered."""
        nodes = self._grid.get_node_ids() if there is None else there
        now = time.monotonic()
        for node_id in sorted(set(nodes) - self._answered):
            at, wait_s = self._again.get(node_id, (now, ASK_AGAIN_S))
            if now < at:
                continue
            order = replace(self._order, nonce=secrets.token_hex(16))
            message = Message(
                RecordDict({ORDER: pack_order(order)}),
                dst_node_id=node_id,
                message_type=MessageType.QUERY,
            )
            sent = list(self._grid.push_messages([message]))
            if sent:  # it may be gone again already
                self._again[node_id] = (now + wait_s, 2 * wait_s)
                self._queries[sent[0]] = _Query(node_id, order, time.monotonic())

    def _collect(self, missed: Collection[str] = ()) -> None:
        """Take the cards that have come."""
        for message in self._grid.pull_messages(list(self._queries)):
            query = self._queries.pop(message.metadata.reply_to_message_id)
            if query.node_id in self._answered:
                continue  # a question that was put twice
            if not message.has_error():
                self._answered.add(query.node_id)
            try:
                card = self._read_card(message, query)
            except RunError as err:
                self._reasons[query.node_id] = str(err)
                log.warning("node %d: %s", query.node_id, err)
                continue
            self._take(card, missed)

    def _take(self, card: Card, missed: Collection[str]) -> None:
        site_id = card.site_id
        if site_id not in self.node_by_site:
            self.cards[site_id], self.node_by_site[site_id] = card, card.node_id
            if self._is_gathered:
                self._on_change(site_id, "joined")
            return
        self._rivals.setdefault(site_id, []).append(card)
        if not self._promote(site_id, set(self._grid.get_node_ids()), missed):
            log.warning("a second node says that it is %s; it is not asked", site_id)
            self._on_change(site_id, "a second node of this name was refused")

    def _promote(self, site_id: str, there: Collection[int], missed: Collection[str]) -> bool:
        """Let another node stand for a site whose own is gone, or has missed a round."""
        if self.node_by_site[site_id] in there and site_id not in missed:
            return False
        rivals = [card for card in self._rivals.pop(site_id, []) if card.node_id in there]
        if not rivals:
            return False
        newest = rivals.pop()
        if rivals:
            self._rivals[site_id] = rivals
        self.cards[site_id], self.node_by_site[site_id] = newest, newest.node_id
        self._on_change(site_id, "came back at another node")
        return True

    def _read_card(self, message: Message, query: _Query) -> Card:
        """Return the card in a reply; `RunError` says in a phrase why there is none."""
        if message.has_error():
            raise RunError(f"the site's client broke off (code {message.error.code})")
        receipt = unpack_receipt(message.content)
        site_id = receipt.site_id
        if site_id in self._images and receipt.schema_digest not in ("", query.order.schema_digest):
            raise RunError(f"{site_id} builds another model; it must run the same fedcxr version")
        if site_id not in self._images and site_id:
            raise RunError(f"{site_id[:64]!r} is not a site of the plan")
        self._check_key(site_id, query.node_id)
        check_receipt(message, site_id, query.order)
        numbers = unpack_result(message.content)
        texts = unpack_card_texts(message.content)
        most = self._images[site_id]
        if self._tells_counts and not 0 <= numbers.get("num-train", -1) <= most:
            raise RunError(
                f"{site_id} has more training images than the plan's {self._images[site_id]}"
            )
        is_sent = self._declared or VECTORS in message.content
        vectors = vectors_in(message.content, self._declared) if is_sent else {}
        if any(not (np.isfinite(vector) & (vector >= 0)).all() for vector in vectors.values()):
            raise RunError(f"{site_id} counts targets that are negative or not finite")
        if (
            vectors
            and not (
                (vectors[POSITIVE] <= vectors[KNOWN]) & (vectors[KNOWN] <= numbers["num-train"])
            ).all()
        ):
            raise RunError(f"{site_id} counts more targets than it has training images")
        return Card(site_id, query.node_id, numbers, texts, vectors)

    def _check_key(self, site_id: str, node_id: int) -> None:
        """Raise `RunError` where a node is not the one that the site's key belongs to."""
        if self._site_keys is None:
            return
        key_by_node = {node.node_id: node.public_key for node in self._grid.get_nodes()}
        if not site_id or key_by_node.get(node_id) != self._site_keys.get(site_id):
            what = "a node with another key than this site's said that it is this site"
            if site_id in self._images:
                self._on_change(site_id, what)
            raise RunError(f"{site_id[:64]!r}: {what}")

    def _not_there(self, answer_s: float | None) -> RunError:
        reasons = list(self._reasons.values())
        if self._queries and answer_s is not None:
            reasons += [f"no answer within {answer_s:g} s"] * len(self._queries)
        why = f" ({some(reasons, 3)})" if reasons else ""
        return RunError(
            f"These sites of the plan are not there: {some(self._absent())}{why}. "
            "Start their clients, or partition for fewer sites."
        )


def _is_over(query: _Query, answer_s: float | None, now: float) -> bool:
    return answer_s is not None and now - query.asked_at >= answer_s
