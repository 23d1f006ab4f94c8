"""Where a client of `flwr run` finds its site: its node config, or the simulation's run config."""

import json
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from flwr.app import Context

from clients.site import SiteLocation, own_folder, simulated
from fedcxr.config.flower import config_from_run, config_key
from fedcxr.config.kit import NODE_KEY, SiteKitConfig, read_kit_yaml
from fedcxr.config.load import check_config
from fedcxr.config.vae import VAE_NUMBERS
from fedcxr.errors import ConfigError, some
from fedcxr.home import home_folder, site_state
from fedcxr.plugins import allow_only
from fedcxr.runs.folder import RunFolder
from partitions.prepare import Prepared, prepare

NO_SITE_DIR = (
    "The node config has no site-dir. Start the SuperNode with "
    "--node-config 'site-dir=\"/path/to/site\"'."
)


def locate_from_context(context: Context) -> SiteLocation:
    """Return the site of this node.

    A real site's process imports no plug-ins from then on but those that its kit names.

    In deployment the node config has `site-dir="/path"`, and `kit` where a start-up kit says who
    the site is and what its owner allows, with `images-dir` where its images are elsewhere. In
    a simulation Flower gives a `partition-id`, and the data are those of the run config, made ready
    once by the server.

    Raises:
        ConfigError: the node config has neither, or the kit is wrong.
    """
    folder = context.node_config.get("site-dir")
    if isinstance(folder, str) and folder:
        kit = context.node_config.get("kit")
        if isinstance(kit, str) and kit:
            images = context.node_config.get("images-dir")
            place = Path(images) if isinstance(images, str) and images else None
            return _located_by_kit(Path(folder), Path(kit), place)
        allow_only(())
        return own_folder(Path(folder), _vae_numbers(context.node_config.get("vae-numbers")))
    if not _is_simulated():
        raise ConfigError(NO_SITE_DIR)
    index = _partition_id(context)
    config = config_from_run(context.run_config, clients=_num_partitions(context))
    ready = _prepared(config_key(config))
    state = home_folder() / "site-state" / str(context.run_id)
    return simulated(ready.plan.folder, index, cache=ready.cache, state=state)


def locate_in_run(run_path: Path, context: Context) -> SiteLocation:
    """Return the site of a node of a simulation whose server writes into `run_path`."""
    cache = home_folder() / "cache" / _cache_digest(run_path)
    return simulated(
        run_path / "partition",
        _partition_id(context),
        cache=cache,
        state=run_path / "site-state",
        own_images=site_state(run_path),
    )


@lru_cache(maxsize=4)
def _prepared(config_text: str) -> Prepared:
    """Return what this process's sites stand on, looked at once and not for every message."""
    return prepare(check_config(json.loads(config_text)))


@lru_cache(maxsize=8)
def _cache_digest(run_path: Path) -> str:
    return str(RunFolder.open(run_path).read_json("manifest.json")["cache_digest"])


def _is_simulated() -> bool:
    """Return whether this is a worker of Flower's simulation and not a hospital's SuperNode.

    Only then may the run config say where data are; a real site's server has no say in that.
    """
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def _located_by_kit(folder: Path, kit: Path, images: Path | None) -> SiteLocation:
    """Return the site of a kit, with its table in `folder`; read anew for every order."""
    config = read_kit_yaml(kit)
    if not isinstance(config, SiteKitConfig):
        raise ConfigError(f"{kit}: the kit of the server. Give that of a site.")
    allow_only(config.plugins)
    numbers = _vae_numbers(config.vae_numbers)
    found = own_folder(folder, numbers, config.site, config.limits, images)
    return replace(found, node_key=kit / NODE_KEY)


def _vae_numbers(said: object) -> tuple[str, ...]:
    """Return the numbers of its VAE that a real site's owner lets out: `vae-numbers`, or none."""
    text = "none" if said is None else str(said)
    if text in ("all", "none"):
        return VAE_NUMBERS if text == "all" else ()
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in VAE_NUMBERS]
    if unknown:
        raise ConfigError(
            f"vae-numbers in the node config: {some(unknown)} is no number of a VAE. Name any of "
            f"{', '.join(VAE_NUMBERS)}, or say all or none."
        )
    return tuple(names)


def _partition_id(context: Context) -> int:
    index = context.node_config.get("partition-id")
    if not isinstance(index, int):
        raise ConfigError(NO_SITE_DIR)
    return index


def _num_partitions(context: Context) -> int | None:
    number = context.node_config.get("num-partitions")
    return number if isinstance(number, int) else None
