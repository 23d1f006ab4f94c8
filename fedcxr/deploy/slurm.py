"""Batch scripts that start a deployment under Slurm: one job for the server, an array of clients.

They are written and not submitted. The folders must be the same on all nodes, and the kit's server
address must be that of the node where the server's job runs.
"""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedcxr.atomic import write_text_atomically
from fedcxr.config.kit import parse_address
from fedcxr.deploy import kit_files as k
from fedcxr.deploy.kit_check import server_kit
from fedcxr.errors import ConfigError

SERVER_SH, CLIENTS_SH = "server.sbatch", "clients.sbatch"
WAIT_S = 3600
"""How long a client asks for the server, whose job may begin after its own."""

_SERVER = """\
#!/bin/bash
#SBATCH --job-name=fedcxr-server
#SBATCH --nodelist={node}
#SBATCH --cpus-per-task=2
#SBATCH --signal=B:TERM@60
#SBATCH --output={out}/server-%j.log
exec {python} -P -m fedcxr server start --kit {kit}
"""
_CLIENTS = """\
#!/bin/bash
#SBATCH --job-name=fedcxr-clients
#SBATCH --array=0-{last}
#SBATCH --cpus-per-task=4{gpus}
#SBATCH --signal=B:TERM@60
#SBATCH --output={out}/client-%A_%a.log
sites=({sites})
site=${{sites[$SLURM_ARRAY_TASK_ID]}}
exec {python} -P -m fedcxr client start --kit {deploy}/"$site" --data {data}/"$site" \\
    --wait {wait}{gpu}
"""


@dataclass(frozen=True, slots=True)
class BatchScripts:
    """The scripts that were written, in the order in which to submit them."""

    files: tuple[Path, ...]
    node: str
    """On which the server must run."""


def write_batch_scripts(
    out: Path, deployment: Path, data: Path, *, with_gpu: bool = False
) -> BatchScripts:
    """Write the scripts of a deployment and return them.

    Args:
        out: their folder, and that of the jobs' output.
        deployment: as `fedcxr provision` made it.
        data: with a folder of data for each site, by its name, on the nodes.
        with_gpu: whether each client has a GPU.

    Raises:
        ConfigError: no deployment, no site, or a folder that Slurm cannot have in a script's head.
        StorageError: they cannot be written.
    """
    kit, config = server_kit(deployment / k.SERVER)
    host, _ = parse_address(config.address)
    out = out.absolute()
    if not kit.sites:
        raise ConfigError(f"{deployment}: no site belongs to this deployment.")
    if any(sign.isspace() or sign in "%\\\"'" for sign in str(out)):
        raise ConfigError(f"--slurm {out}: give a folder without blanks, quotes and percent signs.")
    python = shlex.quote(sys.executable)
    server = _SERVER.format(
        node=host,
        out=out,
        python=python,
        kit=shlex.quote(str((deployment / k.SERVER).absolute())),
    )
    clients = _CLIENTS.format(
        last=len(kit.sites) - 1,
        gpus="\n#SBATCH --gpus=1" if with_gpu else "",
        out=out,
        sites=_words(kit.sites),
        python=python,
        deploy=shlex.quote(str(deployment.absolute())),
        data=shlex.quote(str(data.absolute())),
        wait=WAIT_S,
        gpu=" --gpu 0" if with_gpu else "",
    )
    files = (out / SERVER_SH, out / CLIENTS_SH)
    for file, text in zip(files, (server, clients), strict=True):
        write_text_atomically(file, text)
    return BatchScripts(files, host)


def _words(sites: Sequence[str]) -> str:
    return " ".join(map(shlex.quote, sites))
