"""Who is there: each node is asked for its site's card; from then on only sites are spoken of."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from flwr.app import Message, MessageType, RecordDict
from flwr.serverapp import Grid

from fedcxr.errors import RunError, some
from fedcxr.wire import (
    OK,
    ORDER,
    Order,
    pack_order,
    unpack_card_texts,
    unpack_receipt,
    unpack_result,
)
from server.exchange import Reply, Waits, exchange

POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Card:
    """What a site says of itself."""

    site_id: str
    node_id: int
    numbers: Mapping[str, float]
    texts: Mapping[str, object]


def gather_cards(
    grid: Grid, train_images: Mapping[str, int], order: Order, waits: Waits, *, timeout_s: float
) -> dict[str, Card]:
    """Return the card of every site of the plan, by site id.

    Args:
        grid: carries the messages.
        train_images: the sites of the plan, all of which must be there, with their images.
        order: run, task and spec; its nonce is replaced.
        waits: for the cards; a site may decode all its images before it answers.
        timeout_s: for the nodes to be there.

    Raises:
        RunError: a site is not there in time, failed, is there twice, or has other data or another
            model than the plan says.
    """
    nodes = _wait_for_nodes(grid, len(train_images), time.monotonic() + timeout_s)
    queries = [(str(node), lambda node=node: _query(node, order)) for node in nodes]
    cards: dict[str, Card] = {}
    reasons: list[str] = []
    for reply in exchange(grid, queries, waits):
        card = _read_card(reply, order, train_images)
        if isinstance(card, Card) and card.site_id in cards:
            raise RunError(
                f"Two nodes say that they are {card.site_id}. "
                "Give each SuperNode a site-dir of its own."
            )
        if isinstance(card, Card):
            cards[card.site_id] = card
        else:
            reasons.append(card)
    absent = sorted(set(train_images) - set(cards))
    if absent:
        why = f" ({some(reasons, 3)})" if reasons else ""
        raise RunError(
            f"These sites of the plan are not there: {some(absent)}{why}. "
            "Start their clients, or partition for fewer sites."
        )
    return {site_id: cards[site_id] for site_id in train_images}


def _wait_for_nodes(grid: Grid, number: int, end: float) -> list[int]:
    nodes = sorted(grid.get_node_ids())
    while len(nodes) < number and time.monotonic() < end:
        time.sleep(POLL_S)
        nodes = sorted(grid.get_node_ids())
    return nodes


def _query(node_id: int, order: Order) -> Message:
    fresh = replace(order, nonce=secrets.token_hex(16))
    return Message(
        RecordDict({ORDER: pack_order(fresh)}), dst_node_id=node_id, message_type=MessageType.QUERY
    )


def _read_card(reply: Reply, order: Order, train_images: Mapping[str, int]) -> "Card | str":
    """Return the card, or in a phrase why there is none."""
    if reply.message is None:
        return reply.reason
    try:
        receipt = unpack_receipt(reply.message.content)
        if receipt.code != OK:
            return receipt.reason
        numbers = unpack_result(reply.message.content)
        texts = unpack_card_texts(reply.message.content)
    except RunError as err:
        return str(err)
    site_id = receipt.site_id
    if site_id not in train_images:
        return f"{site_id[:64]!r} is not a site of the plan"
    if receipt.spec_digest != order.spec_digest:
        return f"{site_id} builds another model; it must run the same fedcxr version"
    if not 0 <= numbers.get("num-train", -1) <= train_images[site_id]:
        return f"{site_id} has more training images than the plan's {train_images[site_id]}"
    return Card(site_id, int(reply.site_id), numbers, texts)
