"""A run over real processes whose server is killed, and which is resumed by hand."""

import json
import signal
import time
from importlib.util import find_spec

import pytest

from fedcxr.config.load import load_config
from fedcxr.data.read import read_dataset
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.data.tokens import load_key
from fedcxr.deploy.child import free_port
from fedcxr.deploy.loopback import Loopback
from fedcxr.deploy.provision import new_deployment
from fedcxr.experiments.simulate import simulate
from fedcxr.runs.folder import RunFolder
from partitions.export import export_global, export_site
from partitions.prepare import prepare

pytestmark = pytest.mark.slow

TRACKED = ("--tensorboard",) if find_spec("tensorboard") else ()
SITES = ("site-00", "site-01")
KEYS = {
    "model.image_size": 32,
    "server.rounds": 3,
    "train.local_epochs": 1,
    # What sites keep between rounds: batch norm, control variates, what a codec left out.
    "algorithm.name": "scaffold",
    "train.optimizer": "sgd",
    "train.momentum": 0.0,
    "train.learning_rate": 0.05,
    "server.batch_norm": "local",
    "server.codec": "int8",
    # Images are in the order of their tokens, whose key is new in each run of this test. Under some
    # keys one of these tiny sites moves the model ten times as far as usual, and would be refused.
    "server.norm_factor": 1e6,
    "engine.threads_per_client": 1,
    "explain.images_per_outcome": 0,
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The folders of a deployment, and the digest of an undisturbed simulation's weights."""
    folder = tmp_path_factory.mktemp("deployment")
    patch = pytest.MonkeyPatch()
    patch.setenv("FEDCXR_HOME", str(folder / "home"))
    root = write_synthetic(folder / "source", patients=50, size_px=48)
    config = load_config(overrides={**KEYS, "data.root": str(root), "partition.clients": 2})
    ready, dataset, key = prepare(config), read_dataset(root, views="frontal"), load_key()
    for site in SITES:
        export_site(ready.plan, site, dataset, key, folder / "sites" / site)
    export_global(ready.plan, dataset, key, folder / "server")
    new_deployment(folder / "kits", f"127.0.0.1:{free_port()}", list(SITES))
    same = config.partition.model_copy(update={"folder": str(ready.plan.folder)})
    config = config.model_copy(update={"partition": same})
    found = simulate(config, folder=folder / "simulated").summary["parameters_sha256"]
    yield folder, found
    patch.undo()


def until(is_so, limit_s=150.0):
    end = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.1)


def test_a_killed_server_is_started_again_and_its_run_resumed_to_the_bit(expected):
    # row 22 of the bad-input table
    folder, digest = expected
    deployment = Loopback(folder, SITES)
    settings = [f"{key}={value}" for key, value in KEYS.items()]
    words = [word for setting in settings for word in ("--set", setting)]
    try:
        server = deployment.start("server", "server", "start", "--kit", deployment.kit)
        for site in SITES:
            deployment.start_client(site)
        deployment.wait_until_up()
        follower = deployment.start(
            *("run", "run", "--kit", deployment.kit, "--data", folder / "server"),
            *("--runs-dir", folder / "runs", "--name", "a-run", *words, *TRACKED),
            *((folder / "logs",) if TRACKED else ()),
        )
        until(lambda: list((folder / "runs").glob("*-a-run/rounds.jsonl")))
        run = RunFolder(next((folder / "runs").glob("*-a-run")))
        until(lambda: len(run.read_lines("rounds.jsonl")) == 3)  # round 2 is whole
        for process in (server, follower):  # which would wait for a server that comes back
            process.send_signal(signal.SIGKILL)
            process.wait()
        until(lambda: not deployment.run_server() and not deployment.superlink())
        deployment.start("server", "server", "start", "--kit", deployment.kit)
        deployment.wait_until_up()
        deployment.start("resume", "resume", run.path)
        assert deployment.wait("resume", 200) == 0, (folder / "resume.log").read_text()
    finally:
        deployment.end()
    assert run.read_json("summary.json")["parameters_sha256"] == digest
    lines = run.read_lines("rounds.jsonl")
    assert [len(line["sites"]) for line in lines] == [0, 2, 2, 2]
    assert len(json.loads((run.path / "manifest.json").read_text())["resumed"]) == 1
    if TRACKED:  # the server told of it, before it was killed and after
        assert len(list((folder / "logs" / run.name).glob("events.out.tfevents.*"))) == 2
        assert run.read_json("summary.json")["tracker_problems"] == {}
