"""A Flower grid on this machine: one worker in this process, or several that stay alive.

Orders wait here until a worker is free, one message a worker at a time, so the server's memory
holds the replies under way and no more. A worker that dies or is given up is replaced; its site is
missing in that round.
"""

import contextlib
import itertools
import logging
import os
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from fedcxr.engines.app_ref import AppRef
from fedcxr.engines.frames import Memory, arrays_of, receive_message, send_message
from fedcxr.engines.worker import BROKE_OFF, answer

log = logging.getLogger(__name__)

WAIT_S = 0.05
"""Longest wait in one call of `pull_messages`."""
STALL_S = 120.0
"""Longest standstill in the middle of a message; a worker that stalls is replaced."""
PRIMITIVES = "8192"
"""Compiled operations that oneDNN keeps in a worker. A DenseNet121 has about 360 for each batch
size and number of threads; with oneDNN's own 1024 some were compiled again and again."""
STOP_S = 2.0
"""Longest wait for the workers to end by themselves, all together."""


@dataclass(slots=True)
class _Worker:
    process: subprocess.Popen[bytes]
    pipe: socket.socket
    sent: Memory = field(default_factory=Memory)
    received: Memory = field(default_factory=Memory)
    busy_with: Message | None = None


class LocalGrid(Grid):
    """Carries messages between a ServerApp and `num_nodes` simulated nodes, ids 1 to num_nodes."""

    def __init__(self, app: AppRef, num_nodes: int, workers: int) -> None:
        self._ref = app
        self._num_nodes = num_nodes
        self._queue: deque[Message] = deque()
        self._done: dict[str, Message] = {}
        self._ids = itertools.count(1)
        self._tokens: dict[int, tuple[int, object]] = {}
        self._app: ClientApp | None = None
        self._contexts: dict[int, Context] = {}
        self._num_workers = workers
        self._workers: list[_Worker] = []
        self._run = Run.create_empty(run_id=1)
        # Message() reads these; SuperLink and Flower's simulation set them in their own processes.
        TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = 1, 1, 0

    def start(self) -> None:
        """Start the worker processes; they import while the server makes the data ready."""
        if self._num_workers > 1:
            self._workers = [self._spawn() for _ in range(self._num_workers)]

    def close(self) -> None:
        """End the workers: idle ones go by themselves, the others are killed."""
        end = time.monotonic() + STOP_S
        for worker in self._workers:
            worker.pipe.close()
            if worker.busy_with is not None:
                worker.process.kill()
        for worker in self._workers:
            try:
                worker.process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait(STOP_S)
        self._workers = []

    def give_up(self, message_id: str) -> None:
        """Forget an order that nobody waits for any more; a worker that hangs on it is replaced."""
        self._done.pop(message_id, None)
        self._queue = deque(m for m in self._queue if m.metadata.message_id != message_id)
        for worker in self._workers:
            message = worker.busy_with
            if message is not None and message.metadata.message_id == message_id:
                worker.busy_with = None
                self._replace(worker)

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
        self._dispatch()
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that are there to the given messages; wait a moment for the first."""
        wanted = list(message_ids)
        if not any(message_id in self._done for message_id in wanted):
            self._work()
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

    def _work(self) -> None:
        if self._num_workers > 1:
            self._collect()
            self._dispatch()
        elif self._queue:
            self._app = self._app or self._ref.load()
            message = self._queue.popleft()
            self._finish(message, answer(self._app, message, self._contexts))

    def _dispatch(self) -> None:
        for worker in list(self._workers):
            if worker.busy_with is None and self._queue:
                self._send(worker, self._queue.popleft())

    def _send(self, worker: _Worker, message: Message) -> None:
        worker.busy_with = message
        try:
            send_message(worker.pipe, message, self._token(message), worker.sent)
        except OSError:
            self._replace(worker)

    def _token(self, message: Message) -> int:
        """Name the message's arrays, so that a worker gets a round's parameters only once."""
        records = tuple(arrays_of(message).values())
        if not records:
            return 0
        key = hash(tuple(id(record) for record in records))
        if key not in self._tokens:
            # The records are held, or their ids could come again for other arrays.
            self._tokens = {key: (next(self._ids), records)}
        return self._tokens[key][0]

    def _collect(self) -> None:
        pipes = {worker.pipe: worker for worker in self._workers if worker.busy_with is not None}
        ready, _, _ = select.select(list(pipes), [], [], WAIT_S)
        for pipe in ready:
            worker = pipes[pipe]
            message = worker.busy_with
            try:
                reply = receive_message(worker.pipe, worker.received)
            except (EOFError, OSError):
                self._replace(worker)
                continue
            worker.busy_with = None
            if message is not None:
                self._finish(message, reply)
            # A worker must not wait for the server to aggregate before it gets its next order.
            if self._queue:
                self._send(worker, self._queue.popleft())

    def _replace(self, worker: _Worker) -> None:
        """Start another worker in the place of a lost one; its order is answered as failed."""
        message, worker.busy_with = worker.busy_with, None
        worker.pipe.close()
        worker.process.kill()
        code = worker.process.wait(STOP_S)
        log.warning("a worker process was lost (exit code %s); another is started", code)
        self._workers[self._workers.index(worker)] = self._spawn()
        if message is not None:
            self._finish(message, Message(Error(BROKE_OFF, "the worker died"), reply_to=message))

    def _finish(self, message: Message, reply: Message) -> None:
        reply.metadata.__dict__["_message_id"] = str(next(self._ids))
        self._done[message.metadata.message_id] = reply

    def _spawn(self) -> _Worker:
        ours, theirs = socket.socketpair()
        ours.settimeout(STALL_S)
        level = str(logging.getLogger().getEffectiveLevel())
        command = [sys.executable, "-m", "fedcxr.engines.worker"]
        command += [str(theirs.fileno()), self._ref.to_text(), level]
        environment = {
            "ONEDNN_PRIMITIVE_CACHE_CAPACITY": PRIMITIVES,
            **os.environ,
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        }
        with theirs:
            process = subprocess.Popen(
                command,
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C is for this process, which then ends its workers
            )
        return _Worker(process, ours)


@contextlib.contextmanager
def local_grid(app: AppRef, num_nodes: int, workers: int) -> Iterator[LocalGrid]:
    """Yield a started grid and end its workers afterwards, whatever happens."""
    grid = LocalGrid(app, num_nodes, workers)
    try:
        grid.start()
        yield grid
    finally:
        grid.close()
