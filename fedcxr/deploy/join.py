"""The client of a site: Flower's SuperNode, started from the site's kit with the site's own data.

Where the data are, which GPU is used and what leaves the site is said here and in the kit, and
nothing that the server sends can say otherwise.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fedcxr.config.kit import SiteKitConfig
from fedcxr.deploy import kit_files as k
from fedcxr.deploy.allocator import give_back_large_blocks
from fedcxr.deploy.child import (
    Child,
    direct_loopback,
    flower_environment,
    free_port,
    running,
)
from fedcxr.deploy.kit_check import CheckedKit, site_kit
from fedcxr.deploy.knock import knock
from fedcxr.deploy.own_node import OwnNode
from fedcxr.deploy.resident import Resident, resident
from fedcxr.deploy.site_data import SiteData
from fedcxr.deploy.site_orders import SiteOrders, orders_secret, site_orders
from fedcxr.deploy.site_status import Connected, status_told
from fedcxr.errors import ConfigError, NetworkError
from fedcxr.home import home_folder
from fedcxr.interrupts import raise_if_interrupted

LOST_S = 300
"""How long the node itself asks a server that is gone, before it ends."""
RETURN_S = 600.0
"""Longest wait after that, for the server to come back; then the client ends with code 5."""
KNOCK_S = 3.0
"""Between two tries to reach the server."""


@dataclass(frozen=True, slots=True)
class Joining:
    """The client is about to connect."""

    kit: CheckedKit
    data: SiteData
    log: Path


@dataclass(frozen=True, slots=True)
class Admitted:
    """The server takes the site; its node is being started."""

    site: str
    server: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """The server does not take the site, or does no longer; it is asked again."""

    why: str
    most_s: float


OnEvent = Callable[[Joining | Admitted | Waiting | Connected], None]
Prepare = Callable[[str], SiteData]
"""Makes the data of a site ready, given its name."""


def join(
    folder: Path,
    prepare: Prepare,
    on_event: OnEvent,
    *,
    gpu: int | None = None,
    wait_s: float = 0.0,
) -> None:
    """Take part with a site's kit until interrupted; it leaves no process behind.

    Args:
        folder: the site's kit.
        prepare: makes its data ready (`prepare_site`), before anything connects.
        on_event: told how it goes, and while it is connected every second, from another thread,
            what it does.
        gpu: the number of the GPU to train on; none = what the run says.
        wait_s: how long a server that is not there, or does not take the site, is asked again.

    Raises:
        ConfigError: no kit of a site, or no data folder, or no such GPU.
        DataError: the site's data are wrong.
        NetworkError: the kit has a fault, or the server is not there or does not take the site.
    """
    give_back_large_blocks()
    kit, config = site_kit(folder)
    variables = {} if gpu is None else _on_gpu(gpu)
    data = prepare(config.site)
    os.environ.update(direct_loopback(os.environ))
    log = home_folder().absolute() / "logs" / f"client-{config.site}.log"
    on_event(Joining(kit, data, log))
    activity = home_folder().absolute() / "sites" / config.site / "activity.json"
    arguments = supernode_arguments(folder.absolute(), config, data, activity)
    with OwnNode.of_kit(folder, wait_s) as own, resident(log, variables) as trainer:
        while True:
            own.remember(_wait_for_server(folder, config, on_event, wait_s, own.node_id))
            with _node(config, arguments, log, own) as (child, orders):
                on_event(Admitted(config.site, config.server))
                with status_told(activity, config.site, on_event):
                    _do_orders(child, orders, trainer)
            on_event(Waiting(_last_words(child), RETURN_S))
            wait_s = RETURN_S


def supernode_arguments(
    folder: Path, config: SiteKitConfig, data: SiteData, activity: Path
) -> list[str]:
    """Return the command line of the SuperNode, without its port: TLS and the key, always.

    Args:
        folder: the kit.
        config: its `kit.yaml`.
        data: the site's.
        activity: the file in which the client says what it does.

    Raises:
        ConfigError: a folder's name has a sign that Flower's node config cannot hold.
    """
    facts = {"site-dir": data.folder.absolute(), "kit": folder, "activity": activity}
    if data.images != data.folder:
        facts["images-dir"] = data.images.absolute()
    for path in facts.values():
        if any(sign in str(path) for sign in "\"'\\\n"):
            raise ConfigError(
                f"{path}: Flower's node config holds no path with quotation marks or backslashes. "
                "Give the folder another name, or a link to it."
            )
    return [
        *("--root-certificates", str(folder / k.CA_CRT)),
        *("--superlink", config.server),
        *("--auth-supernode-private-key", str(folder / k.NODE_KEY)),
        *("--max-wait-time", str(LOST_S)),
        *("--node-config", " ".join(f'{key}="{value}"' for key, value in facts.items())),
    ]


def _on_gpu(gpu: int) -> dict[str, str]:
    """Return what has the site's processes train on one GPU."""
    from fedcxr.training.device import WORKER_DEVICE, resolve_device  # torch: seconds, for --gpu

    try:
        return {WORKER_DEVICE: resolve_device(f"cuda:{gpu}")}
    except ConfigError as err:
        raise ConfigError(f"--gpu {gpu}: this machine has no such GPU ({err})") from err


def _wait_for_server(
    folder: Path, config: SiteKitConfig, on_event: OnEvent, wait_s: float, leftover: int | None
) -> int:
    """Knock until the server takes the site, `wait_s` seconds at most; return its node's id."""
    end = time.monotonic() + wait_s
    last = ""
    while True:
        try:
            return knock(folder, config, leftover)
        except NetworkError as err:
            if time.monotonic() + KNOCK_S > end:
                raise
            if str(err) != last:
                last = str(err)
                on_event(Waiting(last, wait_s))
        raise_if_interrupted()
        time.sleep(KNOCK_S)


@contextlib.contextmanager
def _node(
    config: SiteKitConfig, arguments: list[str], log: Path, own: OwnNode
) -> Iterator[tuple[Child, SiteOrders]]:
    """Have the site's SuperNode run inside; yield it with the orders that it has."""
    port = free_port()  # its own door to its orders: any of this machine's
    environment = flower_environment(config.site)
    with orders_secret() as (pipe, secret), site_orders(port, secret) as orders:
        door = ["--port", str(port), "--isolation", "process"]
        words = [*arguments, *door, "--superexec-auth-secret-file", f"/dev/fd/{pipe}"]
        keeps = [pipe, own.file.fileno()]
        with running(
            "pinned_supernode", words, log=log, environment=environment, keeps=keeps
        ) as child:
            yield child, orders


def _do_orders(child: Child, orders: SiteOrders, trainer: Resident) -> None:
    """Return when the node has ended."""
    while child.exit_code is None:
        raise_if_interrupted()
        if not orders.do_next(trainer, lambda: child.exit_code is None):
            trainer.rest()
            time.sleep(orders.pace.wait_s)


def _last_words(child: Child) -> str:
    lines = child.last_lines(1)
    return f"the connection ended (code {child.exit_code}): {lines}. The log: {child.log}"
