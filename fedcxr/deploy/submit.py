"""Starting a run at the server of a deployment, and following it to its end.

What can be checked here is checked before anything is sent: the configuration, the server's own
data, and that each site of the plan has a kit.
"""

import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fedcxr.atomic import write_text_atomically
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import to_yaml, with_values
from fedcxr.deploy import kit_files as k
from fedcxr.deploy.child import direct_loopback
from fedcxr.deploy.control import Control, ListedRun, RunState
from fedcxr.deploy.kit_check import server_kit
from fedcxr.errors import ConfigError, NetworkError, RunError, some
from fedcxr.home import home_folder
from fedcxr.interrupts import raise_if_interrupted
from fedcxr.runs.folder import RunFolder
from fedcxr.runs.known_runs import known_runs
from partitions.overlap import check_comparison, read_comparison
from partitions.plan import PartitionPlan
from partitions.plan_reader import read_plan

BEGIN_S = 120.0
"""Longest wait for the SuperLink to begin with a run."""
SILENT_S = 120.0
"""Longest time without an answer of the SuperLink."""
POLL_S = 1.0


def run_deployed(
    folder: Path,
    data: Path,
    config: ExperimentConfig,
    *,
    preset: str,
    on_start: Callable[[RunFolder], None],
    overlap: Path | None = None,
) -> RunFolder:
    """Start a run over the sites of a deployment and return its folder when it is finished.

    Args:
        folder: the server's kit; its server runs on this machine.
        data: the server's data folder: `plan.json` and `global/`.
        config: of the run.
        preset: the preset that it was made of.
        on_start: called with the run folder as soon as it is there.
        overlap: what the sites found of patients that they share (`fedcxr check-overlap`).

    Raises:
        ConfigError: no kit of a server, a site of the plan has none or was not compared.
        LeakError: sites share patients.
        ArtefactError: `data` is no server's data folder.
        NetworkError: the server is not up or does not begin.
        RunError: the run failed, with what it said.
    """
    kit, kit_config = server_kit(folder)
    plan = read_plan(data)
    _check_sites(plan, data, kit.sites, folder)
    if overlap is not None:
        check_comparison(read_comparison(overlap), plan, overlap)
    os.environ.update(direct_loopback(os.environ))
    settled = with_values(config, {"runs_dir": str(Path(config.runs_dir).absolute())})
    file = home_folder().absolute() / "submitted" / f"{uuid.uuid4().hex}.yaml"
    write_text_atomically(file, to_yaml(settled))
    try:
        with Control.of_kit(folder, kit_config) as control:
            run_id = control.start_run(
                {
                    "preset": preset,
                    "config": str(file),
                    "global-dir": str(data.absolute()),
                    "site-keys": str(folder.absolute() / k.SITES),
                    "overlap": "" if overlap is None else str(overlap.absolute()),
                }
            )
            try:
                return _follow(control, run_id, on_start)
            except KeyboardInterrupt:
                control.stop_run(run_id)
                raise
    finally:
        file.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class DeploymentStatus:
    """How a deployment's server is now."""

    is_online: Mapping[str, bool]
    """By site of the kit: whether its client is connected."""
    runs: tuple[ListedRun, ...]


def status_of(folder: Path) -> DeploymentStatus:
    """Return how the server of a kit is; `NetworkError` if it is not up."""
    _, config = server_kit(folder)
    os.environ.update(direct_loopback(os.environ))
    with Control.of_kit(folder, config) as control:
        online = {node.public_key for node in control.nodes() if node.is_online}
        keys = k.known_keys(folder)
        return DeploymentStatus(
            {site: key in online for site, key in keys.items()}, tuple(control.runs())
        )


def stop_runs(folder: Path) -> int:
    """Stop every run of a server that is not over, and return how many there were."""
    _, config = server_kit(folder)
    os.environ.update(direct_loopback(os.environ))
    with Control.of_kit(folder, config) as control:
        under_way = [run.run_id for run in control.runs() if not run.state.is_over]
        for run_id in under_way:
            control.stop_run(run_id)
    return len(under_way)


def _check_sites(plan: PartitionPlan, data: Path, known: tuple[str, ...], folder: Path) -> None:
    missing = [site.site_id for site in plan.sites if site.site_id not in known]
    if missing:
        raise ConfigError(
            f"{data}: these sites of the plan have no kit at {folder}: {some(missing)}. It knows "
            f"{some(list(known))}. Make one: fedcxr provision --add-site {missing[0]}."
        )


def _follow(control: Control, run_id: int, on_start: Callable[[RunFolder], None]) -> RunFolder:
    """Return the folder of a run that came to its end."""
    run: RunFolder | None = None
    begun = heard = time.monotonic()
    while True:
        raise_if_interrupted()
        time.sleep(POLL_S)
        try:
            state, heard = control.run_state(run_id), time.monotonic()
        except NetworkError:  # it may be busy
            if time.monotonic() - heard > SILENT_S:
                raise
            continue
        if run is None:
            run = _folder_of(run_id)
            if run is not None:
                on_start(run)
        if state.is_over:
            return _finished(run, state)
        if not state.has_begun and time.monotonic() - begun > BEGIN_S:
            control.stop_run(run_id)
            raise NetworkError(
                f"The SuperLink has not begun with the run within {BEGIN_S:g} s. Its log says why."
            )


def _folder_of(run_id: int) -> RunFolder | None:
    for known in reversed(known_runs()):
        if known.flower_run_id == str(run_id):
            return RunFolder(known.path)
    return None


def _finished(run: RunFolder | None, state: RunState) -> RunFolder:
    if not state.is_good:
        where = f" Its folder: {run.path}" if run else ""
        raise RunError(f"The run did not come to its end: {state.why}{where}")
    if run is None:
        raise RunError(
            f"The run is finished, but {home_folder()} does not know its folder. Was the server "
            "started with another FEDCXR_HOME?"
        )
    return run
