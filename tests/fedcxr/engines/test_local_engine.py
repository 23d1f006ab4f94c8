"""The grid on this machine, in this process and with worker processes."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp

from fedcxr.engines.app_ref import AppRef
from fedcxr.engines.local import LocalGrid, local_grid
from fedcxr.packing import unpack_array
from fedcxr.wire import (
    OK,
    OUT_OF_MEMORY,
    RECEIPT,
    VECTORS,
    arrays_in,
    pack_vectors,
)
from server.exchange import ExchangeLimits, exchange

BAD_NODE = 3


def echo_app():
    """Return an app that sends back twice what it got, with its process and partition."""
    app = ClientApp()

    @app.train()
    def train(message, context):
        what = message.content["order"]["do"]
        if what == "raise":
            raise ValueError("patient64541")
        if what == "die" and context.node_id == BAD_NODE:
            os._exit(9)
        if what == "hang" and context.node_id == BAD_NODE:
            time.sleep(60)
        if what == "slow":
            time.sleep(0.5)
        if what == "crowded":
            return crowded(message)
        if what == "killed" and first_time():
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "large":
            large = pack_vectors({"vector": np.zeros(100_000, np.float32)})
            return Message(RecordDict({VECTORS: large}), reply_to=message)
        if what == "write":
            vector_in(message)[:] = 0
        sent = {"vector": vector_in(message) * np.float32(2)}
        said = {"pid": os.getpid(), "partition": int(context.node_config["partition-id"])}
        content = RecordDict({"said": ConfigRecord(said), VECTORS: pack_vectors(sent)})
        return Message(content, reply_to=message)

    @app.query()
    def query(message, context):
        said = {"partition": int(context.node_config["partition-id"])}
        return Message(RecordDict({"said": ConfigRecord(said)}), reply_to=message)

    return app


def vector_in(message):
    return unpack_array(arrays_in(message.content)["vector"], "<f4")


def crowded(message):
    """Return that memory ran out while another worker is at work; else what was asked for."""
    place = Path(os.environ["FEDCXR_TEST_PLACE"])
    mine = place / f"{os.getpid()}.busy"
    mine.touch()
    try:
        time.sleep(0.3)
        code = OUT_OF_MEMORY if len(list(place.glob("*.busy"))) > 1 else OK
        content = RecordDict({RECEIPT: ConfigRecord({"code": code})})
        content[VECTORS] = message.content[VECTORS]
        return Message(content, reply_to=message)
    finally:
        mine.unlink()


def first_time():
    """Return whether this is the first call of all processes."""
    try:
        (Path(os.environ["FEDCXR_TEST_PLACE"]) / "first").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def not_an_app():
    """Return something else."""
    return 3


ECHO = AppRef(__name__, "echo_app")


def arrays_of(value):
    return pack_vectors({"vector": np.full(4, value, np.float32)})


def round_of(grid, arrays, nodes, do="echo", deadline_s=30.0):
    def maker(node):
        content = {"order": ConfigRecord({"do": do}), VECTORS: arrays}
        return lambda: Message(RecordDict(content), dst_node_id=node, message_type="train")

    orders = [(f"site-{node}", maker(node)) for node in nodes]
    return list(exchange(grid, orders, ExchangeLimits(3, deadline_s)))


def values(replies):
    return [float(vector_in(r.message)[0]) for r in replies]


def said(replies, key):
    return [r.message.content["said"][key] for r in replies]


def test_one_worker_is_this_process_itself():
    with local_grid(ECHO, 5, 1) as grid:
        replies = round_of(grid, arrays_of(1.5), grid.get_node_ids())
    assert values(replies) == [3.0] * 5
    assert said(replies, "partition") == [0, 1, 2, 3, 4]
    assert set(said(replies, "pid")) == {os.getpid()}


def test_an_app_that_raises_in_this_process_is_a_missing_site():
    with local_grid(ECHO, 2, 1) as grid:
        replies = round_of(grid, arrays_of(1.0), [1, 2], do="raise")
    assert [r.reason for r in replies] == ["the site's client broke off (code 2)"] * 2


def test_nodes_are_numbered_from_1():
    assert list(LocalGrid(ECHO, 3, 1).get_node_ids()) == [1, 2, 3]


def test_an_order_that_is_cancelled_is_not_done_any_more():
    grid = LocalGrid(ECHO, 2, 1)
    content = RecordDict({"order": ConfigRecord({"do": "echo"}), VECTORS: arrays_of(1.0)})
    first, second = grid.push_messages(
        [grid.create_message(content, "train", node, "1") for node in (1, 2)]
    )
    grid.cancel(first)
    (reply,) = grid.pull_messages([first, second])
    assert reply.metadata.reply_to_message_id == second
    assert list(grid.pull_messages([first])) == []


def test_flowers_own_way_of_asking_stops_at_its_timeout():
    grid = LocalGrid(ECHO, 2, 1)
    content = RecordDict({"order": ConfigRecord({"do": "echo"}), VECTORS: arrays_of(1.0)})
    messages = [grid.create_message(content, "train", 1, "1")]
    assert list(grid.send_and_receive(messages, timeout=0.0)) == []


def test_an_app_is_named_and_made_anew():
    ref = AppRef.from_text(ECHO.to_text())
    assert ref == ECHO
    assert isinstance(ref.load(), ClientApp)


def test_a_name_of_something_else_is_no_app():
    with pytest.raises(TypeError, match=r"not_an_app does not return a ClientApp"):
        AppRef(__name__, "not_an_app").load()


def test_flowers_own_way_of_asking_works():
    grid = LocalGrid(ECHO, 2, 1)
    content = RecordDict({"order": ConfigRecord({"do": "echo"}), VECTORS: arrays_of(1.0)})
    messages = [grid.create_message(content, "train", node, "1") for node in (1, 2)]
    replies = list(grid.send_and_receive(messages))
    assert sorted(r.content["said"]["partition"] for r in replies) == [0, 1]
    assert {r.metadata.reply_to_message_id for r in replies} == {
        m.metadata.message_id for m in messages
    }


@pytest.mark.slow
def test_two_workers_survive_a_death_and_a_standstill_and_leave_no_process():
    # row 20 of the bad-input table
    # One test, since starting a worker takes seconds.
    with local_grid(ECHO, 4, 2) as grid:
        first = round_of(grid, arrays_of(1.0), grid.get_node_ids())
        assert values(first) == [2.0] * 4
        assert said(first, "partition") == [0, 1, 2, 3]
        pids = set(said(first, "pid"))
        assert len(pids) == 2
        assert os.getpid() not in pids

        # other arrays in the second round: a worker must not answer with those it remembers
        assert values(round_of(grid, arrays_of(5.0), grid.get_node_ids())) == [10.0] * 4

        dying = round_of(grid, arrays_of(1.0), grid.get_node_ids(), do="die")
        assert [r.site_id for r in dying if r.message is None] == [f"site-{BAD_NODE}"]
        assert dying[BAD_NODE - 1].reason == "the site's client broke off (code 2)"

        after = round_of(grid, arrays_of(7.0), grid.get_node_ids())
        assert values(after) == [14.0] * 4  # the site is back, on a new worker

        start = time.monotonic()
        hanging = round_of(grid, arrays_of(1.0), grid.get_node_ids(), do="hang", deadline_s=1.0)
        assert time.monotonic() - start < 10.0  # and not the 60 s that the site would take
        assert hanging[BAD_NODE - 1].reason == "no answer within 1 s"
        assert [r.site_id for r in hanging if r.message is None] == [f"site-{BAD_NODE}"]

        # neither the order nor the reply has arrays, as when the sites are asked who they are
        asked = Message(RecordDict(), dst_node_id=2, message_type="query")
        (answered,) = grid.send_and_receive([asked], timeout=30.0)
        assert answered.content["said"]["partition"] == 1

        # a reply that does not fit the room for it comes all the same
        large = round_of(grid, arrays_of(1.0), [1], do="large")
        assert vector_in(large[0].message).shape == (100_000,)

        # the parameters are every worker's: none may write into them
        written = round_of(grid, arrays_of(1.0), [1], do="write")
        assert written[0].reason == "the site's client broke off (code 2)"

        pids = [worker.pid for worker in grid._workers]
        assert len(pids) == 2
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)  # not even as zombies


@pytest.mark.slow
def test_where_memory_runs_out_half_of_the_workers_go_on_and_no_site_is_lost(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDCXR_TEST_PLACE", str(tmp_path))
    told = []
    with local_grid(ECHO, 6, 4, on_fewer=lambda workers, why: told.append((workers, why))) as grid:
        killed = round_of(grid, arrays_of(1.0), grid.get_node_ids(), do="killed")
        assert values(killed) == [2.0] * 6
        assert told == [(2, "a worker process was killed")]
        assert len(grid._workers) == 2  # Linux kills the process that has most of the memory

        replies = round_of(grid, arrays_of(3.0), grid.get_node_ids(), do="crowded")
        assert values(replies) == [3.0] * 6
        assert [r.message.content[RECEIPT]["code"] for r in replies] == [OK] * 6
        assert len(grid._workers) == 1
        assert told[1:] == [(1, "a client ran out of memory")]

        # alone it has all the memory there is: then the site is the one that fails
        (tmp_path / "other.busy").touch()
        (alone,) = round_of(grid, arrays_of(3.0), [1], do="crowded")
        assert alone.message.content[RECEIPT]["code"] == OUT_OF_MEMORY


@pytest.mark.slow
def test_a_deadline_counts_from_when_a_client_begins_and_not_from_the_queue():
    # Six sites of 0.5 s on two workers, three orders under way: the third waits half a second for
    # a worker. From the queue its 0.9 s would be over while it trains.
    with local_grid(ECHO, 6, 2) as grid:
        round_of(grid, arrays_of(1.0), grid.get_node_ids())  # the workers are there
        replies = round_of(grid, arrays_of(1.0), grid.get_node_ids(), do="slow", deadline_s=0.9)
    assert [r.reason for r in replies] == [""] * 6


@pytest.mark.slow
def test_a_single_worker_is_ended_at_its_deadline_as_well():
    with local_grid(ECHO, 4, 1, apart=True) as grid:
        round_of(grid, arrays_of(1.0), [1])
        start = time.monotonic()
        replies = round_of(grid, arrays_of(1.5), grid.get_node_ids(), do="hang", deadline_s=1.0)
        assert time.monotonic() - start < 20.0
    assert [r.reason for r in replies] == ["", "", "no answer within 1 s", ""]
    assert os.getpid() not in said([r for r in replies if r.message], "pid")


@pytest.mark.slow
def test_without_a_deadline_a_client_that_does_nothing_any_more_is_ended(monkeypatch):
    monkeypatch.setattr("fedcxr.engines.idle.IDLE_S", 1.0)
    with local_grid(ECHO, 4, 2) as grid:
        replies = round_of(grid, arrays_of(1.5), grid.get_node_ids(), do="hang", deadline_s=None)
        assert [r.reason for r in replies] == ["", "", "the site's client did nothing any more", ""]
        assert values(round_of(grid, arrays_of(2.0), [BAD_NODE])) == [4.0]
