"""Orders out, replies in, in the orders' order and with a bound on time and memory.

Works on any Flower grid. At most `window` orders are under way. Of the replies at most `HELD` wait
here for their turn; real sites' others stay with the SuperLink until then. What was yielded is
dropped by the caller before the next is pulled.
"""

import gc
import math
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
HELD = 4
"""Most replies that wait here for that of a site before them. Flower's grid takes all of a question
at once, 28 MB each, so that no more are asked for."""


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
    asked_at: float = -math.inf
    """When the last question for its reply began."""
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
            _pull(grid, waiting, arrived, pace, limits.deadline_s)
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
    """Mark the orders that had no reply when asked after their deadline; have the grid forget them.

    Not only the one whose turn it is: a client that hangs would keep its place. But none that was
    not asked for: it may have answered long ago, and its reply wait with the SuperLink.
    """
    if deadline_s is None:
        return
    for sent in waiting:
        if not sent.message_id or sent.is_late or sent.message_id in arrived:
            continue
        begun = sent.sent_at
        if isinstance(grid, TellsBeginning):
            found = grid.begun_at(sent.message_id)
            begun = math.inf if found is None else found
        if sent.asked_at - begun < deadline_s:
            continue
        sent.is_late = True
        if isinstance(grid, Cancellable):
            grid.cancel(sent.message_id)


def _pull(
    grid: Grid,
    waiting: list[_Sent],
    arrived: dict[str, Message],
    pace: Pace,
    deadline_s: float | None,
) -> None:
    """Take what is there; a simulation's grid waits a moment itself, the others answer at once."""
    start = time.monotonic()
    wanted = [s for s in waiting if s.message_id and not s.is_late and s.message_id not in arrived]
    if not isinstance(grid, TellsBeginning):  # a simulation's window is small, and it works inside
        wanted = wanted[: 1 + max(0, HELD - len(arrived))]  # the first is the one whose turn it is
    for sent in wanted:
        sent.asked_at = start
    found = 0
    for message in grid.pull_messages([sent.message_id for sent in wanted]):
        arrived[message.metadata.reply_to_message_id] = message
        found += 1
    if found:
        pace.restart()
        if not isinstance(grid, TellsBeginning):
            # httpx's response and its stream refer to one another: the bytes of each reply, 28 MB,
            # would stay until Python looks for such cycles by itself, many replies later.
            gc.collect()
        return
    if isinstance(grid, TellsBeginning):
        wait_s = POLL_S  # work is done inside the questions: it is not to wait for the next one
    elif deadline_s is None:
        wait_s = pace.wait_s
    else:  # silent sites are found out one after the other, and no wait for each comes on top
        wait_s = min(pace.wait_s, wanted[0].sent_at + deadline_s - start)
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
