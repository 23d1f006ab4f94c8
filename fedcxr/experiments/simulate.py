"""A federation of simulated hospitals, from a configuration to a finished run folder."""

import dataclasses
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from flwr.app import Context, RecordDict, UserConfig
from flwr.serverapp import Grid

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.engines.app_ref import AppRef
from fedcxr.engines.local import LocalGrid, local_grid
from fedcxr.engines.ray_address import check_reachable
from fedcxr.engines.same_code import check_same_code, of_this_process_only
from fedcxr.errors import ConfigError, some
from fedcxr.runs.folder import RunFolder
from fedcxr.runs.known_runs import register_run
from fedcxr.training.compiled import check_compile
from fedcxr.training.device import check_gpus, resolve_device
from partitions.plan_folder import count_sites
from partitions.prepare import prepare
from partitions.sites_file import site_names
from server.app import build_app
from server.choices import check_choices, check_cohort
from server.job import ComputePlan, Job
from server.reopen import StoppedRun, read_stopped_run, reopen_job
from server.start import plan_compute, start_job

log = logging.getLogger(__name__)

PROGRESS_EVERY_S = 0.5

MakeJob = Callable[[ComputePlan], Job]


class Tampering(Protocol):
    """What a study of attacks puts into its own simulation, in this process and its workers.

    No key of the configuration and nothing in an order can ask for it: a real site's client, which
    knows neither this module nor those that fill it, has no way to be hostile.
    """

    def app(self, honest: AppRef) -> AppRef:
        """Return the app of the simulated sites' clients."""

    def grid(self, job: Job, honest: LocalGrid) -> Grid:
        """Return what stands between the server and the simulated sites."""


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run that ended well."""

    path: Path
    summary: dict[str, Any]

    @property
    def report(self) -> Path:
        """The page to look at."""
        return self.path / "report.html"


def simulate(
    config: ExperimentConfig,
    on_start: Callable[[RunFolder], None] | None = None,
    *,
    folder: Path | None = None,
    tampering: Tampering | None = None,
) -> FinishedRun:
    """Run a federation of simulated hospitals.

    Args:
        config: what `load_config` returned.
        on_start: called with the run folder before anything else happens; its event log can be
            followed from then on.
        folder: the run folder to make; none = a new one in `config.runs_dir`, named by the time.
        tampering: of a study of attacks, whose trainings have no page; none = all sites are honest.

    Raises:
        FedCxrError: see its subclasses; the run folder keeps what was reached.
    """
    check_choices(config)
    device = resolve_device(config.engine.device)
    check_gpus(config.engine.client_gpus)
    if config.engine.compile:
        check_compile(device)
    check_reachable(config.engine.ray_address)
    config = with_sites_of_plan(config)
    check_cohort(config, config.partition.clients)
    run = RunFolder.at(folder) if folder else RunFolder.create(Path(config.runs_dir), config.name)
    if on_start:
        on_start(run)
    try:
        return _execute(config, run, partial(_new_job, config, run), tampering)
    except BaseException:
        if not (run.path / "manifest.json").exists():  # what cannot start leaves no folder behind
            shutil.rmtree(run.path, ignore_errors=True)
        raise


def resume(
    path: Path,
    on_start: Callable[[RunFolder], None] | None = None,
    *,
    settings: Sequence[str] = (),
    tampering: Tampering | None = None,
) -> FinishedRun:
    """Go on with a run from its newest checkpoint, to the same bits as if it had not stopped.

    Args:
        path: the run folder.
        on_start: called with it before anything else happens.
        settings: `key=value` texts of what is to be otherwise from now on; only what operates the
            run, such as `server.quorum=0.3`.
        tampering: of a study of attacks, as the run was begun with.

    Raises:
        ArtefactError: not a run folder, finished already, or damaged.
        ConfigError: a key that decides the weights.
    """
    stopped = read_stopped_run(path, settings)
    run = RunFolder.open(path)
    if on_start:
        on_start(run)
    return _execute(stopped.config, run, partial(_stopped_job, stopped, run), tampering)


def with_sites_of_plan(config: ExperimentConfig) -> ExperimentConfig:
    """Return the configuration with as many clients as its partition folder or file has sites."""
    partition = config.partition
    if partition.folder is not None:
        clients = count_sites(Path(partition.folder))
    elif partition.sites_file is not None:
        clients = len(site_names(Path(partition.sites_file)))
    else:
        return config
    partition = partition.model_copy(update={"clients": clients})
    return config.model_copy(update={"partition": partition})


def _execute(
    config: ExperimentConfig, run: RunFolder, make_job: MakeJob, tampering: Tampering | None
) -> FinishedRun:
    compute = plan_compute(config)
    client_app = AppRef("clients.app", "simulated_app", (str(run.path.absolute()),))
    if tampering is not None:
        if config.engine.kind != "local":
            raise ConfigError("A study of attacks runs with engine.kind=local only.")
        client_app = tampering.app(client_app)
        # Colluders answer when they have seen what the honest sites send.
        compute = dataclasses.replace(compute, window=max(compute.window, config.partition.clients))
    with run.lock():
        if config.engine.kind == "local":
            gpus = config.engine.client_gpus
            clients, tell = config.partition.clients, partial(_fewer_clients, run)
            # A client in this process could not be ended at its deadline.
            apart = config.server.deadline_s is not None
            with local_grid(client_app, clients, compute.workers, gpus, tell, apart=apart) as grid:
                _check_code(config, run, apart=apart or compute.workers > 1)
                job = dataclasses.replace(make_job(compute), has_page=tampering is None)
                _run_job(job, tampering.grid(job, grid) if tampering else grid)
        else:
            _run_on_ray(config, run, make_job, client_app, compute)
    return FinishedRun(run.path, run.read_json("summary.json"))


def _check_code(config: ExperimentConfig, run: RunFolder, *, apart: bool) -> None:
    """See to it that what trains is what this process has, or say that no other finds it again."""
    if apart:
        check_same_code(config)
        return
    names = of_this_process_only(config)
    if names:
        log.warning(
            "%s: of this script or notebook. This process trains with it; resume and evaluate will "
            "not find it in another",
            some(names, 3),
        )
        run.event("only_here", names=names)


def _fewer_clients(run: RunFolder, workers: int, why: str) -> None:
    """Note in the event log and the manifest that memory ran out."""
    run.event("fewer_clients", workers=workers, why=why)
    run.update_manifest(workers=workers)


def _run_on_ray(
    config: ExperimentConfig,
    run: RunFolder,
    make_job: MakeJob,
    client_app: AppRef,
    compute: ComputePlan,
) -> None:
    from fedcxr.engines.ray import ray_grid  # imports Ray, which the local engine does without

    with ray_grid(
        client_app,
        config.partition.clients,
        config.engine,
        workers=compute.workers,
        threads=compute.threads,
        device=resolve_device(config.engine.device),
        run_folder=run.path,
    ) as grid:
        check_same_code(config)
        # as many as the cluster has room for
        compute = dataclasses.replace(compute, workers=grid.workers, window=grid.workers + 1)
        _run_job(make_job(compute), grid)


def _run_job(job: Job, grid: Grid) -> None:
    context = Context(
        run_id=1, node_id=0, node_config=UserConfig(), state=RecordDict(), run_config=UserConfig()
    )
    build_app(lambda grid, context: job)(grid, context)


def _new_job(config: ExperimentConfig, run: RunFolder, compute: ComputePlan) -> Job:
    begun = time.perf_counter()
    run.event("phase", name="prepare")
    ready = prepare(config, _Progress(run), keep_tables=True)  # the manifest counts their labels
    job = start_job(config, run, ready, compute, prepare_seconds=time.perf_counter() - begun)
    register_run(run)
    return dataclasses.replace(job, prepared=ready.without_tables())


def _stopped_job(stopped: StoppedRun, run: RunFolder, compute: ComputePlan) -> Job:
    job = reopen_job(run.path, prepare(stopped.config), stopped, compute)
    register_run(run)  # its cache may be another one now
    return job


class _Progress:
    """Writes the progress of preparing to the event log, now and then."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._last = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= PROGRESS_EVERY_S or done == total:
            self._last = now
            self._run.event("preparing", done=done, total=total)
