"""The resident trainer of a site: one process that holds PyTorch, the model and the opened data.

Flower starts a process for every message, which imports PyTorch, builds the model and opens the
data anew. Here one process answers them all. It is forked when the first order of a run comes, by
a process that has imported what it needs beside the client's own start. It ends with its run, so
that nothing of a run is left for the next one; when no order has come for long, so that the memory
of the machine and of its GPU are free for others; and with the client.
"""

import contextlib
import json
import logging
import select
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from flwr.app import Context, Error, Message

from fedcxr.deploy.child import open_log
from fedcxr.deploy.orphans import LOG_FORMAT
from fedcxr.engines.app_ref import AppRef
from fedcxr.engines.fork_server import end_fork_server, fork_server
from fedcxr.engines.frames import arrays_of
from fedcxr.engines.idle import IdleWatch, cpu_seconds_of
from fedcxr.engines.local_worker import BROKE_OFF
from fedcxr.engines.process import WORKER, WorkerProcess, place
from fedcxr.engines.shared import Blocks
from fedcxr.interrupts import raise_if_interrupted
from fedcxr.wire import CLIENT_IDLE

TRIES = 2
"""How often an order is begun whose trainer dies; the second time in a new process."""
REST_S = 900.0
"""Without an order for so long the trainer is ended."""
LOOK_S = 0.5
"""Between two looks at what else may have happened to an order under way."""
LAST_WORD_S = 1.0
"""Longest wait for the exit code of a trainer whose socket ended."""
RESIDENT_APP = AppRef("fedcxr.deploy.resident_app", "resident_app")

_log = logging.getLogger("fedcxr.site")

IsWanted = Callable[[], bool]
"""Whether somebody still waits for the reply; asked every `LOOK_S` seconds."""


@dataclass(slots=True)
class Resident:
    """The trainer of one site; it does one order at a time."""

    app: AppRef
    """Makes the app; called with the node config as JSON."""
    log: Path
    """Takes what the trainer prints."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Of the trainer's environment, on top of this process's."""
    _worker: WorkerProcess | None = None
    _made_for: tuple[int, str] = (0, "")
    """The run and the node config of the trainer that there is."""
    _done_at: float = 0.0
    _blocks: Blocks = field(default_factory=lambda: Blocks(keep=2))

    @property
    def pid(self) -> int | None:
        """Return the trainer's process id; None while there is none."""
        return None if self._worker is None else self._worker.pid

    def prepare(self) -> None:
        """Start what forks the trainer, where it is not there; it imports beside this process."""
        with open_log(self.log) as file:
            fork_server(WORKER, self.app.module, output=file.fileno())

    def answer(self, message: Message, context: Context, is_wanted: IsWanted) -> Message | None:
        """Return the reply to an order; None where nobody waits for it any more.

        A trainer that dies in it, or died before it, is replaced and the order done again, once. To
        do so is harmless: training is a function of the order and of what the site kept before it.
        """
        made_for = (message.metadata.run_id, json.dumps(dict(context.node_config), sort_keys=True))
        if made_for != self._made_for:
            self.end()
            self._made_for = made_for
        try:
            for _ in range(TRIES):
                try:
                    return self._do(message, is_wanted)
                except (EOFError, OSError) as err:
                    _log.warning("the trainer was lost (exit code %s): %s", self.end(), err)
            _log.error("the order is answered as failed: the trainer was lost %d times", TRIES)
            return failed(message, BROKE_OFF)
        finally:
            self._done_at = time.monotonic()

    def rest(self) -> None:
        """End the trainer if no order has come for long; the next one starts it again."""
        if self._worker is not None and time.monotonic() - self._done_at > REST_S:
            _log.info("no order for %g s: the trainer is ended until the next one", REST_S)
            self.end()

    def end(self) -> int | None:
        """End the trainer at once, if there is one; return its exit code if it has ended itself."""
        worker, self._worker = self._worker, None
        if worker is None:
            return None
        code = worker.end(LAST_WORD_S if worker.busy_with is not None else 0.0)
        self._blocks.close()  # the next process knows none of them
        return code

    def _do(self, message: Message, is_wanted: IsWanted) -> Message | None:
        if self._worker is None:
            self.prepare()
            ref = replace(self.app, args=(self._made_for[1],))
            self._worker = WorkerProcess.start(ref, self.variables)
        placed = place(message, self._blocks) if arrays_of(message) else None
        self._worker.send(message, placed, self._blocks)
        return self._wait(self._worker, message, is_wanted)

    def _wait(self, worker: WorkerProcess, message: Message, is_wanted: IsWanted) -> Message | None:
        end = time.monotonic() + message.metadata.ttl  # the server takes no reply after that
        watch = IdleWatch[int](cpu_seconds_of)
        while not select.select([worker.pipe], [], [], LOOK_S)[0]:
            raise_if_interrupted()
            if watch.idle([worker.pid]):
                _log.error("the trainer did nothing any more; the order is answered as failed")
                self._give_up(worker)
                return failed(message, CLIENT_IDLE)
            if time.monotonic() > end or not is_wanted():
                _log.warning("nobody waits for the order any more; the trainer is ended")
                self._give_up(worker)
                return None
        return worker.receive()

    def _give_up(self, worker: WorkerProcess) -> None:
        worker.busy_with = None  # it has no last word
        self.end()


def failed(message: Message, code: int) -> Message:
    """Return the reply to an order that was not done, with a code and no text of an error."""
    return Message(Error(code, "the client broke off"), reply_to=message)


@contextlib.contextmanager
def resident(log: Path, variables: Mapping[str, str]) -> Iterator[Resident]:
    """Yield a site's trainer and end it, with all of its processes, whatever happens.

    Args:
        log: of the site; takes what the trainer prints and what is to be said of it.
        variables: of the trainer's environment.
    """
    trainer = Resident(RESIDENT_APP, log, variables)
    trainer.prepare()
    handler = logging.FileHandler(log, encoding="utf-8")
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    _log.addHandler(handler)
    try:
        yield trainer
    finally:
        trainer.end()
        end_fork_server()
        _log.removeHandler(handler)
        handler.close()
