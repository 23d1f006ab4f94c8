"""From Flower's run config to a job: a simulation of `flwr run`, or a server among real sites."""

import gc
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from flwr.app import Context
from flwr.serverapp import Grid

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.flower import config_from_run, settings_of
from fedcxr.cores import cores
from fedcxr.errors import RunError
from fedcxr.interrupts import end_when_orphaned
from fedcxr.runs.checkpoint_files import checkpoint_rounds
from fedcxr.runs.folder import RunFolder
from fedcxr.runs.known_runs import register_run
from partitions.exported import check_same_sets
from partitions.overlap import check_comparison, read_comparison, write_comparison
from partitions.plan import PartitionPlan
from partitions.plan_reader import read_plan
from partitions.prepare import prepare, prepare_global
from server.disjointness import OVERLAP_JSON, disjointness
from server.job import ComputePlan, Job
from server.reopen import read_stopped_run, reopen_job
from server.start import plan_compute, start_job

END_S = 10.0
"""For a run whose SuperLink is gone to end by itself."""
SETTLED_S = 2.0
POLL_S = 0.2
LET_GO_S = 20.0
"""Longest wait for a killed server's run folder to be let go of."""


def job_from_context(grid: Grid, context: Context) -> Job:
    """Return the job that the run config describes.

    `global-dir` names the server's own folder (plan, global val and test with their images); the
    sites then bring their own data, and `site-keys` names the folder of their public keys where
    kits bind a site to its key. `resume` names the folder of a run that goes on. Without
    `global-dir` the server prepares a simulation with as many sites as Flower simulates nodes.

    Raises:
        RunError: no node shows up in time.
        ArtefactError: the run that is to go on cannot, or its data are others.
    """
    begun = time.perf_counter()
    said = context.run_config
    folder, stopped = _path(said, "global-dir"), _path(said, "resume")
    if folder is None:
        config = config_from_run(said, clients=_count_nodes(grid, config_from_run(said)))
        ready = prepare(config)
        simulated = plan_compute(config)
        window = max(simulated.workers, cores()) + 1
        compute = ComputePlan("flwr run", simulated.workers, window, simulated.threads)
        run = RunFolder.create(Path(config.runs_dir), config.name)
        job = start_job(config, run, ready, compute, prepare_seconds=time.perf_counter() - begun)
    elif stopped is None:
        job = _deployed(config_from_run(said), folder, said, begun)
    else:
        job = _going_on(stopped, folder, said)
    register_run(job.run, flower_run_id=str(context.run_id))
    if folder is not None:
        # Flower asks it to end with the SuperLink, but a message that is being sent is tried again
        # for ever, by threads that the end waits for.
        end_when_orphaned(END_S)
    # This process is the run's alone: with what stays left out, `exchange.py` looks quickly.
    gc.collect()
    gc.freeze()
    return replace(job, site_keys=site_keys(said))


def _deployed(
    config: ExperimentConfig, folder: Path, said: Mapping[str, object], begun: float
) -> Job:
    """Return a new run over real sites; its folder is this process's until that ends."""
    ready = prepare_global(folder, config)
    num_sites, threads = len(ready.plan.sites), config.engine.threads_per_client
    compute = ComputePlan("superlink", num_sites, num_sites, threads or 1)
    run = RunFolder.create(Path(config.runs_dir), config.name)
    lock = ExitStack()
    lock.enter_context(run.lock())
    job = start_job(config, run, ready, compute, prepare_seconds=time.perf_counter() - begun)
    keep_comparison(run, ready.plan, said)
    run.update_manifest(deployment=_deployment(folder, said))
    return replace(job, lock=lock)


def _going_on(path: Path, folder: Path, said: Mapping[str, object]) -> Job:
    """Return a run over real sites that stopped, from its last whole round."""
    lock = ExitStack()
    lock.enter_context(RunFolder.open(path).lock(LET_GO_S))
    stopped = read_stopped_run(path, settings_of(said), real_sites=True)
    ready = prepare_global(folder, stopped.config)
    check_same_sets(read_plan(path / "partition"), read_plan(folder))
    num_sites = len(ready.plan.sites)
    job = reopen_job(path, ready, stopped, ComputePlan("superlink", num_sites, num_sites))
    job.run.update_manifest(deployment=_deployment(folder, said))
    # Killed before its first model was kept, it begins from the beginning.
    is_begun = bool(checkpoint_rounds(path / "checkpoints"))
    return replace(job, lock=lock, resume=is_begun)


def _deployment(folder: Path, said: Mapping[str, object]) -> dict[str, Any]:
    """Return where on this machine a run's server is, so that it can go on from its folder."""
    keys = _path(said, "site-keys")
    return {"kit": str(keys.parent) if keys else None, "data": str(folder)}


def keep_comparison(run: RunFolder, plan: PartitionPlan, run_config: Mapping[str, object]) -> None:
    """Keep what the sites found of patients that they share, where `overlap` names the file."""
    file = run_config.get("overlap")
    if isinstance(file, str) and file:
        found = read_comparison(Path(file))
        check_comparison(found, plan, Path(file))
        write_comparison(found, run.path / OVERLAP_JSON)
        run.update_manifest(disjoint=disjointness(plan, found))


def site_keys(run_config: Mapping[str, object]) -> dict[str, bytes] | None:
    """Return the public key of each site, from a folder with a file NAME.pem for each."""
    folder = _path(run_config, "site-keys")
    if folder is None:
        return None
    return {file.stem: file.read_bytes() for file in folder.glob("*.pem")}


def _path(run_config: Mapping[str, object], key: str) -> Path | None:
    value = run_config.get(key)
    return Path(value) if isinstance(value, str) and value else None


def _count_nodes(grid: Grid, config: ExperimentConfig) -> int:
    """Return the number of simulated nodes once it stands still; Flower adds them one by one."""
    end = time.monotonic() + config.server.join_timeout_s
    before, since = 0, time.monotonic()
    while time.monotonic() < end:
        number = len(list(grid.get_node_ids()))
        if number != before:
            before, since = number, time.monotonic()
        elif number and time.monotonic() - since > SETTLED_S:
            return number
        time.sleep(POLL_S)
    raise RunError("Flower simulates no node. Set num-supernodes in the federation's config.")
