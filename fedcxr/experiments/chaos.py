"""Runs over real processes on this machine, in which the server and the clients are killed.

Each trial is a run over one deployment that stays up. At a random instant something is killed or
frozen, and the run must come to its end all the same: with the weights of a simulation that nobody
disturbed, where all sites are in every round, and otherwise with the word of who was missing.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import load_config, to_yaml
from fedcxr.data.read import read_dataset
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.data.tokens import load_key
from fedcxr.deploy.child import free_port
from fedcxr.deploy.loopback import Loopback, deployed
from fedcxr.deploy.provision import new_deployment
from fedcxr.errors import FedCxrError
from fedcxr.experiments.chaos_faults import (
    FAULTS,
    ROUNDS,
    SITES,
    Fault,
    disturb,
    draw_faults,
    judge,
)
from fedcxr.experiments.simulate import simulate
from fedcxr.interrupts import raise_if_interrupted
from fedcxr.runs.folder import RunFolder
from partitions.export import export_global, export_site
from partitions.prepare import prepare

DEADLINE_S = 30.0
"""Of a site's answer where a client is disturbed; else there is time."""
RUN_S = 300.0
"""Longest time of a run."""
GONE_S = 30.0
"""Longest wait for a run's processes to be gone when it is over."""
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a trial."""

    number: int
    fault: Fault
    faults: tuple[str, ...]
    """What is not as it must be; empty = it passed."""
    is_equal: bool
    """Whether the weights are those of the undisturbed run."""
    missing: int
    """Answers that are missing from rounds."""
    next_round_s: float | None
    """From the fault to the end of the next round; none where there was none."""
    seconds: float


def run_chaos(
    trials: int, seed: int, folder: Path, on_outcome: Callable[[Outcome], None]
) -> list[Outcome]:
    """Make a deployment in `folder`, disturb so many runs of it, and return what came of each.

    Args:
        trials: how many.
        seed: of what is done when.
        folder: an empty one; takes the home folder, the kits, the data and the runs.
        on_outcome: told of each trial as it ends.

    Raises:
        FedCxrError: the deployment cannot be made, or does not come up.
    """
    folder = folder.absolute()
    with _own_home(folder / "home"):
        expected = _make(folder)
        outcomes = []
        with deployed(folder, SITES) as deployment:
            for number, fault in enumerate(draw_faults(trials, seed), 1):
                outcomes.append(_tried(deployment, number, fault, expected))
                on_outcome(outcomes[-1])
    return outcomes


def _make(folder: Path) -> str:
    """Make data, kits and the undisturbed run; return the digest of its weights."""
    root = write_synthetic(folder / "source", patients=60, size_px=48)
    config = _config({"data.root": str(root), "partition.clients": len(SITES)})
    ready, dataset, key = prepare(config), read_dataset(root, views="frontal"), load_key()
    for site in SITES:
        export_site(ready.plan, site, dataset, key, folder / "sites" / site)
    export_global(ready.plan, dataset, key, folder / "global")
    new_deployment(folder / "kits", f"127.0.0.1:{free_port()}", list(SITES))
    partition = config.partition.model_copy(update={"folder": str(ready.plan.folder)})
    undisturbed = config.model_copy(update={"partition": partition})
    summary = simulate(undisturbed, folder=folder / "undisturbed").summary
    (folder / "run.yaml").write_text(to_yaml(_config({"runs_dir": str(folder / "runs")})))
    return str(summary["parameters_sha256"])


def _config(overrides: dict[str, object]) -> ExperimentConfig:
    return load_config(
        overrides={
            "model.image_size": 32,
            "server.rounds": ROUNDS,
            "train.local_epochs": 1,
            "engine.threads_per_client": 1,
            "explain.images_per_outcome": 0,
            "server.quorum": 0.5,
            "name": "chaos",
            **overrides,
        }
    )


def _tried(deployment: Loopback, number: int, fault: Fault, expected: str) -> Outcome:
    begun = time.monotonic()
    name, way = f"trial-{number:03d}", FAULTS[fault.kind]
    words = ["run", "--kit", deployment.kit, "--data", deployment.folder / "global", "--quiet"]
    words += ["--config", deployment.folder / "run.yaml", "--name", name]
    words += ["--set", f"server.deadline_s={RUN_S if way.of_server else DEADLINE_S}"]
    process = deployment.start(name, *words)
    done: list[str] = []
    lines: list[dict[str, Any]] = []
    is_equal, next_round_s = False, None
    try:
        run = _wait_for_round(deployment, process, name, fault)
        at = time.time()  # as the event log has it
        disturb(deployment, fault)
        run = run or _wait_for_folder(deployment, process, name)
        code = deployment.wait(name, max(1.0, RUN_S - (time.monotonic() - begun)))
        if code != 0:
            done.append(f"the run ended with code {code}: {_last_line(deployment, name)}")
        if run is not None and (run.path / "summary.json").is_file():
            lines = _lines(run)
            is_equal = run.read_json("summary.json")["parameters_sha256"] == expected
            done += judge(lines, fault, is_equal=is_equal)
            next_round_s = _next_round(run, at)
        deployment.wait_until_up()
        done += _left(deployment)
    except FedCxrError as err:
        done.append(str(err))
    seconds = time.monotonic() - begun
    missing = sum(len(line["missing"]) + len(line["refused"]) for line in lines)
    return Outcome(number, fault, tuple(done), is_equal, missing, next_round_s, seconds)


def _wait_for_round(
    deployment: Loopback, process: "subprocess.Popen[bytes]", name: str, fault: Fault
) -> RunFolder | None:
    """Return the run's folder at the instant of the fault; none where it has none yet."""
    if fault.round_num == 0:
        time.sleep(fault.after_s)
        return _folder(deployment, name)
    run = _wait_for_folder(deployment, process, name)
    while run is not None and process.poll() is None:
        raise_if_interrupted()
        started = (e for e in run.read_lines("events.jsonl") if e["event"] == "round_started")
        if any(event["round"] >= fault.round_num for event in started):
            time.sleep(fault.after_s)
            break
        time.sleep(_POLL_S)
    return run


def _wait_for_folder(
    deployment: Loopback, process: "subprocess.Popen[bytes]", name: str
) -> RunFolder | None:
    while (run := _folder(deployment, name)) is None and process.poll() is None:
        raise_if_interrupted()
        time.sleep(_POLL_S)
    return run


def _next_round(run: RunFolder, at: float) -> float | None:
    """Return the seconds from the fault to the end of the next round; none where there was none."""
    done = (e["time"] for e in run.read_lines("events.jsonl") if e["event"] == "round_done")
    return next((float(when) - at for when in done if when > at), None)


def _left(deployment: Loopback) -> list[str]:
    """Return which processes of the run are left when it is over."""
    end = time.monotonic() + GONE_S
    while left := deployment.run_server():
        if time.monotonic() > end:
            return [f"these processes are left: {left}"]
        time.sleep(_POLL_S)
    return []


def _folder(deployment: Loopback, name: str) -> RunFolder | None:
    found = sorted((deployment.folder / "runs").glob(f"*-{name}/manifest.json"))
    return RunFolder(found[-1].parent) if found else None


def _lines(run: RunFolder) -> list[dict[str, Any]]:
    return run.read_lines("rounds.jsonl")


def _last_line(deployment: Loopback, name: str) -> str:
    text = (deployment.folder / f"{name}.log").read_text("utf-8", "replace")
    return text.strip().rpartition("\n")[2]


@contextlib.contextmanager
def _own_home(folder: Path) -> Iterator[None]:
    """Have everything use a home folder of its own inside."""
    before = os.environ.get("FEDCXR_HOME")
    os.environ["FEDCXR_HOME"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["FEDCXR_HOME"]
        else:
            os.environ["FEDCXR_HOME"] = before
