"""Going on with a stopped run: with what was changed for it, and with what the data are today."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fedcxr.atomic import write_text_atomically
from fedcxr.config.arithmetic import OPERATING, arithmetic_of, only_operates
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import by_key, parse_settings, read_config, to_yaml, with_values
from fedcxr.errors import ArtefactError, ConfigError, some
from fedcxr.home import site_state
from fedcxr.runs.folder import RunFolder
from fedcxr.runs.versions import code_digest, machine, versions
from fedcxr.training.device import resolve_device
from fedcxr.training.precision import Precision
from partitions.overlap import Comparison, read_comparison
from partitions.prepare import Prepared
from server.checkpoint import check_newest
from server.choices import own_choices
from server.disjointness import OVERLAP_JSON, disjointness
from server.job import ComputePlan, Job
from server.start import config_sha256, data_changes, keep_data, now

log = logging.getLogger(__name__)

Changes = dict[str, list[object]]
"""By key the value that a run had and the one that it goes on with."""


@dataclass(frozen=True, slots=True)
class StoppedRun:
    """The configuration with which a run goes on, and what of it was changed for that."""

    config: ExperimentConfig
    """With the run's own partition folder."""
    changes: Changes


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
    other = _what_differs(manifest, device, config)
    is_simulated = not compute.has_real_sites  # real sites know themselves what they have kept
    if is_simulated and config.vae.features == "classifier" and not site_state(path).is_dir():
        other.append("VAEs: the sites' own are gone, as where the folder was moved")
    if other:
        log.warning("%s: not the same bits as without the stop: other %s", path, ", ".join(other))
    again = {"at": now(), "other": other, "changed": stopped.changes}
    if stopped.changes:
        written = read_config(run.path / "config.yaml")
        written = with_values(written, {key: new for key, (_, new) in stopped.changes.items()})
        write_text_atomically(run.path / "config.yaml", to_yaml(written))
    run.update_manifest(
        status="running",
        why=None,
        stopped=None,
        engine=compute.engine,
        workers=compute.workers,
        device=device,
        config_sha256=config_sha256(run.path / "config.yaml"),
        disjoint=disjointness(prepared.plan, _kept_comparison(run)),
        partition_digest=prepared.plan.digest,
        data_changes=data_changes(manifest, prepared),
        resumed=[*manifest.get("resumed", []), again],
        # The images are the same by their tokens; a cache made anew has a digest of its own.
        cache_digest=prepared.cache_digest,
    )
    if prepared.changes:
        keep_data(run, prepared)
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


def _kept_comparison(run: RunFolder) -> Comparison | None:
    """Return what the sites found of their patients, where the run was started with that."""
    file = run.path / OVERLAP_JSON
    return read_comparison(file) if file.is_file() else None


def read_stopped_run(
    path: Path, settings: Iterable[str] = (), *, real_sites: bool = False
) -> StoppedRun:
    """Return what a run can go on with.

    Args:
        path: the run folder.
        settings: `key=value` texts of what is to be otherwise from now on.
        real_sites: whether it goes on over real sites, or in a simulation.

    Raises:
        ArtefactError: not a run folder, finished, or a run of the other kind.
        ConfigError: a key that decides the weights, or that there is not.
    """
    run = RunFolder.open(path)
    manifest = run.read_json("manifest.json")
    if (manifest["engine"] == "superlink") != real_sites:
        raise ArtefactError(
            f"{path}: a run of {'simulated' if real_sites else 'real'} sites. It goes on with "
            f"`fedcxr resume {path}{'' if real_sites else ' --kit KIT'}`."
        )
    if manifest["status"] == "finished":
        raise ArtefactError(
            f"{path}: this run is finished. Write its page anew with `fedcxr report {path}`."
        )
    written = read_config(run.path / "config.yaml")
    # What was accepted once was of that day.
    written = with_values(written, {"data.accept_changed_data": False})
    config, changes = with_changes(written, settings)
    partition = config.partition.model_copy(update={"folder": str(run.path / "partition")})
    return StoppedRun(config.model_copy(update={"partition": partition}), changes)


def check_stopped_run(path: Path, stopped: StoppedRun, lineage: str) -> None:
    """Raise ArtefactError unless a run's newest checkpoint is whole and of its configuration.

    Args:
        path: the run folder.
        stopped: with what it is to go on.
        lineage: of the partition that it is to go on with.
    """
    manifest = RunFolder.open(path).read_json("manifest.json")
    settled = {
        "dtype": manifest["precision"]["dtype"],
        "channels_last": manifest["precision"]["channels_last"],
        "threads": manifest["threads_per_client"],
        "engine.compile": stopped.config.engine.compile,
        "partition": lineage,
    }
    check_newest(path / "checkpoints", arithmetic_of(stopped.config, settled))


def with_changes(
    config: ExperimentConfig, settings: Iterable[str], *, also: tuple[str, ...] = ()
) -> tuple[ExperimentConfig, Changes]:
    """Return a stopped run's configuration with what may be changed of it, and what was.

    Args:
        config: with which it stopped.
        settings: `key=value` texts of what is to be otherwise.
        also: keys that may be changed beside those of every run.

    Raises:
        ConfigError: a key that decides the weights, or that there is not.
    """
    changed = with_values(config, parse_settings(settings))
    then, now = by_key(config), by_key(changed)
    keys = sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))
    fixed = [key for key in keys if not only_operates(key, also)]
    if fixed:
        raise ConfigError(
            f"--set {some(fixed)}: a run that goes on cannot change what decides its weights. "
            f"It may change {', '.join((*OPERATING, *also))}. For the rest start a new run."
        )
    return changed, {key: [then.get(key), now.get(key)] for key in keys}


def _what_differs(manifest: dict[str, Any], device: str, config: ExperimentConfig) -> list[str]:
    """Return what is not as it was when the run began, of all that can change the last bits."""
    found = {
        "code": (manifest["code_digest"], code_digest(tuple(own_choices(config).values()))),
        "torch": (manifest["versions"]["torch"], versions()["torch"]),
        "processor": (manifest["machine"]["processor"], machine()["processor"]),
        "device": (manifest["device"].partition(":")[0], device.partition(":")[0]),
    }
    return [name for name, (then, now) in found.items() if then != now]
