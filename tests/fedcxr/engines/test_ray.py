"""The grid on Ray: a cluster of machines on this one, some of which are killed."""

import contextlib
import gc
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import types
import weakref
from pathlib import Path

import pytest
import ray
from flwr.app import Message, RecordDict
from ray.cluster_utils import Cluster
from ray_echo import order_of

from fedcxr.config import load_config
from fedcxr.engines import ray_actors
from fedcxr.engines.app_ref import AppRef
from fedcxr.engines.ray import RayGrid
from fedcxr.engines.ray_cluster import Share, connected
from fedcxr.errors import NetworkError
from fedcxr.experiments import simulate
from server.exchange import ExchangeLimits, exchange

ECHO = AppRef("ray_echo", "echo_app")
LIMIT_S = 60.0
BROKE_OFF = "the site's client broke off (code 2)"

pytestmark = [
    pytest.mark.slow,
    # Ray does not close its own log files: https://github.com/ray-project/ray/issues/9546
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def cluster():
    """One machine with one core; tests add others and kill them."""
    patch = pytest.MonkeyPatch()
    here = Path(__file__)
    patch.setenv("PYTHONPATH", os.pathsep.join([str(here.parent), str(here.parents[3])]))
    head = {
        "num_cpus": 1,
        "include_dashboard": False,
        # a machine that is gone is noticed in 2 seconds, not in 15
        "_system_config": {
            "health_check_initial_delay_ms": 0,
            "health_check_period_ms": 500,
            "health_check_failure_threshold": 4,
        },
    }
    made = Cluster(initialize_head=True, head_node_args=head)
    try:
        with connected(made.address):
            yield made
    finally:
        made.shutdown()
        patch.undo()
        gc.collect()  # what Ray left open is told of here and not in another test


@pytest.fixture
def machine(cluster):
    """A second machine, with two cores: that of the test before, if it did not kill it."""
    for alive in cluster.worker_nodes:
        return alive
    return cluster.add_node(num_cpus=2)


@pytest.fixture
def open_grid(cluster, tmp_path):
    """Start a grid of so many clients; all grids are closed at the end."""
    grids = []

    def start(clients=2, *, app=ECHO, cpus=1.0, **more):
        grid = RayGrid(app, 4, Share(cpus, 0.0, clients), pulses=tmp_path, **more)
        grids.append(grid)
        grid.start()
        return grid

    yield start
    for grid in grids:
        grid.close()


def ready(grid, limit_s=LIMIT_S):
    """Return the grid when all of its actors are ready."""
    end = time.monotonic() + limit_s
    actors = grid._actors
    while len(actors._all) < actors._wanted or not all(actor.ready for actor in actors._all):
        assert time.monotonic() < end
        grid.work()
    return grid


def start_round(grid, nodes=(1, 2, 3, 4), deadline_s=LIMIT_S, **what):
    """Return the replies as they come."""
    records = dict(order_of(1, **what).content)

    def maker(node):
        return lambda: Message(RecordDict(records), dst_node_id=node, message_type="train")

    orders = [(f"site-{node}", maker(node)) for node in nodes]
    return exchange(grid, orders, ExchangeLimits(grid.workers + 1, deadline_s))


def values(messages):
    return [int(m.content["parameters"]["vector"].numpy()[-1]) for m in messages if m is not None]


def finish(round_):
    """Return a round's values, and why sites are missing."""
    replies = list(round_)
    why = {r.site_id: r.reason for r in replies if r.message is None}
    return values(r.message for r in replies), why


def wait_for_line(mark):
    end = time.monotonic() + LIMIT_S
    while not (mark.exists() and mark.read_text()):
        assert time.monotonic() < end
        time.sleep(0.05)


def kill_after(mark, cluster, machine):
    """Kill a machine when the mark is written, as a power cut would."""

    def wait_and_kill():
        wait_for_line(mark)
        cluster.remove_node(machine, allow_graceful=False)

    thread = threading.Thread(target=wait_and_kill)
    thread.start()
    return thread


def test_both_machines_answer_and_a_rounds_parameters_are_put_once(open_grid, machine, monkeypatch):
    put = []
    original = ray.put
    monkeypatch.setattr(ray, "put", lambda value: put.append(1) or original(value))
    grid = ready(open_grid())
    replies = [reply.message for reply in start_round(grid, value=3)]
    assert values(replies) == [6, 6, 6, 6]
    assert len({m.content["said"]["machine"] for m in replies}) == 2
    assert len({m.content["said"]["pid"] for m in replies} | {os.getpid()}) == 3
    assert len(put) == 1
    # other arrays in the second round: an actor must not answer with those of the first
    assert finish(start_round(grid, value=5)) == ([10, 10, 10, 10], {})
    assert len(put) == 2


def proportional_memory():
    text = Path("/proc/self/smaps_rollup").read_text()
    return 1024 * int(re.search(r"Pss:\s+(\d+)", text)[1])


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux only")
def test_the_servers_memory_does_not_grow_with_the_number_of_clients(open_grid, machine):
    grid, size = ready(open_grid()), 8_000_000
    peaks, held = [], []
    for number in (4, 40):
        peaks.append(0)
        for reply in start_round(grid, range(1, number + 1), size=size):
            held.append(weakref.ref(reply.message.content["parameters"]["vector"].data))
            del reply
            assert sum(ref() is not None for ref in held) <= 1
            peaks[-1] = max(peaks[-1], proportional_memory())
    # 36 replies more would be 288 MB; three are under way at once
    assert peaks[1] - peaks[0] < 4 * size


def test_orders_of_a_killed_machine_are_done_elsewhere(cluster, open_grid, machine, tmp_path):
    mark = tmp_path / "mark"
    grid = ready(open_grid())
    killer = kill_after(mark, cluster, machine)
    # every order that comes to the second machine hangs there until it is killed
    outcome = finish(start_round(grid, do="hang", machine=machine.node_id, mark=mark))
    killer.join()
    assert outcome == ([6, 6, 6, 6], {})
    assert len(mark.read_text().splitlines()) == 1


def test_a_reply_that_is_lost_with_its_machine_is_made_anew(
    cluster, open_grid, machine, tmp_path, caplog
):
    mark = tmp_path / "mark"
    grid = ready(open_grid())
    ids = grid.push_messages([order_of(n, machine=machine.node_id, mark=mark) for n in (1, 2)])
    wait_for_line(mark)
    time.sleep(1.0)  # now both are answered, and nobody has asked for the replies
    cluster.remove_node(machine, allow_graceful=False)
    replies, end = [], time.monotonic() + LIMIT_S
    while len(replies) < 2 and time.monotonic() < end:
        replies += grid.pull_messages(ids)
    assert values(replies) == [6, 6]
    assert "a client's process was lost" in caplog.text


def test_sites_are_missing_when_no_machine_is_left_and_back_when_one_joins(
    cluster, open_grid, machine, tmp_path, monkeypatch
):
    mark = tmp_path / "mark"
    grid = ready(open_grid(1, cpus=2.0))  # the first machine has but one core
    monkeypatch.setattr(ray_actors, "ROOM_S", 2.0)
    killer = kill_after(mark, cluster, machine)
    begun = time.monotonic()
    outcome = finish(start_round(grid, do="hang", mark=mark))
    assert time.monotonic() - begun < 30.0
    killer.join()
    assert outcome == ([], {f"site-{n}": BROKE_OFF for n in (1, 2, 3, 4)})
    cluster.add_node(num_cpus=2)
    assert finish(start_round(ready(grid))) == ([6, 6, 6, 6], {})


def test_an_order_that_kills_its_client_is_tried_three_times(open_grid, tmp_path):
    mark = tmp_path / "mark"
    outcome = finish(start_round(ready(open_grid(1)), do="die", at=3, mark=mark))
    assert outcome == ([6, 6, 6], {"site-3": BROKE_OFF})
    assert len(set(mark.read_text().split())) == 3


def test_a_client_out_of_memory_leaves_its_share_to_the_others(open_grid, machine, tmp_path):
    mark = tmp_path / "mark"
    grid = ready(open_grid())
    outcome = finish(start_round(grid, do="run out", at=3, mark=mark))
    assert outcome == ([6, 6, 6, 6], {})
    assert len(mark.read_text().split()) == 2
    assert len(grid._actors._all) == 1


def test_an_actor_that_hangs_is_replaced_after_the_deadline(open_grid, machine):
    grid = ready(open_grid())
    outcome = finish(start_round(grid, do="hang", at=3, deadline_s=5.0))
    assert outcome == ([6, 6, 6], {"site-3": "no answer within 5 s"})
    assert finish(start_round(ready(grid))) == ([6, 6, 6, 6], {})
    assert len(grid._actors._all) == 2


def test_a_machine_that_does_not_see_the_run_ends_it_with_its_name(open_grid):
    grid = open_grid(1, must_see=["/no/such/run"])
    why = r"cannot simulate sites: \S+ does not see /no/such/run\. .*FEDCXR_HOME"
    with pytest.raises(NetworkError, match=why):
        finish(start_round(grid))


def test_a_machine_without_fedcxr_ends_the_run_with_its_address(open_grid, monkeypatch):
    class Client:
        """Of a module that the actor's machine does not have."""

        __module__, __qualname__ = "only_here", "Client"

        def __init__(self, app, log_level): ...

        def open(self, must_see, pulse): ...

    only_here = types.ModuleType("only_here")
    monkeypatch.setattr(only_here, "Client", Client, raising=False)
    monkeypatch.setitem(sys.modules, "only_here", only_here)
    monkeypatch.setattr(ray_actors, "RayClient", Client)
    grid = open_grid(1)
    why = (
        r"sites: [\d.]+: ModuleNotFoundError: No module named 'only_here'\. All of them need fedcxr"
    )
    with pytest.raises(NetworkError, match=why):
        finish(start_round(grid))


def test_a_cluster_that_is_busy_ends_the_run(open_grid, machine, monkeypatch):
    ready(open_grid(1, cpus=2.0))
    monkeypatch.setattr(ray_actors, "ROOM_S", 0.5)
    with pytest.raises(NetworkError, match=r"within 0.5 s: none found room\. See `ray status`"):
        finish(start_round(open_grid(1, cpus=2.0)))


TINY = {
    "data.synthetic.patients": 90,
    "data.synthetic.size_px": 48,
    "model.image_size": 32,
    "partition.clients": 3,
    "server.rounds": 2,
    "explain.labels": 1,
    "engine.precision": "fp32",
}


def command(folder, *more):
    cli = [sys.executable, "-m", "fedcxr", "simulate", "--quiet", "--runs-dir", str(folder)]
    return [*cli, *(x for k, v in TINY.items() for x in ("--set", f"{k}={v}")), *more]


def read_run(folder, file):
    (run,) = folder.iterdir()
    return json.loads((run / file).read_text())


def test_a_cluster_of_two_machines_gives_the_same_bits_as_this_process(
    cluster, machine, tmp_path, fedcxr_home
):
    here = {**TINY, "engine.workers": 1, "runs_dir": str(tmp_path / "here")}
    summary = simulate(load_config(overrides=here)).summary
    there = tmp_path / "there"
    flags = ["--engine", "ray", "--ray-address", cluster.address]
    subprocess.run(command(there, *flags), check=True, timeout=180)
    assert read_run(there, "summary.json")["parameters_sha256"] == summary["parameters_sha256"]
    assert read_run(there, "manifest.json")["workers"] == 3  # 1 core here, 2 there
    assert not list(fedcxr_home.glob(".ray-*"))


def processes_with(variable):
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if variable.encode() in environ.read_bytes().split(b"\0"):
                found.append((environ.parent / "cmdline").read_bytes())
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="Linux only")
def test_an_interrupted_run_exits_130_and_leaves_no_process_of_ray(tmp_path):
    flags = ["--engine", "ray", "--workers", "2", "--set", "server.rounds=500"]
    process = subprocess.Popen(
        command(tmp_path / "runs", *flags),
        env={**os.environ, "FEDCXR_TEST": str(tmp_path)},
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    end = time.monotonic() + 120.0
    while not list(tmp_path.glob("runs/*/checkpoints/*.safetensors")):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: all processes of the group get it
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in told
    assert read_run(tmp_path / "runs", "manifest.json")["status"] == "interrupted"
    end = time.monotonic() + 10.0
    while (left := processes_with(f"FEDCXR_TEST={tmp_path}")) and time.monotonic() < end:
        time.sleep(0.1)
    assert left == []
