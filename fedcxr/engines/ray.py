"""A Flower grid on a Ray cluster: actors that stay alive, on one machine or many.

A round's parameters are put into Ray's object store once, and each machine holds them once for all
its actors. A reply is freed when the message is dropped, so the server's memory holds the replies
under way and no more. An order whose actor, machine or reply is lost goes to another actor: the
same order gives the same bits wherever it is done.
"""

import contextlib
import logging
import math
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from flwr.app import ArrayRecord, Message
from ray.exceptions import RayError

from fedcxr.config.engine import EngineConfig
from fedcxr.engines.app_ref import AppRef
from fedcxr.engines.fork_server import ENVIRONMENT
from fedcxr.engines.frames import arrays_of, without_arrays
from fedcxr.engines.grid import WAIT_S, SimulatedGrid, ran_out_of_memory
from fedcxr.engines.idle import IdleWatch
from fedcxr.engines.ray_actors import Actor, Actors
from fedcxr.engines.ray_client import Carried, carried, put_together, read_pulse
from fedcxr.engines.ray_cluster import Share, connected, share_of
from fedcxr.home import home_folder
from fedcxr.own_packages import own_search_path
from fedcxr.plugins import PLUGIN_PATH
from fedcxr.wire import CLIENT_IDLE

log = logging.getLogger(__name__)

FETCH_S = 120.0
"""Longest wait for a reply that has arrived already."""
RETRIES = 2
"""How often an order is done again whose actor or reply was lost."""


@dataclass(frozen=True, slots=True)
class _Put:
    """Arrays in the object store: a round's parameters are put there once."""

    records: tuple[ArrayRecord, ...]
    """Held, or their ids could come again for other arrays."""
    ref: ray.ObjectRef[Any]


class RayGrid(SimulatedGrid):
    """Carries messages between a ServerApp and `num_nodes` nodes simulated by Ray actors."""

    def __init__(
        self,
        app: AppRef,
        num_nodes: int,
        share: Share,
        *,
        environment: Mapping[str, str] | None = None,
        must_see: Sequence[str] = (),
        pulses: Path,
    ) -> None:
        super().__init__(num_nodes)
        self.workers = share.clients
        """Clients at once, while the cluster is whole."""
        self._actors = Actors(
            app, share, environment=environment or {}, must_see=must_see, pulses=pulses
        )
        self._watch = IdleWatch[Actor](lambda actor: read_pulse(actor.pulse))
        self._put: _Put | None = None
        self._losses: Counter[str] = Counter()

    def start(self) -> None:
        """Ask for the actors; they import while the server makes the data ready."""
        self._actors.start()

    def close(self) -> None:
        """End the actors."""
        self._actors.close()
        self._put = None

    def cancel(self, message_id: str) -> None:
        """Forget an order that nobody waits for any more; an actor that hangs on it is replaced."""
        self.forget(message_id)
        self._losses.pop(message_id, None)
        actor = self._actors.busy_with(message_id)
        if actor is not None:
            self._actors.replace(actor, "it did not answer in time")

    def dispatch(self) -> None:
        """Give queued orders to the actors that are free."""
        for actor in self._actors.free[: len(self._queue)]:
            message = self._queue.popleft()
            body = without_arrays(message).SerializeToString()
            self.begin(message)
            actor.give(message, body, self._arrays(message))

    def work(self) -> None:
        """Take what the actors have answered; wait at most `WAIT_S` for the first."""
        due = self._actors.due
        if due:
            arrived, _ = ray.wait(list(due), timeout=WAIT_S)
            for ref in arrived:
                self._collect(due[ref], ref)
        else:
            time.sleep(WAIT_S)
        self._end_idle()
        if not self._actors.refill():
            while self._queue:
                self.fail(self._queue.popleft(), "the cluster has no room for its client any more")
        self.dispatch()

    def _end_idle(self) -> None:
        """Replace actors that do nothing any more; their orders are answered as failed."""
        for actor in self._watch.idle(self._actors.busy):
            message, actor.busy_with = actor.busy_with, None
            if message is not None:
                self.fail(message, "the actor did nothing any more", CLIENT_IDLE)
            self._actors.replace(actor, "it did nothing any more")

    def _collect(self, actor: Actor, ref: ray.ObjectRef[Any]) -> None:
        actor.due = None
        message, actor.busy_with = actor.busy_with, None
        try:
            value = ray.get(ref, timeout=FETCH_S)
        except RayError as err:
            self._actors.lost(actor, err)
            if message is not None:
                self._do_again(message)
            return
        if message is None:
            self._actors.mark_ready(actor, value)
        else:
            self._take(actor, message, put_together(*value))

    def _take(self, actor: Actor, message: Message, reply: Message) -> None:
        if ran_out_of_memory(reply) and self._actors.retire(actor):
            log.warning("a client ran out of memory: its process ended, for those that are left")
            self.queue_again(message)
        else:
            self._losses.pop(message.metadata.message_id, None)
            self.finish(message, reply)

    def _do_again(self, message: Message) -> None:
        message_id = message.metadata.message_id
        self._losses[message_id] += 1
        if self._losses[message_id] > RETRIES:
            del self._losses[message_id]
            self.fail(message, "its client's process was lost every time")
        else:
            self.queue_again(message)

    def _arrays(self, message: Message) -> ray.ObjectRef[Any] | Carried:
        records = tuple(arrays_of(message).values())
        if not records:
            return [], []
        if self._put is None or list(map(id, records)) != list(map(id, self._put.records)):
            self._put = _Put(records, ray.put(carried(message)))
        return self._put.ref


@contextlib.contextmanager
def ray_grid(
    app: AppRef,
    num_sites: int,
    engine: EngineConfig,
    *,
    workers: int,
    threads: int,
    device: str,
    run_folder: Path,
) -> Iterator[RayGrid]:
    """Yield a started grid; afterwards end its actors, and the cluster if it was started here.

    Args:
        app: made in each actor.
        num_sites: number of simulated nodes.
        engine: the cluster's address, and what a client reserves.
        workers: clients at once on a cluster started here.
        threads: of a client.
        device: of the server.
        run_folder: where the clients find their sites; all machines must see it.

    Raises:
        ConfigError: no machine has what a client reserves, or the address is not supported.
        NetworkError: the cluster cannot be reached.
    """
    home = home_folder().absolute()
    home.mkdir(parents=True, exist_ok=True)
    environment = {name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()}
    environment["FEDCXR_HOME"] = str(home)
    environment |= {PLUGIN_PATH: os.environ[PLUGIN_PATH]} if PLUGIN_PATH in os.environ else {}
    of_cluster = {**environment, "PYTHONPATH": os.pathsep.join(own_search_path())}
    num_cpus = math.ceil(workers * (engine.cpus_per_client or threads))
    with (
        connected(engine.ray_address, num_cpus=num_cpus, environment=of_cluster) as started_here,
        tempfile.NamedTemporaryFile(dir=home, prefix=".ray-") as seen,
        tempfile.TemporaryDirectory(dir=run_folder, prefix=".pulses-") as pulses,
    ):
        share = share_of(engine, num_sites, workers=workers, threads=threads, device=device)
        if started_here:
            environment = {}  # its processes have them
        elif device == "cpu" and not share.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ""  # `auto` would take one on a machine with it
        must_see = (str(run_folder.absolute()), seen.name)
        grid = RayGrid(
            app,
            num_sites,
            share,
            environment=environment,
            must_see=must_see,
            pulses=Path(pulses).absolute(),
        )
        try:
            grid.start()
            yield grid
        finally:
            grid.close()
