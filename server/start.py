"""From a configuration to a job: the run folder with its manifest, config and partition."""

import hashlib
import logging
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from fedcxr.atomic import write_text_atomically
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import to_yaml, with_values
from fedcxr.cores import cores
from fedcxr.data.policies import columns_with, policy_of
from fedcxr.errors import ConfigError, some
from fedcxr.home import home_folder
from fedcxr.runs.folder import RunFolder
from fedcxr.runs.versions import code_digest, machine, versions
from fedcxr.training.choices import check_training
from fedcxr.training.device import resolve_device
from fedcxr.training.memory import fit_workers, footprint
from fedcxr.training.precision import resolve_precision
from fedcxr.training.threads import threads_per_client, workers_for
from fedcxr.version import __version__
from partitions.changes import write_contents
from partitions.plan import PartitionPlan
from partitions.prepare import Prepared
from server.choices import check_choices, check_cohort, own_choices, own_choices_in_manifest
from server.cohort import cohort_size
from server.disjointness import disjointness
from server.job import ComputePlan, Job
from server.label_counts import label_counts
from server.privacy_account import privacy_in_manifest, settle_privacy
from server.secure_check import check_rounding, secure_facts, secure_task
from server.vae_check import check_vae_data

log = logging.getLogger(__name__)


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
        ConfigError: a policy names a label that is not trained, or has no round left to act in;
            a loss, optimiser or schedule that there is not; a key that what was chosen ignores;
            fewer sites in a round than the aggregator needs.
        DataError: no site can have the VAE that is asked for.
        ArtefactError: the run folder cannot be written.
    """
    check_choices(config)
    labels = config.data.labels or prepared.plan.labels
    _check_policies(config, labels)
    check_cohort(config, len(prepared.plan.sites))
    train_images = {site.site_id: site.train_images for site in prepared.plan.sites}
    check_rounding(config, secure_task(config, train_images))
    check_vae_data(config, prepared.plan, labels, place=home_folder())
    config = settle_privacy(config, prepared)
    device = resolve_device(config.engine.device)
    precision = resolve_precision(
        "fp32" if config.privacy.level == "patient" else config.engine.precision,
        model=config.model,
        batch_size=config.train.batch_size,
        device=device,
        threads=compute.threads,
    )
    # What was accepted of changed data holds for this start, not for who uses the file again.
    kept = with_values(config, {"data.accept_changed_data": False})
    write_text_atomically(run.path / "config.yaml", to_yaml(kept))
    keep_data(run, prepared)
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


def keep_data(run: RunFolder, prepared: Prepared) -> None:
    """Keep the partition in the run folder, and what its image files hold."""
    copy_plan(prepared.plan, run.path / "partition")
    write_contents(run.path / "partition", prepared.plan, prepared.contents)


def data_changes(manifest: dict[str, Any], prepared: Prepared) -> list[dict[str, Any]]:
    """Return what of the data was accepted as changed, each time that it was."""
    known = list(manifest.get("data_changes", []))
    if prepared.changes:
        known.append({"at": now(), **prepared.changes.to_json()})
    return known


def copy_plan(plan: PartitionPlan, out: Path) -> None:
    """Copy the plan's own files, and nothing else that lies beside them."""
    files = [plan.folder / "plan.json", plan.val_csv, plan.test_csv]
    files += [file for file in map(plan.site_csv, (s.site_id for s in plan.sites)) if file.exists()]
    for file in files:
        place = out / file.relative_to(plan.folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)


def _check_policies(config: ExperimentConfig, labels: Sequence[str]) -> None:
    """Check what can be told only once the labels are known."""
    three_way = columns_with(
        policy_of(config.data, rounds=config.server.rounds), labels, "multi_class"
    )
    check_training(config.train, [labels[column] for column in three_way])
    for key in ("uncertain_by_label", "blank_by_label"):
        unknown = [label for label in getattr(config.data, key) if label not in labels]
        if unknown:
            raise ConfigError(
                f"data.{key}: {some(unknown)} is not among the labels: {some(list(labels), 14)}."
            )


def config_sha256(file: Path) -> str:
    """Return the digest of a configuration as it was written."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _manifest(job: Job) -> dict[str, Any]:
    config, prepared, plan = job.config, job.prepared, job.prepared.plan
    policy = job.task().policy
    used = partial(columns_with, policy, job.labels)
    return {
        "fedcxr": __version__,
        "run": job.run.name,
        "status": "running",
        "created": now(),
        "command": run_command(),
        "versions": versions(),
        "machine": machine(),
        "code_digest": code_digest(tuple(own_choices(config).values())),
        "plugins": own_choices_in_manifest(config),
        "config_digest": job.arithmetic().digest,
        "config_sha256": config_sha256(job.run.path / "config.yaml"),
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
        "data_changes": data_changes({}, prepared),
        "resumed": [],
        "label_counts": label_counts(plan, job.labels, policy, config.seed),
        "algorithm": config.algorithm.model_dump(),
        "aggregator": config.server.aggregator,
        "batch_norm": config.server.batch_norm,
        "privacy": privacy_in_manifest(config, prepared),
        "secure_aggregation": secure_facts(job.secure),
        "codec": config.server.codec,
        "topk": config.server.topk if config.server.codec == "topk" else None,
        "data": {
            "layout": plan.layout,
            "source": prepared.source,
            "notes": list(prepared.notes),
            "test_set": plan.test_set.to_json(),
            "bad_images": prepared.bad_images,
            "png_bits": prepared.png_bits,
        },
    }


def run_command() -> list[str]:
    """Return the command that started this run, as far as it may be written down."""
    program = Path(sys.argv[0]).name
    if program.startswith("flwr"):
        return [program]  # Flower's own process: its arguments hold a secret of the run
    return ["fedcxr", *sys.argv[1:]]


def now() -> str:
    """Return the time as a manifest holds it."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
