"""A run over real processes: a client is killed and comes back, then all of them are killed."""

import signal
import time

import pytest
from test_deployment_end_to_end import until

from fedcxr.config.load import load_config
from fedcxr.data.read import read_dataset
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.data.tokens import load_key
from fedcxr.deploy.child import free_port
from fedcxr.deploy.loopback import Loopback, processes, send
from fedcxr.deploy.provision import new_deployment
from fedcxr.runs.checkpoint_files import checkpoint_rounds
from fedcxr.runs.folder import RunFolder
from partitions.export import export_global, export_site
from partitions.prepare import prepare

pytestmark = pytest.mark.slow

SITES = ("site-00", "site-01", "site-02")
KILLED = "site-02"
DEADLINE_S = 30.0
ROUNDS = 10
KEYS = {
    "model.image_size": 32,
    "server.rounds": ROUNDS,
    "server.deadline_s": DEADLINE_S,
    "server.quorum": 0.5,
    "server.norm_factor": 1e6,  # nobody is refused for how far a tiny site moves
    "train.local_epochs": 30,  # some seconds a round, so that what is killed is at work
    "engine.threads_per_client": 1,
    "explain.images_per_outcome": 0,
    "explain.max_boxes": 0,
}


@pytest.fixture
def deployment(tmp_path, monkeypatch):
    """The folders and kits of three sites and a server, none of which is started yet."""
    monkeypatch.setenv("FEDCXR_HOME", str(tmp_path / "home"))
    root = write_synthetic(tmp_path / "source", patients=60, size_px=48)
    config = load_config(overrides={**KEYS, "data.root": str(root), "partition.clients": 3})
    ready, dataset, key = prepare(config), read_dataset(root, views="frontal"), load_key()
    for site in SITES:
        export_site(ready.plan, site, dataset, key, tmp_path / "sites" / site)
    export_global(ready.plan, dataset, key, tmp_path / "server")
    new_deployment(tmp_path / "kits", f"127.0.0.1:{free_port()}", list(SITES))
    made = Loopback(tmp_path, SITES)
    yield made
    made.end()


def sites_in(line):
    return sorted(row["site_id"] for row in line["sites"])


def test_a_killed_client_comes_back_and_without_any_the_run_stops_and_goes_on(deployment):
    # row 20 of the bad-input table
    # row 21 of the bad-input table
    folder = deployment.folder
    deployment.start("server", "server", "start", "--kit", deployment.kit)
    for site in SITES:
        deployment.start_client(site)
    deployment.wait_until_up()
    words = [word for key, value in KEYS.items() for word in ("--set", f"{key}={value}")]
    deployment.start(
        *("run", "run", "--kit", deployment.kit, "--data", folder / "server"),
        *("--runs-dir", folder / "runs", "--name", "a-run", *words),
    )
    until(lambda: list((folder / "runs").glob("*-a-run/rounds.jsonl")))
    run = RunFolder(next((folder / "runs").glob("*-a-run")))

    def rounds():
        return run.read_lines("rounds.jsonl")

    def begun(round_num):
        events = run.read_lines("events.jsonl")
        return any(e["event"] == "round_started" and e["round"] == round_num for e in events)

    # One client is killed in round 2: the round closes without it, and it comes back.
    until(lambda: begun(2))
    send(deployment.client(KILLED), signal.SIGKILL)
    deployment.wait(KILLED, 5.0)
    deployment.start_client(KILLED)
    until(lambda: begun(3))
    second = rounds()[2]
    assert sites_in(second) == ["site-00", "site-01"]
    (missing,) = second["missing"]
    assert missing["site_id"] == KILLED
    assert missing["reason"]
    until(lambda: any(sites_in(line) == list(SITES) for line in rounds()[3:]))

    # Then all are killed: they are waited for no longer than the deadline.
    last = len(rounds())
    assert last < ROUNDS, "the run is too short for this machine"
    until(lambda: begun(last))
    at = time.monotonic()
    for site in SITES:
        send(deployment.client(site), signal.SIGKILL)
        deployment.wait(site, 5.0)
    assert deployment.wait("run", DEADLINE_S + 60) == 6
    assert time.monotonic() - at < DEADLINE_S + 60
    told = (folder / "run.log").read_text()
    assert f"Round {last}: 0 of 3 sites answered rightly, 2 are needed" in told
    assert f"fedcxr resume {run.path}" in told
    assert "Traceback" not in told
    assert run.read_json("manifest.json")["status"] == "failed"
    assert [line["round"] for line in rounds()] == list(range(last))
    assert checkpoint_rounds(run.path / "checkpoints")[-1] == last - 1

    # Back again they go on from the last whole round; and nothing is left at the end.
    for site in SITES:
        deployment.start_client(site)
    deployment.wait_until_up()
    deployment.start("resume", "resume", run.path)
    assert deployment.wait("resume", 200) == 0, (folder / "resume.log").read_text()
    assert [line["round"] for line in rounds()] == list(range(ROUNDS + 1))
    assert all(sites_in(line) == list(SITES) for line in rounds()[last:])
    deployment.end()
    until(lambda: not processes(lambda words: True, folder), 30.0)
