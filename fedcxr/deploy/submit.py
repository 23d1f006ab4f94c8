"""Starting a run at the server of a deployment, and following it to its end.

What can be checked here is checked before anything is sent: the configuration, the server's own
data, and that each site of the plan has a kit.
"""

import contextlib
import os
import shlex
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fedcxr.atomic import write_text_atomically
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import to_yaml, with_values
from fedcxr.deploy import kit_files as k
from fedcxr.deploy.child import direct_loopback
from fedcxr.deploy.control import Control, ListedRun
from fedcxr.deploy.follow import Pursuit, folder_of
from fedcxr.deploy.kit_check import server_kit
from fedcxr.errors import ArtefactError, ConfigError, some
from fedcxr.home import home_folder
from fedcxr.locks import is_locked
from fedcxr.runs.checkpoint_files import checkpoint_rounds
from fedcxr.runs.folder import LOCK_FILE, RunFolder
from partitions.exported import check_same_sets
from partitions.overlap import check_comparison, read_comparison
from partitions.plan import PartitionPlan
from partitions.plan_reader import read_plan
from server.reopen import check_stopped_run, read_stopped_run
from server.start import now

STOP_S = 15.0
"""Longest wait for a stopped run's server to let go of the run's folder."""
_POLL_S = 0.2


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
    kit, _ = server_kit(folder)
    plan = read_plan(data)
    _check_sites(plan, data, kit.sites, folder)
    if overlap is not None:
        check_comparison(read_comparison(overlap), plan, overlap)
    here = {"runs_dir": str(Path(config.runs_dir).absolute())}
    if config.track.tensorboard is not None:
        here["track.tensorboard"] = str(Path(config.track.tensorboard).absolute())
    settled = with_values(config, here)
    file = home_folder().absolute() / "submitted" / f"{uuid.uuid4().hex}.yaml"
    write_text_atomically(file, to_yaml(settled))
    said = {"preset": preset, "config": str(file), **_places(folder, data)}
    said["overlap"] = "" if overlap is None else str(overlap.absolute())
    try:
        with _control(folder) as control:
            return _followed(Pursuit(control, partial(control.start_run, said), on_start))
    finally:
        file.unlink(missing_ok=True)


def resume_deployed(
    path: Path,
    on_start: Callable[[RunFolder], None],
    *,
    kit: Path | None = None,
    data: Path | None = None,
    settings: Sequence[str] = (),
) -> RunFolder:
    """Go on with a run over real sites from its last whole round; return its folder at the end.

    Args:
        path: the run folder.
        on_start: called with it before anything is sent.
        kit: the server's kit; none = the one that it ran with.
        data: the server's data folder; none = the one that it ran with.
        settings: `key=value` texts of what is to be otherwise from now on.

    Raises:
        ConfigError: a key that decides the weights, or no kit of a server is known.
        ArtefactError: it is finished, under way, or cannot go on: its newest checkpoint is damaged
            or of another configuration, or the server's data are others.
        NetworkError, RunError: as `run_deployed`.
    """
    place = place_of(path, kit, data)
    check_can_go_on(path, place, settings)
    run = RunFolder.open(path)
    with _control(place.kit) as control:
        start = partial(submit_resume, control, path, place, settings)
        on_start(run)
        return _followed(Pursuit(control, start, on_start, run))


@dataclass(frozen=True, slots=True)
class ServerPlace:
    """Where on this machine a run's server has what it needs."""

    kit: Path
    data: Path


def place_of(path: Path, kit: Path | None = None, data: Path | None = None) -> ServerPlace:
    """Return where a run's server is: as said, otherwise as the run's manifest says.

    Raises:
        ArtefactError: not a run folder.
        ConfigError: neither says it.
    """
    known = RunFolder.open(path).read_json("manifest.json").get("deployment", {})
    kit = kit or (Path(known["kit"]) if known.get("kit") else None)
    data = data or (Path(known["data"]) if known.get("data") else None)
    if kit is None or data is None:
        raise ConfigError(
            f"{path}: its manifest does not say where its server's kit and data are. Give --kit "
            "and --data."
        )
    return ServerPlace(kit, data)


def check_can_go_on(path: Path, place: ServerPlace, settings: Sequence[str] = ()) -> None:
    """Raise what `resume_deployed` says of a run that cannot go on; nothing is sent."""
    if is_locked(path / LOCK_FILE):
        raise ArtefactError(
            f"{path}: this run is under way. `fedcxr status --kit {place.kit}` shows it, `fedcxr "
            "stop` stops it."
        )
    stopped = read_stopped_run(path, settings, real_sites=True)
    if stopped.config.data.accept_changed_data:
        raise ConfigError(
            "--accept-changed-data: is for simulations. Give back the server's data folder as it "
            "was, or start a new run."
        )
    kit, _ = server_kit(place.kit)
    plan = read_plan(place.data)
    _check_sites(plan, place.data, kit.sites, place.kit)
    check_same_sets(read_plan(path / "partition"), plan)
    if checkpoint_rounds(path / "checkpoints"):  # otherwise it begins from the beginning
        check_stopped_run(path, stopped, plan.lineage)


def submit_resume(
    control: Control, path: Path, place: ServerPlace, settings: Sequence[str] = ()
) -> int:
    """Have the SuperLink go on with a run, and return the id that Flower gives it."""
    said = {"resume": str(path.absolute()), "set": shlex.join(settings)}
    return control.start_run({**said, **_places(place.kit, place.data)})


@dataclass(frozen=True, slots=True)
class DeploymentStatus:
    """How a deployment's server is now."""

    is_online: Mapping[str, bool]
    """By site of the kit: whether its client is connected."""
    runs: tuple[ListedRun, ...]


def status_of(folder: Path) -> DeploymentStatus:
    """Return how the server of a kit is; `NetworkError` if it is not up."""
    with _control(folder) as control:
        online = {node.public_key for node in control.nodes() if node.is_online}
        keys = k.known_keys(folder)
        return DeploymentStatus(
            {site: key in online for site, key in keys.items()}, tuple(control.runs())
        )


def stop_runs(folder: Path) -> int:
    """Stop every run of a server that is not over, and return how many there were."""
    with _control(folder) as control:
        under_way = [run.run_id for run in control.runs() if not run.state.is_over]
        for run_id in under_way:
            stop_run(control, run_id)
    return len(under_way)


def stop_run(control: Control, run_id: int) -> None:
    """Stop a run for good: its manifest says that it was, so that nobody goes on with it."""
    control.stop_run(run_id)
    run = folder_of(run_id)
    if run is None:
        return
    end = time.monotonic() + STOP_S
    while is_locked(run.path / LOCK_FILE) and time.monotonic() < end:
        time.sleep(_POLL_S)
    if run.read_json("manifest.json")["status"] != "finished":
        why = "stopped by the user"
        run.update_manifest(status="interrupted", why=why, stopped=now())


@contextlib.contextmanager
def _control(folder: Path) -> Iterator[Control]:
    """Have the SuperLink of a kit on this machine to ask inside."""
    _, config = server_kit(folder)
    os.environ.update(direct_loopback(os.environ))
    with Control.of_kit(folder, config) as control:
        yield control


def _followed(pursuit: Pursuit) -> RunFolder:
    try:
        return pursuit.follow()
    except KeyboardInterrupt:
        stop_run(pursuit.control, pursuit.run_id)
        raise


def _places(folder: Path, data: Path) -> dict[str, str]:
    """Return what a run's configuration for Flower says of the server's own folders."""
    return {
        "global-dir": str(data.absolute()),
        "site-keys": str(folder.absolute() / k.SITES),
    }


def _check_sites(plan: PartitionPlan, data: Path, known: tuple[str, ...], folder: Path) -> None:
    missing = [site.site_id for site in plan.sites if site.site_id not in known]
    if missing:
        raise ConfigError(
            f"{data}: these sites of the plan have no kit at {folder}: {some(missing)}. It "
            f"knows {some(list(known))}. Make one: fedcxr provision --add-site {missing[0]}."
        )
