"""The resident trainer: one process for all orders of a run, replaced where it dies or hangs."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from fedcxr.deploy import resident as module
from fedcxr.deploy.resident import Resident, resident
from fedcxr.engines import fork_server, idle
from fedcxr.engines.app_ref import AppRef
from fedcxr.interrupts import end_when_orphaned
from fedcxr.packing import unpack_array
from fedcxr.wire import CLIENT_IDLE, VECTORS, arrays_in, pack_vectors

PLACE = "FEDCXR_TEST_PLACE"
"""Where the trainer leaves notes."""


def noting_app(node_config):
    """Return an app that doubles its vector and tells in which process, and how often it did."""
    end_when_orphaned()
    app, done = ClientApp(), []

    @app.train()
    def train(message, context):
        done.append(message.metadata.run_id)
        do = message.content["order"]["do"]
        notes = Path(os.environ[PLACE], "begun.txt")
        with notes.open("a") as file:
            file.write(f"{os.getpid()}\n")
        times = len(notes.read_text().splitlines())
        if do == "die" or (do == "die once" and times == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if do == "hang":
            time.sleep(60)
        print("said by the trainer", flush=True)
        told = {"pid": os.getpid(), "done": len(done), "config": node_config}
        vector = unpack_array(arrays_in(message.content)["vector"], "<f4")
        sent = pack_vectors({"vector": vector * np.float32(2)})
        return Message(RecordDict({"told": ConfigRecord(told), VECTORS: sent}), reply_to=message)

    return app


APP = AppRef(__name__, "noting_app")


def order(do="double", run_id=1, value=1.5):
    arrays = pack_vectors({"vector": np.full(1000, value, np.float32)})
    content = RecordDict({"order": ConfigRecord({"do": do}), VECTORS: arrays})
    message = Message(content, dst_node_id=7, message_type="train")
    message.metadata.__dict__.update(_run_id=run_id, _message_id="an-id")
    return message


def context(config=None):
    return Context(run_id=1, node_id=7, node_config=config or {}, state=RecordDict(), run_config={})


def begun(folder):
    file = folder / "begun.txt"
    return [int(line) for line in file.read_text().splitlines()] if file.exists() else []


def told(reply):
    return reply.content["told"]


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """The log of all trainers here: they are forked by one process, which prints there."""
    patch = pytest.MonkeyPatch()
    patch.setattr(fork_server, "_servers", [])
    yield tmp_path_factory.mktemp("logs") / "client.log"
    fork_server.end_fork_server()
    patch.undo()


@pytest.fixture
def trainer(log, tmp_path, monkeypatch, flower):
    monkeypatch.setattr(module, "LOOK_S", 0.05)
    made = Resident(APP, log, {PLACE: str(tmp_path)})
    yield made
    made.end()


def ask(trainer, message, config=None, is_wanted=lambda: True):
    return trainer.answer(message, context(config), is_wanted)


def is_there(pid):
    """Return whether a process runs; one that has ended and waits to be noticed does not."""
    with contextlib.suppress(OSError):
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def gone_within(pid, limit_s):
    end = time.monotonic() + limit_s
    while is_there(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not is_there(pid)


def test_one_process_answers_all_orders_of_a_run(trainer, log):
    config = {"site-dir": "/data", "kit": "/kit"}
    replies = [ask(trainer, order(value=value), config) for value in (1.5, 4.0)]
    assert [told(r)["done"] for r in replies] == [1, 2]
    assert {told(r)["pid"] for r in replies} == {trainer.pid} != {os.getpid()}
    values = [unpack_array(arrays_in(r.content)["vector"], "<f4")[0] for r in replies]
    assert values == [3.0, 8.0]
    assert {r.metadata.reply_to_message_id for r in replies} == {"an-id"}
    assert json.loads(told(replies[0])["config"]) == config
    assert log.read_text().count("said by the trainer") >= 2
    assert log.stat().st_mode & 0o777 == 0o600


def test_another_run_has_a_process_of_its_own(trainer):
    first = ask(trainer, order(run_id=1))
    second = ask(trainer, order(run_id=2))
    assert told(second)["done"] == 1
    assert told(second)["pid"] != told(first)["pid"]
    assert gone_within(told(first)["pid"], 5)


def test_an_order_whose_trainer_is_killed_is_done_again(trainer, tmp_path, caplog):
    reply = ask(trainer, order("die once"))
    first, second = begun(tmp_path)
    assert told(reply)["pid"] == second != first
    assert "lost (exit code -9)" in caplog.text


def test_a_trainer_that_died_between_two_orders_is_replaced(trainer):
    first = told(ask(trainer, order()))["pid"]
    os.kill(first, signal.SIGKILL)
    assert gone_within(first, 5)
    assert told(ask(trainer, order()))["pid"] != first


def test_an_order_that_kills_every_trainer_is_answered_as_failed(trainer, tmp_path):
    reply = ask(trainer, order("die"))
    assert (reply.error.code, reply.error.reason) == (2, "the client broke off")
    assert len(begun(tmp_path)) == module.TRIES
    assert told(ask(trainer, order()))["done"] == 1


def test_a_trainer_that_does_nothing_any_more_is_ended(trainer, monkeypatch, tmp_path):
    monkeypatch.setattr(idle, "IDLE_S", 0.5)
    reply = ask(trainer, order("hang"))
    assert reply.error.code == CLIENT_IDLE
    assert gone_within(begun(tmp_path)[0], 5)
    assert trainer.pid is None


def test_an_order_that_nobody_waits_for_is_given_up(trainer, tmp_path):
    assert ask(trainer, order("hang"), is_wanted=lambda: not begun(tmp_path)) is None
    assert gone_within(begun(tmp_path)[0], 5)


def test_an_order_is_given_up_when_no_reply_to_it_is_taken_any_more(trainer, tmp_path):
    message = order("hang")
    message.metadata.__dict__["_ttl"] = 1.0
    assert ask(trainer, message) is None


def test_the_trainer_is_ended_when_no_order_comes_for_long(trainer, monkeypatch):
    first = told(ask(trainer, order()))["pid"]
    trainer.rest()
    assert trainer.pid == first
    monkeypatch.setattr(module, "REST_S", 0.0)
    trainer.rest()
    assert trainer.pid is None
    assert gone_within(first, 5)
    assert told(ask(trainer, order()))["done"] == 1


def test_nothing_of_the_trainer_is_left_after_its_client(monkeypatch, tmp_path, flower):
    monkeypatch.setattr(fork_server, "_servers", [])
    monkeypatch.setattr(module, "RESIDENT_APP", APP)
    with resident(tmp_path / "client.log", {PLACE: str(tmp_path)}) as trainer:
        pids = [told(ask(trainer, order()))["pid"], fork_server._servers[0].process.pid]
    assert all(gone_within(pid, 5) for pid in pids)


CLIENT = """
import os, sys
from pathlib import Path
from flwr.supercore.task_identity import TaskIdentity
TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = 1, 1, 1
sys.path.append(sys.argv[1])
from test_resident import APP, PLACE, ask, order
from fedcxr.deploy.resident import Resident
place = Path(os.environ[PLACE])
ask(Resident(APP, place / "client.log"), order("hang"))
"""


def test_a_trainer_at_work_ends_when_its_client_is_killed(tmp_path):
    environment = {**os.environ, PLACE: str(tmp_path)}
    command = [sys.executable, "-c", CLIENT, str(Path(__file__).parent)]
    client = subprocess.Popen(command, env=environment)
    try:
        end = time.monotonic() + 60
        while not begun(tmp_path):
            assert time.monotonic() < end
            assert client.poll() is None
            time.sleep(0.05)
    finally:
        client.kill()
        client.wait()
    assert gone_within(begun(tmp_path)[0], 10)
