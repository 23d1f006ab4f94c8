"""Kits brought to the machines that they are for, by ssh; none that is there is written over."""

import io
import shlex
import subprocess
import tarfile
from pathlib import Path

from fedcxr.config.hosts import HostConfig, HostsConfig
from fedcxr.deploy import kit_files as k
from fedcxr.deploy.launch import SSH, OnLine
from fedcxr.errors import ConfigError, NetworkError

COPY_S = 60.0
"""Longest time for one kit."""
_IS_THERE = 17
"""Exit code of the far end where something has the kit's name."""


def copy_kits(hosts: HostsConfig, deployment: Path | None, on_line: OnLine) -> None:
    """Bring the kits of those machines that ask for it (`copy_kit`).

    Args:
        hosts: all machines.
        deployment: where the kits are here; none = none is asked for.
        on_line: told of each kit.

    Raises:
        ConfigError: a kit is asked for and is not here.
        NetworkError: the machine is not reached, or does not take it.
    """
    wanted: dict[str, HostConfig] = {} if hosts.server is None else {k.SERVER: hosts.server}
    wanted |= hosts.sites
    for name, host in wanted.items():
        if not host.copy_kit:
            continue
        if deployment is None or not (deployment / name).is_dir():
            raise ConfigError(
                f"hosts.yaml asks for the kit of {name} to be copied, and "
                + (
                    "--deploy does not say where it is."
                    if deployment is None
                    else f"{deployment / name} is not here."
                )
            )
        is_new = _copy(deployment / name, name, host)
        on_line(name, f"kit copied to {host.host}" if is_new else "kit is there, left as it is")


def _copy(kit: Path, name: str, host: HostConfig) -> bool:
    """Copy a kit, whole or not at all; return whether it was not there yet."""
    folder, place = shlex.quote(host.folder), shlex.quote(f"{host.folder}/{name}")
    making = shlex.quote(f"{host.folder}/.{name}-copied")
    remote = (
        f"umask 077; [ ! -e {place} ] || exit {_IS_THERE}; rm -rf {making} && mkdir -p {folder} "
        f"{making} && tar -xf - -C {making} && mv {making}/{shlex.quote(name)} {place} "
        f"&& rmdir {making}"
    )
    try:
        done = subprocess.run(
            [*SSH, "--", host.host, remote],
            input=_packed(kit, name),
            capture_output=True,
            timeout=COPY_S,
        )
    except FileNotFoundError as err:
        raise ConfigError("ssh: not found. Install it, or put it on the PATH.") from err
    except subprocess.TimeoutExpired as err:
        raise NetworkError(
            f"{host.host}: the kit of {name} was not taken in {COPY_S:g} s."
        ) from err
    if done.returncode not in (0, _IS_THERE):
        why = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise NetworkError(
            f"{host.host}: the kit of {name} could not be copied (code {done.returncode}): "
            f"{''.join(why) or 'no reason given'}. Try: ssh -o BatchMode=yes {host.host} true"
        )
    return done.returncode == 0


def _packed(kit: Path, name: str) -> bytes:
    """Return a kit as a tar file: small, a few keys and certificates."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(kit, arcname=name)
    return packed.getvalue()
