"""From Flower's run config to a job: a simulation of `flwr run`, or a server among real sites."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.flower import config_from_run
from fedcxr.cores import cores
from fedcxr.errors import RunError
from fedcxr.runs.folder import RunFolder
from fedcxr.runs.known_runs import register_run
from partitions.overlap import check_comparison, read_comparison, write_comparison
from partitions.plan import PartitionPlan
from partitions.prepare import prepare, prepare_global
from server.disjointness import OVERLAP_JSON, disjointness
from server.job import ComputePlan, Job
from server.start import plan_compute, start_job

SETTLED_S = 2.0
POLL_S = 0.2


def job_from_context(grid: Grid, context: Context) -> Job:
    """Return the job that the run config describes.

    `global-dir` names the server's own folder (plan, global val and test with their images); the
    sites then bring their own data, and `site-keys` names the folder of their public keys where
    kits bind a site to its key. Without it the server prepares a simulation with as many sites
    as Flower simulates nodes.

    Raises:
        RunError: no node shows up in time.
    """
    begun = time.perf_counter()
    config = config_from_run(context.run_config)
    folder = context.run_config.get("global-dir")
    if isinstance(folder, str) and folder:
        ready = prepare_global(Path(folder), config)
        num_sites, threads = len(ready.plan.sites), config.engine.threads_per_client
        compute = ComputePlan("superlink", num_sites, num_sites, threads or 1)
    else:
        config = config_from_run(context.run_config, clients=_count_nodes(grid, config))
        ready = prepare(config)
        simulated = plan_compute(config)
        window = max(simulated.workers, cores()) + 1
        compute = ComputePlan("flwr run", simulated.workers, window, simulated.threads)
    run = RunFolder.create(Path(config.runs_dir), config.name)
    job = start_job(config, run, ready, compute, prepare_seconds=time.perf_counter() - begun)
    keep_comparison(run, ready.plan, context.run_config)
    register_run(run, flower_run_id=str(context.run_id))
    return replace(job, site_keys=site_keys(context.run_config))


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
    folder = run_config.get("site-keys")
    if not isinstance(folder, str) or not folder:
        return None
    return {file.stem: file.read_bytes() for file in Path(folder).glob("*.pem")}


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
