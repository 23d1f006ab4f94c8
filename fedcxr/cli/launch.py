"""`fedcxr launch`."""

import threading
from pathlib import Path
from typing import Annotated

import typer

from fedcxr.collector import quick_imports
from fedcxr.errors import ConfigError, StoppedError
from fedcxr.filenames import shell_command
from fedcxr.home import expanded

_printing = threading.Lock()


def launch(
    local: Annotated[
        bool, typer.Option("--local", help="All on this machine, for trying out.")
    ] = False,
    hosts: Annotated[
        Path | None,
        typer.Option(help="On the machines of this file, by ssh.", metavar="FILE", parser=expanded),
    ] = None,
    slurm: Annotated[
        Path | None,
        typer.Option(
            help="Write batch scripts here; nothing is started.", metavar="DIR", parser=expanded
        ),
    ] = None,
    deploy: Annotated[
        Path | None,
        typer.Option(
            help="The deployment's folder, as provision made it.", metavar="DIR", parser=expanded
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="A folder of data for each site, by its name.", metavar="DIR", parser=expanded
        ),
    ] = None,
    gpu: Annotated[
        bool, typer.Option("--gpu", help="With --slurm: a GPU for each client.")
    ] = False,
) -> None:
    """Start a deployment's server and clients from one place, and end them together on Ctrl-C.

    Runs are started beside it with `fedcxr run`.
    """
    if [local, hosts is not None, slurm is not None].count(True) != 1:
        raise ConfigError("Give one of --local, --hosts FILE and --slurm DIR.")
    if hosts is None and (deploy is None or data is None):
        raise ConfigError("--local and --slurm need --deploy and --data.")
    if hosts is not None and data is not None:
        raise ConfigError("--data: with --hosts each machine's own is said in its file.")
    if gpu and slurm is None:
        raise ConfigError("--gpu is of --slurm. In the file of --hosts, `gpu` names one.")
    if slurm is not None and deploy is not None and data is not None:
        _write_scripts(slurm, deploy, data, with_gpu=gpu)
    else:
        _run(hosts, deploy, data)


def _run(hosts: Path | None, deploy: Path | None, data: Path | None) -> None:
    with quick_imports():
        from fedcxr.config.hosts import read_hosts
        from fedcxr.deploy.kit_copies import copy_kits
        from fedcxr.deploy.launch import local_programs, remote_programs, run_together

    try:
        if hosts is not None:
            machines = read_hosts(hosts)
            copy_kits(machines, deploy, _show)
            programs = remote_programs(machines)
        elif deploy is not None and data is not None:
            programs = local_programs(deploy, data)
        run_together(programs, _show)
    except KeyboardInterrupt as err:
        print("Stopped.", flush=True)
        raise typer.Exit(StoppedError.exit_code) from err


def _show(name: str, line: str) -> None:
    with _printing:
        print(f"{name} | {line}", flush=True)


def _write_scripts(out: Path, deploy: Path, data: Path, *, with_gpu: bool) -> None:
    from fedcxr.deploy.slurm import write_batch_scripts

    made = write_batch_scripts(out, deploy, data, with_gpu=with_gpu)
    for file in made.files:
        print(shell_command(["sbatch", file]))
    print(f"Nothing is submitted. The server's job asks for node {made.node}, as the kit says.")
    print("Partition, account and time: as options of sbatch.")
