"""Orders out, replies in, in the orders' order and with a bound on time and memory.

Works on any Flower grid. At most `window` orders are under way, so at most that many replies wait
for their turn, and what was yielded is dropped by the caller before the next is pulled.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from flwr.app import Message
from flwr.serverapp import Grid

POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back from one site: a message, or None and why not."""

    site_id: str
    message: Message | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Waits:
    """How many orders may be under way, and how long each may take."""

    window: int
    deadline_s: float
    """From the sending of an order to its reply."""


@runtime_checkable
class GivesUp(Protocol):
    """A grid that can forget an order, and whoever hangs on it."""

    def give_up(self, message_id: str) -> None:
        """Forget the order."""


@dataclass(slots=True)
class _Sent:
    site_id: str
    message_id: str
    end: float


def exchange(
    grid: Grid, orders: Iterable[tuple[str, Callable[[], Message]]], waits: Waits
) -> Iterator[Reply]:
    """Send each order and yield the replies in the same order.

    Args:
        grid: carries the messages.
        orders: (site_id, maker of its message); a message is made when it is sent.
        waits: a site that has not answered by its deadline is yielded without a message.
    """
    todo = iter(orders)
    waiting: list[_Sent] = []  # in order
    arrived: dict[str, Message] = {}
    while True:
        while len(waiting) < waits.window and (following := next(todo, None)) is not None:
            waiting.append(_send(grid, following, waits))
        if not waiting:
            return
        head = waiting[0]
        message = arrived.pop(head.message_id, None)
        if message is None and head.message_id and time.monotonic() < head.end:
            _pull(grid, waiting, arrived)
            continue
        waiting.pop(0)
        if message is None and isinstance(grid, GivesUp):
            grid.give_up(head.message_id)
        yield _reply(head, message, waits.deadline_s)
        del message


def _send(grid: Grid, order: tuple[str, Callable[[], Message]], waits: Waits) -> _Sent:
    site_id, make = order
    sent = list(grid.push_messages([make()]))
    return _Sent(site_id, sent[0] if sent else "", time.monotonic() + waits.deadline_s)


def _pull(grid: Grid, waiting: list[_Sent], arrived: dict[str, Message]) -> None:
    """Take what is there; the local grid waits a moment itself, the others answer at once."""
    start = time.monotonic()
    wanted = [s.message_id for s in waiting if s.message_id and s.message_id not in arrived]
    found = 0
    for message in grid.pull_messages(wanted):
        arrived[message.metadata.reply_to_message_id] = message
        found += 1
    if not found:
        time.sleep(max(0.0, POLL_S - (time.monotonic() - start)))


def _reply(sent: _Sent, message: Message | None, deadline_s: float) -> Reply:
    if not sent.message_id:
        return Reply(sent.site_id, None, "the site's node is not connected")
    if message is None:
        return Reply(sent.site_id, None, f"no answer within {deadline_s:g} s")
    if message.has_error():
        return Reply(sent.site_id, None, f"the site's client broke off (code {message.error.code})")
    return Reply(sent.site_id, message)
