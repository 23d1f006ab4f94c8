"""A Ray cluster for one run: connected to or started here, and how many clients fit into it."""

import contextlib
import logging
import math
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.job_config import JobConfig

from fedcxr.config.engine import EngineConfig
from fedcxr.engines.ray_address import check_reachable, no_cluster
from fedcxr.errors import ConfigError, NetworkError

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray's own announcement of a change; with it, a client that reserves no GPU still sees them.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


class OwnSearchPath(JobConfig):
    """Ray's settings of a run, without the folders that its workers would search for modules.

    Ray adds the working folder and that of the script, in front of everything: a `random.py` there
    would be run by every worker.
    """

    @property
    def _py_driver_sys_path(self) -> list[str]:
        return []  # a new one each time: what Ray adds to it is gone

    @_py_driver_sys_path.setter
    def _py_driver_sys_path(self, folders: list[str]) -> None:
        """Take nothing."""


_used = threading.Lock()
"""Held by the run of this process that is on Ray."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one client reserves, and how many clients there are to be at once."""

    cpus: float
    gpus: float
    clients: int


@contextlib.contextmanager
def connected(
    address: str | None, *, num_cpus: int = 1, environment: Mapping[str, str] | None = None
) -> Iterator[bool]:
    """Be connected to a cluster; one that was started here is gone afterwards, whatever happens.

    Args:
        address: of a running cluster; none = one of this machine alone, started here.
        num_cpus: processor cores that a cluster started here gives out.
        environment: variables of a cluster started here. Its workers have them from the start,
            which is 2 s faster than workers that Ray starts anew for an actor's own variables.

    Yields:
        Whether the cluster was started here.

    Raises:
        ConfigError: an address that is not supported.
        NetworkError: the cluster cannot be reached or joined.
    """
    if not _used.acquire(blocking=False):
        raise ConfigError(
            "Another run of this process is on Ray, which knows one cluster a process. Wait for "
            "it, start this run in a process of its own, or use --engine local."
        )
    try:
        with _joined(address, num_cpus, environment or {}) as started_here:
            yield started_here
    finally:
        _used.release()


@contextlib.contextmanager
def _joined(address: str | None, num_cpus: int, environment: Mapping[str, str]) -> Iterator[bool]:
    if ray.is_initialized():  # the caller's own program is on Ray, and goes on with it afterwards
        yield False
        return
    check_reachable(address)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        with _variables({} if address else environment):
            _start(address, num_cpus)
        yield address is None
    finally:
        ray.shutdown()


def share_of(
    engine: EngineConfig, num_sites: int, *, workers: int, threads: int, device: str
) -> Share:
    """Return what each client reserves, and how many are to train at once.

    Args:
        engine: the user's wishes; without, a client takes the cores of its threads and, with a GPU,
            an equal share of them.
        num_sites: more clients than sites are of no use.
        workers: clients at once on a cluster started here. A cluster of several machines takes as
            many as fit, if the user named no number.
        threads: of a client.
        device: `cpu`, or that of the server's GPU.

    Raises:
        ConfigError: no machine of the cluster has that much.
    """
    machines = _machines()
    wanted = (engine.workers if engine.ray_address else workers) or 0
    cpus = engine.cpus_per_client or float(threads)
    gpus = engine.gpus_per_client
    if gpus is None:
        num_gpus = sum(machine.get("GPU", 0.0) for machine in machines)
        gpus = _equal_share(num_gpus, wanted) if device.startswith("cuda") else 0.0
    room = sum(_fit(machine, cpus, gpus) for machine in machines)
    if room == 0:
        raise ConfigError(
            f"A client asks for {cpus:g} cores and {gpus:g} GPUs, which no machine of the Ray "
            "cluster has. Set engine.cpus_per_client and engine.gpus_per_client to less."
        )
    return Share(cpus, gpus, min(wanted or room, room, num_sites))


def _start(address: str | None, num_cpus: int) -> None:
    own: dict[str, Any] = {} if address else {"num_cpus": num_cpus, "include_dashboard": False}
    level = logging.getLogger().getEffectiveLevel()
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        # "local" and not None: that joins any cluster that was left running on this machine.
        ray.init(
            address or "local",
            job_config=OwnSearchPath(),
            logging_level=level,
            log_to_driver=level <= logging.INFO,
            **own,
        )
    except ConnectionError as err:
        raise no_cluster(address) from err
    except (RuntimeError, ValueError) as err:
        raise NetworkError(
            f"engine.ray_address = {address}: {' '.join(str(err).split())} The machine that runs "
            "fedcxr must belong to the cluster (`ray start --address=HOST:6379`), with the same "
            "versions of Ray and Python."
        ) from err
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, handler)  # Ray sets one that ends without a clean-up


@contextlib.contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Have environment variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _machines() -> list[dict[str, float]]:
    """Return what each machine of the cluster has."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]  # Ray has no types
    return [node["Resources"] for node in nodes if node["Alive"]]


def _equal_share(num_gpus: float, clients: int) -> float:
    """Return so much of a GPU that all clients find room, each on one GPU; at most a whole one.

    Rounded down to what Ray counts in: seven times 0.1429 would be more than one GPU.
    """
    return math.floor(10_000 / max(1, math.ceil(clients / max(num_gpus, 1.0)))) / 10_000


def _fit(machine: dict[str, float], cpus: float, gpus: float) -> int:
    clients = int(machine.get("CPU", 0.0) / cpus + 1e-6)
    return min(clients, int(machine.get("GPU", 0.0) / gpus + 1e-6)) if gpus else clients
