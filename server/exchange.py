"""Orders out, replies in, in the orders' order and with a bound on time and memory.

Works on any Flower grid. At most `window` orders are under way, so at most that many replies wait
for their turn, and what was yielded is dropped by the caller before the next is pulled.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from flwr.app import Message
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from fedcxr.interrupts import raise_if_interrupted
from fedcxr.pace import Pace
from fedcxr.wire import CLIENT_IDLE

POLL_S, LONGEST_POLL_S = 0.05, 0.5
"""Between two questions for replies; the longer where none has come for long."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back from one site: a message, or None and why not."""

    site_id: str
    message: Message | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ExchangeLimits:
    """How many orders may be under way, and how long each may take."""

    window: int
    deadline_s: float | None
    """From the moment at which a client begins an order to its reply, where the grid can tell;
    from the sending where it cannot. None = until the grid itself gives up on the client."""


@runtime_checkable
class Cancellable(Protocol):
    """A grid that can forget an order, and end whoever hangs on it."""

    def cancel(self, message_id: str) -> None:
        """Forget the order."""


@runtime_checkable
class TellsBeginning(Protocol):
    """A grid in which orders wait for a free client, and that knows when one began."""

    def begun_at(self, message_id: str) -> float | None:
        """Return `time.monotonic()` of when a client began the order; None while it waits."""


@dataclass(slots=True)
class _Sent:
    site_id: str
    message_id: str
    sent_at: float
    is_late: bool = False


def exchange(
    grid: Grid, orders: Iterable[tuple[str, Callable[[], Message]]], limits: ExchangeLimits
) -> Iterator[Reply]:
    """Send each order and yield the replies in the same order.

    Args:
        grid: carries the messages.
        orders: (site_id, maker of its message); a message is made when it is sent.
        limits: a site that has not answered by its deadline is yielded without a message.

    Raises:
        KeyboardInterrupt: the process was asked to end, even where Python lost that.
    """
    todo = iter(orders)
    waiting: list[_Sent] = []  # in order
    arrived: dict[str, Message] = {}
    pace = Pace(POLL_S, LONGEST_POLL_S)
    while True:
        raise_if_interrupted()
        while len(waiting) < limits.window and (following := next(todo, None)) is not None:
            waiting.append(_send(grid, following))
        if not waiting:
            return
        _cancel_late(grid, waiting, arrived, limits.deadline_s)
        head = waiting[0]
        message = arrived.pop(head.message_id, None)
        if message is None and head.message_id and not head.is_late:
            _pull(grid, waiting, arrived, pace)
            continue
        waiting.pop(0)
        yield _reply(head, message, limits.deadline_s)
        del message


def _send(grid: Grid, order: tuple[str, Callable[[], Message]]) -> _Sent:
    site_id, make = order
    sent = list(grid.push_messages([make()]))
    return _Sent(site_id, sent[0] if sent else "", time.monotonic())


def _cancel_late(
    grid: Grid, waiting: list[_Sent], arrived: dict[str, Message], deadline_s: float | None
) -> None:
    """Mark the orders that are past their deadline, and have the grid forget them.

    All of them, not only the one whose turn it is: a client that hangs would keep its place.
    """
    if deadline_s is None:
        return
    now = time.monotonic()
    for sent in waiting:
        if not sent.message_id or sent.is_late or sent.message_id in arrived:
            continue
        begun = sent.sent_at
        if isinstance(grid, TellsBeginning):
            found = grid.begun_at(sent.message_id)
            begun = now if found is None else found
        if now - begun < deadline_s:
            continue
        sent.is_late = True
        if isinstance(grid, Cancellable):
            grid.cancel(sent.message_id)


def _pull(grid: Grid, waiting: list[_Sent], arrived: dict[str, Message], pace: Pace) -> None:
    """Take what is there; a simulation's grid waits a moment itself, the others answer at once."""
    start = time.monotonic()
    wanted = [
        s.message_id
        for s in waiting
        if s.message_id and not s.is_late and s.message_id not in arrived
    ]
    found = 0
    for message in grid.pull_messages(wanted):
        arrived[message.metadata.reply_to_message_id] = message
        found += 1
    if found:
        pace.restart()
        return
    # Work is done inside the questions to a simulation's grid: it is not to wait for the next one.
    wait_s = POLL_S if isinstance(grid, TellsBeginning) else pace.wait_s
    time.sleep(max(0.0, wait_s - (time.monotonic() - start)))


def _reply(sent: _Sent, message: Message | None, deadline_s: float | None) -> Reply:
    if not sent.message_id:
        return Reply(sent.site_id, None, "the site's node is not connected")
    if message is None:
        return Reply(sent.site_id, None, f"no answer within {deadline_s:g} s")
    if message.has_error():
        # Never the error's own text: it may be the site's.
        if message.error.code == CLIENT_IDLE:
            return Reply(sent.site_id, None, "the site's client did nothing any more")
        if message.error.code == ErrorCode.NODE_UNAVAILABLE:
            return Reply(sent.site_id, None, "the site's node went away")
        return Reply(sent.site_id, None, f"the site's client broke off (code {message.error.code})")
    return Reply(sent.site_id, message)
