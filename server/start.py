"""From a configuration to a job: the run folder with its manifest, config and partition."""

import hashlib
import logging
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from fedcxr import __version__
from fedcxr.atomic import write_text_atomically
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import read_config, to_yaml
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
from server.job import Job
from server.label_counts import label_counts

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Machinery:
    """How many clients train at once, on how many threads, and how many orders are under way."""

    engine: str
    workers: int
    window: int
    threads: int = 1


def machinery(config: ExperimentConfig) -> Machinery:
    """Return the machinery of a simulation; what the user did not say follows from the cores.

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
    return Machinery(engine.kind, workers, workers + 1, threads)


def start_job(
    config: ExperimentConfig,
    run: RunFolder,
    prepared: Prepared,
    with_: Machinery,
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
        threads=with_.threads,
    )
    write_text_atomically(run.path / "config.yaml", to_yaml(config))
    copy_plan(prepared.plan, run.path / "partition")
    job = Job(
        config,
        run,
        prepared,
        precision,
        device,
        with_.window,
        threads=with_.threads,
        server_threads=config.engine.server_threads or cores(),
    )
    run.write_json("manifest.json", {**_manifest(job, with_), "prepare_seconds": prepare_seconds})
    return job


def reopen_job(path: Path, prepared: Prepared, config: ExperimentConfig, with_: Machinery) -> Job:
    """Return the job of a run that goes on, with the arithmetic that its manifest fixed."""
    run = RunFolder.open(path)
    manifest = run.read_json("manifest.json")
    stored = manifest["precision"]
    precision = Precision(stored["dtype"], stored["channels_last"], stored["why"])
    other = _what_differs(manifest)
    if other:
        log.warning("%s: not the same bits as without the stop: other %s", path, ", ".join(other))
    again = {"at": _now(), "other": other}
    run.update_manifest(
        status="running",
        workers=with_.workers,
        resumed=[*manifest.get("resumed", []), again],
        # The images are the same by their tokens; a cache made anew has a digest of its own.
        cache_digest=prepared.cache_digest,
    )
    return Job(
        config,
        run,
        prepared,
        precision,
        resolve_device(manifest["device"]),
        with_.window,
        resume=True,
        threads=manifest["threads_per_client"],
        server_threads=manifest["server_threads"],
    )


def read_run_config(path: Path) -> ExperimentConfig:
    """Return the configuration of a run that can go on, with its own partition folder.

    Raises:
        ArtefactError: not a run folder, finished, or a run of real sites.
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
    config = read_config(run.path / "config.yaml")
    partition = config.partition.model_copy(update={"folder": str(run.path / "partition")})
    # The weights come from the checkpoint; the file or download they began with is not needed.
    model = config.model.model_copy(update={"weights": "none"})
    return config.model_copy(update={"partition": partition, "model": model})


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


def _what_differs(manifest: dict[str, Any]) -> list[str]:
    """Return what is not as it was when the run began, of all that can change the last bits."""
    found = {
        "code": (manifest["code_digest"], code_digest()),
        "torch": (manifest["versions"]["torch"], versions()["torch"]),
        "processor": (manifest["machine"]["processor"], machine()["processor"]),
    }
    return [name for name, (then, now) in found.items() if then != now]


def _manifest(job: Job, with_: Machinery) -> dict[str, Any]:
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
        "config_digest": job.config_digest(),
        "config_sha256": hashlib.sha256((job.run.path / "config.yaml").read_bytes()).hexdigest(),
        "partition_digest": plan.digest,
        "cache_digest": prepared.cache_digest,
        "seed": config.seed,
        "engine": with_.engine,
        "workers": with_.workers,
        "threads_per_client": job.threads,
        "server_threads": job.server_threads,
        "device": job.device,
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
            "test_set": plan.test_set.to_json(),
            "bad_images": prepared.bad_images,
        },
    }


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
