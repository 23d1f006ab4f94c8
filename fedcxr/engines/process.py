"""One worker process as the server sees it: started, given an order, asked for the reply, ended."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flwr.app import ArrayRecord, Message

from fedcxr.engines.app_ref import AppRef
from fedcxr.engines.fork_server import ForkServer, fork_server, kill
from fedcxr.engines.frames import (
    Listed,
    Packet,
    arrays_of,
    attach_arrays,
    describe,
    receive_inline,
    receive_packet,
    send_packet,
    size_of,
    write_arrays,
)
from fedcxr.engines.shared import Blocks, Lease

STALL_S = 120.0
"""Longest standstill in the middle of a message; a worker that stalls is replaced."""
STOP_S = 2.0
"""Longest wait for a process to end."""
WORKER = "fedcxr.engines.local_worker"
"""What every worker runs."""


@dataclass(frozen=True, slots=True)
class Placed:
    """The arrays of an order in a block: a round's parameters are written once for all workers."""

    records: tuple[ArrayRecord, ...]
    """Held, or their ids could come again for other arrays."""
    listed: Listed
    lease: Lease

    def holds(self, message: Message) -> bool:
        """Return whether these are the message's own arrays."""
        return list(map(id, self.records)) == list(map(id, arrays_of(message).values()))


def place(message: Message, blocks: Blocks) -> Placed:
    """Write a message's arrays into a block."""
    records = arrays_of(message)
    listed = describe(records)
    lease = blocks.lease(size_of(listed))
    write_arrays(records, lease.data)
    return Placed(tuple(records.values()), listed, lease)


@dataclass(slots=True)
class WorkerProcess:
    """A process that answers one order at a time."""

    pid: int
    pipe: socket.socket
    _server: ForkServer
    """Which forked it, and knows how it ends."""
    busy_with: Message | None = None
    neighbours: int = 0
    """Other workers when it got its order: they share the memory."""
    _knows: set[int] = field(default_factory=set)
    """Numbers of the blocks that it has mapped."""
    _leases: tuple[Lease, ...] = ()
    """What its order lies in, and the room for its reply."""

    @classmethod
    def start(cls, app: AppRef, variables: Mapping[str, str] | None = None) -> "WorkerProcess":
        """Start a worker for `app`.

        Args:
            app: what answers its orders.
            variables: set on top of this process's environment.

        Raises:
            OSError: no process can be started.
        """
        server = fork_server(WORKER, app.module)
        ours, theirs = socket.socketpair()
        ours.settimeout(STALL_S)
        with theirs:
            pid = server.fork(theirs, f"{WORKER}:run", app.to_text(), variables)
        return cls(pid, ours, server)

    def send(self, message: Message, placed: Placed | None, blocks: Blocks) -> None:
        """Give the worker an order; `OSError` where it is gone.

        Args:
            message: the order.
            placed: its arrays; none for an order without, whose reply then has no block either.
            blocks: where the room for the reply comes from.
        """
        self.busy_with = message
        head: dict[str, Any] = {"arrays": [], "block": None, "reply": None}
        if placed is not None:
            reply = blocks.lease(placed.lease.data.size)
            self._leases = (placed.lease, reply)
            head = {
                "arrays": placed.listed,
                "block": placed.lease.block.number,
                "reply": reply.block.number,
            }
        new = [x.block for x in self._leases if x.block.number not in self._knows]
        gone = self._knows - blocks.numbers
        head |= {"new": [block.number for block in new], "gone": sorted(gone)}
        self._knows -= gone
        send_packet(self.pipe, Packet(head, message, [block.descriptor for block in new]))
        self._knows.update(head["new"])

    def receive(self) -> Message:
        """Return the reply; `EOFError` or `OSError` where the worker is gone."""
        packet = receive_packet(self.pipe)
        listed = packet.head["arrays"]
        inline = packet.head["inline"]
        data = receive_inline(self.pipe, listed) if inline else self._leases[-1].data
        attach_arrays(packet.message, listed, data)
        self.busy_with, self._leases = None, ()
        return packet.message

    def kill(self) -> None:
        """End the process at once."""
        kill(self.pid)

    def end(self, wait_s: float = 0.0) -> int | None:
        """Return the code it ends with in `wait_s` seconds; None = it had to be killed."""
        self.pipe.close()
        self.busy_with, self._leases = None, ()
        code = self._server.exit_code(self.pid, wait_s)
        if code is None:
            self.kill()
            self._server.exit_code(self.pid, STOP_S)
        return code
