"""What every Flower grid of simulated nodes does: number messages, queue orders, hand out replies.

Orders wait here until a worker is free, one message a worker at a time, so the server's memory
holds the replies under way and no more.
"""

import itertools
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Iterable

from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from fedcxr.engines.local_worker import BROKE_OFF
from fedcxr.wire import OUT_OF_MEMORY, RECEIPT

WAIT_S = 0.05
"""Longest wait in one call of `pull_messages`."""


class SimulatedGrid(Grid):
    """Carries messages between a ServerApp and `num_nodes` simulated nodes, ids 1 to num_nodes."""

    def __init__(self, num_nodes: int) -> None:
        self._num_nodes = num_nodes
        self._queue: deque[Message] = deque()
        self._done: dict[str, Message] = {}
        self._begun: dict[str, float] = {}
        self._ids = itertools.count(1)
        self._run = Run.create_empty(run_id=1)
        # Message() reads these; SuperLink and Flower's simulation set them in their own processes.
        TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = 1, 1, 0

    @abstractmethod
    def dispatch(self) -> None:
        """Give queued orders to the workers that are free."""

    @abstractmethod
    def work(self) -> None:
        """Take what the workers have answered; wait at most `WAIT_S` for the first."""

    @property
    def run(self) -> Run:
        """The run; there is only one here."""
        return self._run

    def set_run(self, run: Run) -> None:
        """Set the run."""
        self._run = run

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of the simulated nodes."""
        return range(1, self._num_nodes + 1)

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Return a message to a node."""
        return Message(content, dst_node_id, message_type, group_id=group_id, ttl=ttl)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Queue messages and return their ids."""
        ids = []
        for message in messages:
            message.metadata.__dict__["_message_id"] = str(next(self._ids))
            self._queue.append(message)
            ids.append(message.metadata.message_id)
        self.dispatch()
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that are there to the given messages; wait a moment for the first."""
        wanted = list(message_ids)
        if not any(message_id in self._done for message_id in wanted):
            self.work()
        return [self._done.pop(m) for m in wanted if m in self._done]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Return the replies that come in time; the server streams with push and pull instead."""
        end = time.monotonic() + (float("inf") if timeout is None else timeout)
        waiting = set(self.push_messages(messages))
        replies: list[Message] = []
        while waiting and time.monotonic() < end:
            found = list(self.pull_messages(waiting))
            waiting -= {m.metadata.reply_to_message_id for m in found}
            replies += found
        return replies

    def begun_at(self, message_id: str) -> float | None:
        """Return `time.monotonic()` of when a client began an order; None while it waits."""
        return self._begun.get(message_id)

    def begin(self, message: Message) -> None:
        """Note that a client begins an order now."""
        self._begun[message.metadata.message_id] = time.monotonic()

    def queue_again(self, message: Message) -> None:
        """Put an order that was not done in front of the others; it has not begun."""
        self._begun.pop(message.metadata.message_id, None)
        self._queue.appendleft(message)

    def forget(self, message_id: str) -> None:
        """Drop an order that waits here, and a reply that nobody has asked for."""
        self._done.pop(message_id, None)
        self._begun.pop(message_id, None)
        self._queue = deque(m for m in self._queue if m.metadata.message_id != message_id)

    def finish(self, message: Message, reply: Message) -> None:
        """Keep the reply to an order until it is pulled."""
        reply.metadata.__dict__["_message_id"] = str(next(self._ids))
        self._begun.pop(message.metadata.message_id, None)
        self._done[message.metadata.message_id] = reply

    def fail(self, message: Message, why: str, code: int = BROKE_OFF) -> None:
        """Answer an order as broken off: its site is missing in that round."""
        self.finish(message, Message(Error(code, why), reply_to=message))


def ran_out_of_memory(reply: Message) -> bool:
    """Return whether a client says that it had too little memory for its order."""
    receipt = reply.content.get(RECEIPT) if reply.has_content() else None
    return isinstance(receipt, ConfigRecord) and receipt.get("code") == OUT_OF_MEMORY
