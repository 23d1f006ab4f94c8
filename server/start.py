"""From a configuration to a job: the run folder with its manifest, config and partition."""

import hashlib
import logging
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from fedcxr import __version__
from fedcxr.atomic import write_text_atomically
from fedcxr.config.arithmetic import OPERATING, only_operates
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import by_key, parse_settings, read_config, to_yaml, with_values
from fedcxr.cores import cores
from fedcxr.data.policies import check_self_training, columns_with
from fedcxr.errors import ArtefactError, ConfigError, some
from fedcxr.runs.folder import RunFolder
from fedcxr.runs.versions import code_digest, machine, versions
from fedcxr.training.device import resolve_device
from fedcxr.training.memory import fit_workers, footprint
from fedcxr.training.precision import Precision, resolve_precision
from fedcxr.training.threads import threads_per_client, workers_for
from partitions.plan import PartitionPlan
from partitions.prepare import Prepared
from server.cohort import cohort_size
from server.disjointness import disjointness
from server.job import ComputePlan, Job
from server.label_counts import label_counts

log = logging.getLogger(__name__)


Changes = dict[str, list[object]]
"""By key the value that a run had and the one that it goes on with."""


@dataclass(frozen=True, slots=True)
class StoppedRun:
    """The configuration with which a run goes on, and what of it was changed for that."""

    config: ExperimentConfig
    """With the run's own partition folder."""
    changes: Changes


def plan_compute(config: ExperimentConfig) -> ComputePlan:
    """Return how a simulation computes; what the user did not say follows from the cores.

    One order more than workers is under way, so that none waits for the server.

    Raises:
        ConfigError: a GPU is asked for that is not there.
    """
    engine = config.engine
    cohort = cohort_size(config.partition.clients, config.server.fraction)
    device = resolve_device(engine.device)
    threads = engine.threads_per_client or threads_per_client(
        footprint(config.model).trainable, cohort, cores=cores(), device=device
    )
    workers = engine.workers or len(engine.client_gpus)
    workers = workers or workers_for(cohort, cores=cores(), threads=threads)
    workers = min(workers, config.partition.clients)
    if engine.kind == "local":
        workers = fit_workers(config, workers, device=device, client_gpus=engine.client_gpus)
    return ComputePlan(engine.kind, workers, workers + 1, threads)


def start_job(
    config: ExperimentConfig,
    run: RunFolder,
    prepared: Prepared,
    compute: ComputePlan,
    *,
    prepare_seconds: float = 0.0,
) -> Job:
    """Fill the run folder, resolve precision and device once for all clients, return the job.

    Raises:
        ConfigError: a policy names a label that is not trained, or has no round left to act in.
        ArtefactError: the run folder cannot be written.
    """
    _check_policies(config, config.data.labels or prepared.plan.labels)
    device = resolve_device(config.engine.device)
    precision = resolve_precision(
        config.engine.precision,
        model=config.model,
        batch_size=config.train.batch_size,
        device=device,
        threads=compute.threads,
    )
    write_text_atomically(run.path / "config.yaml", to_yaml(config))
    copy_plan(prepared.plan, run.path / "partition")
    job = Job(
        config,
        run,
        prepared,
        precision,
        device,
        compute,
        server_threads=config.engine.server_threads or cores(),
    )
    run.write_json("manifest.json", {**_manifest(job), "prepare_seconds": prepare_seconds})
    return job


def reopen_job(path: Path, prepared: Prepared, stopped: StoppedRun, compute: ComputePlan) -> Job:
    """Return the job of a run that goes on, with the arithmetic that its manifest fixed.

    What was changed for it stands in config.yaml from now on, and in the manifest both ways.
    """
    run, config = RunFolder.open(path), stopped.config
    manifest = run.read_json("manifest.json")
    stored = manifest["precision"]
    precision = Precision(stored["dtype"], stored["channels_last"], stored["why"])
    device = manifest["device"]
    if "engine.device" in stopped.changes:
        device = resolve_device(config.engine.device)
    other = _what_differs(manifest, device)
    if other:
        log.warning("%s: not the same bits as without the stop: other %s", path, ", ".join(other))
    again = {"at": _now(), "other": other, "changed": stopped.changes}
    if stopped.changes:
        written = read_config(run.path / "config.yaml")
        written = with_values(written, {key: new for key, (_, new) in stopped.changes.items()})
        write_text_atomically(run.path / "config.yaml", to_yaml(written))
    run.update_manifest(
        status="running",
        engine=compute.engine,
        workers=compute.workers,
        device=device,
        config_sha256=_sha256(run.path / "config.yaml"),
        disjoint=disjointness(prepared.plan),
        resumed=[*manifest.get("resumed", []), again],
        # The images are the same by their tokens; a cache made anew has a digest of its own.
        cache_digest=prepared.cache_digest,
    )
    return Job(
        config,
        run,
        prepared,
        precision,
        resolve_device(device),
        replace(compute, threads=manifest["threads_per_client"]),
        resume=True,
        server_threads=manifest["server_threads"],
    )


def read_stopped_run(path: Path, settings: Iterable[str] = ()) -> StoppedRun:
    """Return what a run can go on with.

    Args:
        path: the run folder.
        settings: `key=value` texts of what is to be otherwise from now on.

    Raises:
        ArtefactError: not a run folder, finished, or a run of real sites.
        ConfigError: a key that decides the weights, or that there is not.
    """
    run = RunFolder.open(path)
    manifest = run.read_json("manifest.json")
    if manifest["engine"] == "superlink":
        raise ArtefactError(
            f"{path}: a run of real sites cannot be resumed from here yet. Start it anew."
        )
    if manifest["status"] == "finished":
        raise ArtefactError(
            f"{path}: this run is finished. Write its page anew with `fedcxr report {path}`."
        )
    config, changes = with_changes(read_config(run.path / "config.yaml"), settings)
    partition = config.partition.model_copy(update={"folder": str(run.path / "partition")})
    return StoppedRun(config.model_copy(update={"partition": partition}), changes)


def with_changes(
    config: ExperimentConfig, settings: Iterable[str]
) -> tuple[ExperimentConfig, Changes]:
    """Return a stopped run's configuration with what may be changed of it, and what was.

    Raises:
        ConfigError: a key that decides the weights, or that there is not.
    """
    changed = with_values(config, parse_settings(settings))
    then, now = by_key(config), by_key(changed)
    keys = sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))
    fixed = [key for key in keys if not only_operates(key)]
    if fixed:
        raise ConfigError(
            f"--set {some(fixed)}: a run that goes on cannot change what decides its weights. "
            f"It may change {', '.join(OPERATING)}. For the rest start a new run."
        )
    return changed, {key: [then.get(key), now.get(key)] for key in keys}


def copy_plan(plan: PartitionPlan, out: Path) -> None:
    """Copy the plan's own files, and nothing else that lies beside them."""
    files = [plan.folder / "plan.json", plan.val_csv, plan.test_csv]
    files += [file for file in map(plan.site_csv, (s.site_id for s in plan.sites)) if file.exists()]
    for file in files:
        place = out / file.relative_to(plan.folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)


def _check_policies(config: ExperimentConfig, labels: Sequence[str]) -> None:
    check_self_training(config.data, rounds=config.server.rounds)
    for key in ("uncertain_by_label", "blank_by_label"):
        strangers = [label for label in getattr(config.data, key) if label not in labels]
        if strangers:
            raise ConfigError(
                f"data.{key}: {some(strangers)} is not among the labels: {some(list(labels), 14)}."
            )


def _what_differs(manifest: dict[str, Any], device: str) -> list[str]:
    """Return what is not as it was when the run began, of all that can change the last bits."""
    found = {
        "code": (manifest["code_digest"], code_digest()),
        "torch": (manifest["versions"]["torch"], versions()["torch"]),
        "processor": (manifest["machine"]["processor"], machine()["processor"]),
        "device": (manifest["device"].partition(":")[0], device.partition(":")[0]),
    }
    return [name for name, (then, now) in found.items() if then != now]


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _manifest(job: Job) -> dict[str, Any]:
    config, prepared, plan = job.config, job.prepared, job.prepared.plan
    policy = job.task().policy
    used = partial(columns_with, policy, job.labels)
    return {
        "fedcxr": __version__,
        "run": job.run.name,
        "status": "running",
        "created": _now(),
        "command": ["fedcxr", *sys.argv[1:]],
        "versions": versions(),
        "machine": machine(),
        "code_digest": code_digest(),
        "config_digest": job.arithmetic().digest,
        "config_sha256": _sha256(job.run.path / "config.yaml"),
        "partition_digest": plan.digest,
        "disjoint": disjointness(plan),
        "cache_digest": prepared.cache_digest,
        "seed": config.seed,
        "engine": job.compute.engine,
        "workers": job.compute.workers,
        "threads_per_client": job.compute.threads,
        "server_threads": job.server_threads,
        "device": job.device,
        "deadline_s": job.limits.deadline_s,
        "precision": {
            "dtype": job.precision.dtype,
            "channels_last": job.precision.channels_last,
            "why": job.precision.why,
        },
        "labels": list(job.labels),
        "views": config.data.views,
        "score_by": config.data.score_by,
        "uncertain": {"all": config.data.uncertain, **config.data.uncertain_by_label},
        "blank": {"all": config.data.blank, **config.data.blank_by_label},
        "smoothed": [policy.smooth_low, policy.smooth_high] if used("smoothed") else None,
        "self_train_after": policy.self_train_after if used("self_trained") else None,
        "label_counts": label_counts(plan, job.labels, policy, config.seed),
        "batch_norm": config.server.batch_norm,
        "codec": config.server.codec,
        "topk": config.server.topk if config.server.codec == "topk" else None,
        "data": {
            "layout": plan.layout,
            "source": prepared.source,
            "notes": list(prepared.notes),
            "bad_images": prepared.bad_images,
        },
    }


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
