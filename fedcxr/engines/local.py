"""A Flower grid on this machine: one worker in this process, or several that stay alive.

Orders wait here until a worker is free, one message a worker at a time, so the server's memory
holds the replies under way and no more. A worker that dies, is cancelled or does nothing any more
is replaced; its site is missing in that round. Where memory runs out, half of the workers go and
the order is done again.
"""

import contextlib
import logging
import select
import signal
import threading
from collections.abc import Callable, Iterator, Sequence

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedcxr.engines.app_ref import AppRef
from fedcxr.engines.frames import arrays_of
from fedcxr.engines.grid import WAIT_S, SimulatedGrid, ran_out_of_memory
from fedcxr.engines.idle import IdleWatch, cpu_seconds_of
from fedcxr.engines.local_worker import answer
from fedcxr.engines.process import Placed, WorkerProcess, place
from fedcxr.engines.shared import Blocks
from fedcxr.training.device import WORKER_DEVICE
from fedcxr.wire import CLIENT_IDLE

log = logging.getLogger(__name__)

OnFewer = Callable[[int, str], None]
"""Told how many clients train at once from now on, and why."""
LAST_WORD_S = 1.0
"""Longest wait for the exit code of a process whose socket ended."""

_ONE_AT_A_TIME = threading.Lock()
"""Held by a client that trains in this process: all such clients share one model and torch's
generators, whichever thread and whichever run they are of."""


class LocalGrid(SimulatedGrid):
    """A grid whose nodes are in this process, or take turns in worker processes."""

    def __init__(
        self,
        app: AppRef,
        num_nodes: int,
        workers: int,
        gpus: Sequence[int] = (),
        on_fewer: OnFewer | None = None,
        *,
        apart: bool = False,
    ) -> None:
        """Take the nodes.

        Args:
            app: of every node.
            num_nodes: how many there are.
            workers: clients at once.
            gpus: worker n computes on GPU number gpus[n % len].
            on_fewer: told when memory lets fewer clients train.
            apart: have one worker in a process of its own, too, so that it can be ended.
        """
        super().__init__(num_nodes)
        self._on_fewer = on_fewer
        self._ref = app
        self._blocks = Blocks(keep=workers + 2)
        self._placed: Placed | None = None
        self._app: ClientApp | None = None
        self._contexts: dict[int, Context] = {}
        self._num_workers = workers
        self._gpus = tuple(gpus)
        self._apart = apart or workers > 1
        self._workers: list[WorkerProcess] = []
        self._watch = IdleWatch[int](cpu_seconds_of)

    def start(self) -> None:
        """Start the worker processes."""
        if self._apart:
            self._workers = [self._spawn(number) for number in range(self._num_workers)]

    def close(self) -> None:
        """End the workers at once: what sites keep is on disk, and tearing torch down takes 2 s."""
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.end()
        self._workers = []
        self._placed = None
        self._blocks.close()

    def cancel(self, message_id: str) -> None:
        """Forget an order that nobody waits for any more; a worker that hangs on it is replaced."""
        self.forget(message_id)
        for worker in self._workers:
            message = worker.busy_with
            if message is not None and message.metadata.message_id == message_id:
                worker.busy_with = None
                self._replace(worker)

    def work(self) -> None:
        """Do the next order here, or take what the workers have answered."""
        if self._apart:
            self._collect()
            self._end_idle()
            self.dispatch()
        elif self._queue:
            message = self._queue.popleft()
            with _ONE_AT_A_TIME:
                self._app = self._app or self._ref.load()
                self.begin(message)
                self.finish(message, answer(self._app, message, self._contexts))

    def dispatch(self) -> None:
        """Give queued orders to the workers that are free."""
        for worker in list(self._workers):
            if worker.busy_with is None and self._queue:
                self._send(worker, self._queue.popleft())

    def _send(self, worker: WorkerProcess, message: Message) -> None:
        if arrays_of(message) and not (self._placed and self._placed.holds(message)):
            self._placed = None  # before the next lease, which may then be the same block
            self._placed = place(message, self._blocks)
        self.begin(message)
        try:
            worker.neighbours = len(self._workers) - 1
            worker.send(message, self._placed if arrays_of(message) else None, self._blocks)
        except OSError:
            self._replace(worker)

    def _collect(self) -> None:
        pipes = {worker.pipe: worker for worker in self._workers if worker.busy_with is not None}
        ready, _, _ = select.select(list(pipes), [], [], WAIT_S)
        for pipe in ready:
            worker = pipes[pipe]
            message = worker.busy_with
            try:
                reply = worker.receive()
            except (EOFError, OSError):
                self._replace(worker)
                continue
            if message is not None:
                self._take(message, reply, worker.neighbours)
            self._end_surplus()
            # A worker must not wait for the server to aggregate before it gets its next order.
            self.dispatch()

    def _take(self, message: Message, reply: Message, neighbours: int) -> None:
        why = "a client ran out of memory"
        if not (ran_out_of_memory(reply) and self._again(message, why, neighbours)):
            self.finish(message, reply)

    def _again(self, message: Message, why: str, neighbours: int) -> bool:
        """Queue an order again, for half as many workers; False where it had the memory alone."""
        if neighbours == 0:
            return False
        # more than one, and the last halving is done
        if self._num_workers > 1 and len(self._workers) <= self._num_workers:
            self._num_workers = max(1, self._num_workers // 2)
            log.warning("%s: the run goes on with %d clients at once", why, self._num_workers)
            if self._on_fewer:
                self._on_fewer(self._num_workers, why)
        self.queue_again(message)
        return True

    def _end_idle(self) -> None:
        """Replace workers that do nothing any more; their orders are answered as failed."""
        busy = {worker.pid: worker for worker in self._workers if worker.busy_with is not None}
        for pid in self._watch.idle(list(busy)):
            worker = busy[pid]
            message, worker.busy_with = worker.busy_with, None
            if message is not None:
                self.fail(message, "the worker did nothing any more", CLIENT_IDLE)
            self._replace(worker)

    def _end_surplus(self) -> None:
        """End idle workers of which there are too many after a halving."""
        for worker in [w for w in self._workers if w.busy_with is None]:
            if len(self._workers) > self._num_workers:
                self._workers.remove(worker)
                worker.end(LAST_WORD_S)

    def _replace(self, worker: WorkerProcess) -> None:
        """Start another worker in the place of a lost one; its order is answered as failed."""
        message, position = worker.busy_with, self._workers.index(worker)
        self._workers.remove(worker)
        code = worker.end(LAST_WORD_S if message else 0.0)
        log.warning("a worker process was lost (exit code %s)", code)
        if message is not None:
            # Where memory runs out, Linux kills the process that has most of it.
            killed = code == -signal.SIGKILL
            why = "a worker process was killed"
            if not (killed and self._again(message, why, worker.neighbours)):
                self.fail(message, "the worker died")
        if len(self._workers) < self._num_workers:
            self._workers.insert(position, self._spawn(position))

    def _spawn(self, number: int) -> WorkerProcess:
        gpu = self._gpus[number % len(self._gpus)] if self._gpus else None
        variables = {} if gpu is None else {WORKER_DEVICE: f"cuda:{gpu}"}
        return WorkerProcess.start(self._ref, variables)


@contextlib.contextmanager
def local_grid(
    app: AppRef,
    num_nodes: int,
    workers: int,
    gpus: Sequence[int] = (),
    on_fewer: OnFewer | None = None,
    *,
    apart: bool = False,
) -> Iterator[LocalGrid]:
    """Yield a started grid and end its workers afterwards, whatever happens; see `LocalGrid`."""
    grid = LocalGrid(app, num_nodes, workers, gpus, on_fewer, apart=apart)
    try:
        grid.start()
        yield grid
    finally:
        grid.close()
