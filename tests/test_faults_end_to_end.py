"""Whole simulated runs whose clients or server are killed, or whose disk becomes full."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from flwr.clientapp import ClientApp

from clients.app import simulated_app
from fedcxr.config.load import load_config, to_yaml
from fedcxr.engines.app_ref import AppRef
from fedcxr.errors import QuorumError
from fedcxr.experiments import resume, simulate
from fedcxr.parameters import load_parameters
from fedcxr.runs.checkpoint_files import checkpoint_file, checkpoint_rounds
from fedcxr.wire import unpack_order

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_page")]

TINY = {
    "data.synthetic.patients": 90,
    "data.synthetic.size_px": 48,
    "model.image_size": 32,
    "partition.clients": 3,
    "server.rounds": 3,
    "explain.images_per_outcome": 0,
    "explain.max_boxes": 0,
    "engine.workers": 1,
    "engine.precision": "fp32",
}


def tiny(folder, **changes):
    keys = {key.replace("__", "."): value for key, value in changes.items()}
    return load_config(overrides={**TINY, "runs_dir": str(folder), "name": "tiny", **keys})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The digest of the weights of a run that nobody disturbs."""
    return simulate(tiny(tmp_path_factory.mktemp("undisturbed"))).summary["parameters_sha256"]


def only_run(folder):
    (run,) = folder.iterdir()
    return run


def lines(run):
    return [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]


def sites_in(line):
    return sorted(row["site_id"] for row in line["sites"])


def unfinished(run):
    return sorted(path.name for path in run.rglob(".writing-*"))


class Killing:
    """Has the clients of sites killed in a round, whenever they are given its order."""

    def __init__(self, round_num, *sites):
        self.words = str(round_num), *sites

    def app(self, honest):
        return AppRef(__name__, "killed_app", (*honest.args, *self.words))

    def grid(self, job, honest):
        return honest


def killed_app(run_path, round_num, *sites):
    """Return the clients' app, whose worker process is killed by the orders that `Killing` says."""
    honest, app = simulated_app(run_path), ClientApp()

    @app.train()
    def train(message, context):
        site = f"site-{int(context.node_config['partition-id']):02d}"
        if site in sites and unpack_order(message).round_num == int(round_num):
            os.kill(os.getpid(), signal.SIGKILL)
        return honest(message, context)

    app.query()(honest)
    app.evaluate()(honest)
    return app


def test_a_client_that_is_killed_in_a_round_is_missing_from_it_and_back_in_the_next(tmp_path):
    # row 20 of the bad-input table
    killing = Killing(2, "site-01")
    run = simulate(tiny(tmp_path, engine__workers=2), tampering=killing)
    first, second, third = lines(run.path)[1:]
    assert sites_in(first) == sites_in(third) == ["site-00", "site-01", "site-02"]
    assert sites_in(second) == ["site-00", "site-02"]
    (missing,) = second["missing"]
    assert missing == {"site_id": "site-01", "reason": "the site's client broke off (code 2)"}
    assert run.summary["participation"]["site-01"]["missing"] == [2]
    assert run.summary["num_rounds"] == 3


def test_a_run_whose_clients_are_all_killed_ends_with_its_checkpoint_and_goes_on_to_the_same_bits(
    tmp_path, undisturbed
):
    # row 21 of the bad-input table
    begun = time.monotonic()
    with pytest.raises(QuorumError) as caught:
        simulate(
            tiny(tmp_path, engine__workers=2),
            tampering=Killing(2, "site-00", "site-01", "site-02"),
        )
    assert time.monotonic() - begun < 120  # there is no deadline: deaths are seen as they happen
    assert caught.value.exit_code == 6
    run = only_run(tmp_path)
    assert "Round 2: 0 of 3 sites answered rightly, 2 are needed" in str(caught.value)
    assert f"fedcxr resume {run}" in str(caught.value)
    assert checkpoint_rounds(run / "checkpoints") == [0, 1]
    assert json.loads((run / "manifest.json").read_text())["status"] == "failed"
    assert [line["round"] for line in lines(run)] == [0, 1]
    assert resume(run).summary["parameters_sha256"] == undisturbed


DYING = """
import os, signal, sys
from pathlib import Path

from fedcxr import tensor_file
from fedcxr.config.load import read_config
from fedcxr.experiments import simulate

write, rename = tensor_file.write_bytes_atomically, Path.replace

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def write_half(handle, mode):
    os.write(handle, DATA[: len(DATA) // 2])
    die()

def write_and_die(path, data, **more):
    if path.name == "round-00002.safetensors":
        global DATA
        DATA = data
        if sys.argv[2] == "half of it is written":
            os.fdopen = write_half
        elif sys.argv[2] == "it is not renamed yet":
            os.fsync = die
        else:
            Path.replace = lambda self, target: (rename(self, target), die())
    write(path, data, **more)

tensor_file.write_bytes_atomically = write_and_die
simulate(read_config(Path(sys.argv[1])))
"""
"""Runs a federation whose server is killed by itself in the middle of a checkpoint."""


@pytest.mark.parametrize(
    ("when", "kept"),
    [
        ("half of it is written", [0, 1]),
        ("it is not renamed yet", [0, 1]),
        ("it is renamed and not in the log", [0, 1, 2]),
    ],
)
def test_a_server_that_is_killed_while_it_writes_a_checkpoint_goes_on_to_the_same_bits(
    tmp_path, undisturbed, when, kept
):
    # row 22 of the bad-input table
    (tmp_path / "run.yaml").write_text(to_yaml(tiny(tmp_path / "runs")))
    words = [sys.executable, "-c", DYING, tmp_path / "run.yaml", when]
    assert subprocess.run(words, timeout=120).returncode == -signal.SIGKILL
    run = only_run(tmp_path / "runs")
    assert checkpoint_rounds(run / "checkpoints") == kept
    for round_num in kept:
        load_parameters(checkpoint_file(run / "checkpoints", round_num))  # whole
    assert [line["round"] for line in lines(run)] == [0, 1]
    assert resume(run).summary["parameters_sha256"] == undisturbed
    assert [line["round"] for line in lines(run)] == [0, 1, 2, 3]
    assert unfinished(run) == []


FULL = """
import contextlib, io, json, os, sys
from pathlib import Path

import server.finish
import server.rounds
from fedcxr.cli.main import main
from fedcxr.experiments import resume
from fedcxr.parameters import load_parameters
from fedcxr.runs.checkpoint_files import checkpoint_file, checkpoint_rounds

disk, config, room = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
filler = disk / "filler"
write = server.rounds.write_checkpoint
server.finish.write_report = lambda path, **options: None

def on_a_full_disk(folder, checkpoint, *rest, **more):
    if checkpoint.round_num == 2:
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        filler.write_bytes(bytes(free - room))
    return write(folder, checkpoint, *rest, **more)

server.rounds.write_checkpoint = on_a_full_disk
sys.argv = ["fedcxr", "simulate", "--config", config, "--quiet"]
said = io.StringIO()
try:
    with contextlib.redirect_stderr(said):
        main()
except SystemExit as end:
    code = end.code
(run,) = (disk / "runs").iterdir()
rounds = checkpoint_rounds(run / "checkpoints")
for round_num in rounds:
    load_parameters(checkpoint_file(run / "checkpoints", round_num))
left = [path.name for path in run.rglob(".writing-*")]
filler.unlink()
server.rounds.write_checkpoint = write
digest = resume(run).summary["parameters_sha256"]
found = {"run": str(run), "code": code, "said": said.getvalue(), "rounds": rounds, "left": left}
print(json.dumps({**found, "digest": digest}))
"""
"""Runs a federation on a disk that is full when the checkpoint of round 2 is written."""


def own_disk(folder, size_mb):
    """Return the words that run a command with a small disk of its own mounted at `folder`."""
    words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = f'mount -t tmpfs -o size={size_mb}m none "$0" && exec "$@"'
    if shutil.which("unshare") is None:
        pytest.skip("this machine has no unshare")
    if subprocess.run([*words, mount, folder, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a disk of their own")
    return [*words, mount, folder]


@pytest.mark.parametrize("room", [200_000, 0], ids=["room for a part of it", "no room at all"])
def test_a_disk_that_is_full_leaves_the_checkpoints_and_the_run_goes_on(
    tmp_path, undisturbed, room
):
    # row 23 of the bad-input table
    disk = tmp_path / "disk"
    disk.mkdir()
    (tmp_path / "run.yaml").write_text(to_yaml(tiny(disk / "runs")))
    words = [*own_disk(disk, 16), sys.executable, "-c", FULL, disk, tmp_path / "run.yaml", room]
    done = subprocess.run([*map(str, words)], timeout=180, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["code"] == 6
    told = "checkpoints/round-00002.safetensors: cannot be written (No space left on device). Make"
    assert told in found["said"]
    assert f"go on with: fedcxr resume {found['run']}" in found["said"]
    assert "Traceback" not in found["said"]
    assert found["rounds"] == [0, 1]
    assert found["left"] == []
    assert found["digest"] == undisturbed
