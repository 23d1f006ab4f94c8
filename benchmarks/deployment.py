"""What a round costs among real processes without training, against a plain Flower app.

A SuperLink and three SuperNodes on this machine, TLS and the nodes' keys on, and densenet121's 28
MB to every site and back. fedcxr's deployment is the product's own, from kits, with clients whose
training takes no step; the plain app is Flower's FedAvg with a state dict of 727 arrays and clients
that import PyTorch, started with Flower's own commands. Both in turn.

    python -m benchmarks.deployment            # a quarter of an hour
    python -m benchmarks.deployment --short    # 3 minutes: each once, few rounds
"""

import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from benchmarks.loopback_federation import loopback_federation
from benchmarks.processes import finish, started, tail, wait_until
from benchmarks.result import Result, Row, Table, run_as_command, spread
from fedcxr.config.load import load_config
from fedcxr.data.read import read_dataset
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.data.tokens import load_key
from fedcxr.deploy import kit_files as k
from fedcxr.deploy.child import direct_loopback, free_port
from fedcxr.deploy.control import Control
from fedcxr.deploy.provision import Deployment, new_deployment
from partitions.export import export_global, export_site
from partitions.prepare import prepare

SITES = ("site-00", "site-01", "site-02")
APP = Path(__file__).parent / "vs" / "flower" / "deployed"
LINK = "bench"
BINARIES = Path(sys.executable).parent
GOAL_RATIO = 0.3
LONGEST_S = 900.0
SETTINGS = {
    "model.name": "densenet121",
    "model.weights": "none",
    "model.image_size": 32,
    "train.local_epochs": 1,
    "explain.max_boxes": 0,
    "explain.images_per_outcome": 0,
}
"""The smallest images: the server judges its model after every round, and that is not compared."""
FULL = {"fedcxr": 8, "flower": 4}
SHORT = {"fedcxr": 3, "flower": 2}
"""Rounds of one start; the first one, in which data are opened and models built, is left out."""
REPEATS = 3

Seconds = dict[str, list[list[float]]]
"""By framework, the seconds of the rounds of each start."""


def measure(short: bool) -> Result:
    """Run both deployments in turn, in the long form three times."""
    rounds = SHORT if short else FULL
    found: Seconds = {name: [] for name in rounds}
    with folder_of_data() as folder:
        for number in range(1 if short else REPEATS):
            place = folder / str(number)
            found["fedcxr"].append(fedcxr_rounds(place / "fedcxr", folder, rounds["fedcxr"]))
            found["flower"].append(flower_rounds(place / "flower", rounds["flower"] + 1)[1:])
    ratios = ratios_of(found)
    met = None if short else statistics.median(ratios) <= GOAL_RATIO
    what = "fedcxr's round ÷ a plain Flower app's, 3 sites × 28 MB, TLS, no training"
    medians = {name: [statistics.median(run) for run in runs] for name, runs in found.items()}
    return Result(
        name="deployment",
        title="A deployment's round without training",
        command="python -m benchmarks.deployment",
        short=short,
        rows=[Row(what, f"≤ {GOAL_RATIO:g}", spread(ratios), met)],
        tables=[
            Table(
                "",
                ("deployment", "s a round"),
                [[name, spread(seconds, 1)] for name, seconds in medians.items()],
            )
        ],
        notes=[
            "Seconds from the first order of a round to its aggregate, the median of a start's "
            "rounds after the first, then over the starts (lowest to highest).",
            "Both have one SuperLink and three SuperNodes on one machine, which share its cores.",
        ],
        figures={"round_s": found},
    )


def ratios_of(found: Seconds) -> list[float]:
    """Return fedcxr's median round by Flower's, for each pair of starts."""
    pairs = zip(found["fedcxr"], found["flower"], strict=True)
    return [statistics.median(ours) / statistics.median(theirs) for ours, theirs in pairs]


@contextlib.contextmanager
def folder_of_data(sites: Sequence[str] = SITES) -> Iterator[Path]:
    """Yield a folder with what each site and the server bring: `site-00` …, `server`.

    Args:
        sites: their names, as `fedcxr provision --sites NUMBER` gives them.
    """
    with tempfile.TemporaryDirectory(prefix="fedcxr-deployment-") as name:
        folder = Path(name)
        source = write_synthetic(folder / "source", patients=20 * len(sites), size_px=32)
        os.environ["FEDCXR_HOME"] = str(folder / "home")
        settings = {**SETTINGS, "data.root": str(source), "partition.clients": len(sites)}
        plan = prepare(load_config(overrides=settings)).plan
        dataset, key = read_dataset(source, views="frontal"), load_key()
        for site in sites:
            export_site(plan, site, dataset, key, folder / site)
        export_global(plan, dataset, key, folder / "server")
        yield folder


def fedcxr_rounds(folder: Path, data: Path, rounds: int) -> list[float]:
    """Return the seconds of the rounds of fedcxr's own deployment, but for the first."""
    clients = {site: ("benchmarks.deployment_site", "--data", data / site) for site in SITES}
    with loopback_federation(folder, clients) as deployed:
        settings = {**SETTINGS, "server.rounds": rounds + 1}
        run = deployed.run_command(data / "server", folder / "runs", settings)
        said = folder / "run.log"
        with started(run, deployed.home, said, folder / "run") as process:
            finish(process, said, LONGEST_S)
    (lines,) = (folder / "runs").glob("*/rounds.jsonl")
    found = [json.loads(line) for line in lines.read_text("utf-8").splitlines()]
    assert all(len(line["sites"]) == len(SITES) for line in found[1:]), found
    return [line["seconds_train"] for line in found[2:]]


def flower_rounds(folder: Path, rounds: int) -> list[float]:
    """Return the seconds of the rounds of a plain Flower app."""
    made = new_deployment(folder / "kits", f"127.0.0.1:{free_port()}", SITES)
    shutil.copytree(APP, folder / "app")
    ends = folder / "ends.json"
    with contextlib.ExitStack() as stack:

        def start(name: str, *words: object) -> Path:
            log, home = folder / f"{name}.log", folder / "home" / name
            home.mkdir(parents=True, exist_ok=True)
            command = ["env", *surroundings(home), *map(str, words)]
            stack.enter_context(started(command, home, log))
            return log

        start("superlink", *superlink_command(made))
        register(made)
        for site in SITES:
            start(site, *supernode_command(made, site))
        config = f'[superlink.{LINK}]\naddress = "{made.address}"\n'
        config += f'root-certificates = "{made.server / k.CA_CRT}"\n'
        (folder / "home" / "run").mkdir()
        (folder / "home" / "run" / "config.toml").write_text(config)
        said = f'rounds={rounds} file="{ends}"'
        log = start("run", BINARIES / "flwr", "run", folder / "app", LINK, "--run-config", said)
        wait_until(ends.is_file, lambda: tail(log))
    return [after - before for before, after in pairwise(json.loads(ends.read_text()))]


def superlink_command(made: Deployment) -> list[object]:
    """Return Flower's server with the deployment's certificate, as its documentation starts it."""
    return [
        *(BINARIES / "flower-superlink", "--ssl-ca-certfile", made.server / k.CA_CRT),
        *(
            "--ssl-certfile",
            made.server / k.SERVER_CRT,
            "--ssl-keyfile",
            made.server / k.SERVER_KEY,
        ),
        *("--enable-supernode-auth", "--disable-runtime-dependency-installation"),
        *("--host", "127.0.0.1", "--port", made.address.partition(":")[2]),
    ]


def supernode_command(made: Deployment, site: str) -> list[object]:
    """Return Flower's client with a site's key."""
    kit = made.folder / site
    return [
        *(BINARIES / "flower-supernode", "--root-certificates", kit / k.CA_CRT),
        *("--superlink", made.address, "--auth-supernode-private-key", kit / k.NODE_KEY),
        *("--port", free_port()),
    ]


def register(made: Deployment) -> None:
    """Have a SuperLink take the sites' keys as soon as it is up."""
    authority = (made.server / k.CA_CRT).read_bytes()
    with Control(made.address, authority, "no token is asked for") as control:

        def is_up() -> bool:
            with contextlib.suppress(Exception):
                control.nodes()
                return True
            return False

        wait_until(is_up, lambda: "the SuperLink does not answer")
        for site, key in k.known_keys(made.server).items():
            control.register(site, key)


def surroundings(home: Path) -> list[str]:
    """Return the variables for one of Flower's programs, which unpacks the bundle in `home`."""
    variables = {
        **direct_loopback(os.environ),
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "PATH": os.pathsep.join([str(BINARIES), os.environ.get("PATH", "")]),
    }
    return [f"{name}={value}" for name, value in variables.items()]


if __name__ == "__main__":
    run_as_command(measure, __doc__)
