"""Where a Ray cluster is: what can be told before Ray itself is imported, which takes a while."""

import socket

from fedcxr.errors import ConfigError, NetworkError

CONNECT_S = 4.0
"""Longest wait for a cluster's port to answer."""


def check_reachable(address: str | None) -> None:
    """Raise at once where nothing listens; Ray itself would try for minutes.

    Args:
        address: `HOST:6379` of the head; `auto` or none is Ray's own to look up.

    Raises:
        ConfigError: an address of Ray Client, which copies every reply through a process between.
        NetworkError: nothing answers.
    """
    if (address or "").startswith("ray://"):
        raise ConfigError(
            f"engine.ray_address = {address}: Ray Client is not supported. Let this machine join "
            "the cluster with `ray start --address=HOST:6379 --num-cpus=0`, then give auto."
        )
    host, _, port = (address or "").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except OSError as err:
        raise no_cluster(address) from err


def no_cluster(address: str | None) -> NetworkError:
    """Return the error of a cluster that is not there."""
    return NetworkError(
        f"engine.ray_address = {address}: no Ray cluster answers there. "
        "Start one with `ray start --head`."
    )
