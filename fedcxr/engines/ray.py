"""Flower's simulation runtime on Ray: for more machines, or GPUs that Ray gives out.

Flower's `run_simulation` says that it will go in favour of `flwr run`; it is used because it takes
ready objects and runs in this process, so that a run here ends, fails and is interrupted as with
the local engine.
"""

import importlib.util
import logging
import os
import socket
import threading
from typing import Any

from flwr.serverapp import ServerApp
from flwr.simulation import run_simulation

from fedcxr.engines.app_ref import AppRef
from fedcxr.errors import ConfigError, NetworkError

CONNECT_S = 4.0
"""Longest wait for a cluster's port to answer."""


def run_on_ray(
    server_app: ServerApp,
    client_app: AppRef,
    num_nodes: int,
    *,
    workers: int,
    threads: int,
    device: str,
    address: str | None,
    stop: threading.Event,
) -> None:
    """Run the server app against `num_nodes` clients on Ray.

    Args:
        server_app: runs in a thread of this process.
        client_app: made here, since Flower sends the object to its actors.
        num_nodes: number of simulated sites.
        workers: clients at once, on a cluster started here; a cluster at `address` has its own say.
        threads: processor cores that one client takes.
        device: with a GPU, each client takes an equal share of it.
        address: of a running cluster, as in `ray://host:10001` or `auto`.
        stop: set when this ends early: the server app runs in a thread that Ctrl-C does not reach.

    Raises:
        ConfigError: Ray is not installed.
        NetworkError: the cluster cannot be reached.
    """
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(
            "engine.kind = ray: Ray is not installed. pip install 'flwr[simulation]'."
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    init: dict[str, Any] = {"address": address} if address else {"num_cpus": workers * threads}
    # Flower sets its logger to DEBUG when it is imported; here it says what everything else says.
    logging.getLogger("flwr").setLevel(logging.getLogger().getEffectiveLevel())
    gpus = 1.0 / workers if device.startswith("cuda") else 0.0
    backend = {"init_args": init, "client_resources": {"num_cpus": threads, "num_gpus": gpus}}
    try:
        run_simulation(server_app, client_app.load(), num_nodes, backend_config=backend)
    except ConnectionError as err:
        raise _no_cluster(address) from err
    finally:
        stop.set()


def check_reachable(address: str | None) -> None:
    """Raise NetworkError at once where nothing listens; Ray itself would try for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # none, or `auto`, which Ray looks up in its own files
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except OSError as err:
        raise _no_cluster(address) from err


def _no_cluster(address: str | None) -> NetworkError:
    return NetworkError(
        f"engine.ray_address = {address}: no Ray cluster answers there. "
        "Start one with `ray start --head`."
    )
