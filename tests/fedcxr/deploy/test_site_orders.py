"""Orders taken from a SuperNode's own loopback interface, which runs in this process."""

import hashlib
import os
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
import uvicorn
from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.supercore.auth import load_superexec_auth_secret
from flwr.supercore.constant import TaskType
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import get_object_tree, no_object_id_recompute
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from flwr.supercore.run import Run
from flwr.supernode.main import create_app
from flwr.supernode.nodestate import NodeStateFactory
from flwr.supernode.start_client_internal import _insert_message

from fedcxr.deploy import site_orders as module
from fedcxr.deploy.site_orders import orders_secret, site_orders
from fedcxr.errors import NetworkError
from fedcxr.wire import VECTORS, pack_vectors

SECRET = b"s" * 32
RUN_ID, NODE_ID = 11, 22
FAB = b"a bundle that nobody opens"


@pytest.fixture
def node(monkeypatch):
    """A SuperNode's state, behind the interface that it gives its processes."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    factory = NodeStateFactory(objectstore_factory=ObjectStoreFactory())
    state = factory.state()
    state.set_node_id(NODE_ID)
    run = Run.create_empty(RUN_ID)
    run.fab_hash, run.series_id = hashlib.sha256(FAB).hexdigest(), 3
    state.store_run(run)
    state.store_fab(Fab(run.fab_hash, FAB, {}))
    config = {"site-dir": "/data"}
    context = Context(RUN_ID, NODE_ID, config, RecordDict(), {}, series_id=3)
    state.set_run_series_context(3, context)
    app = create_app(state_factory=factory, superexec_auth_secret=SECRET)
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        while thread.is_alive() and not server.started:
            time.sleep(0.01)
        yield SimpleNamespace(state=state, port=door.getsockname()[1])
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def orders(node):
    with site_orders(node.port, SECRET) as found:
        yield found


class Trainer:
    """Does what `how` says, and keeps what it was given."""

    def __init__(self, how):
        self.how, self.given = how, []

    def answer(self, message, context, is_wanted):
        self.given.append((message, context))
        return self.how(message, is_wanted)


def announce(node):
    return node.state.create_task(TaskType.CLIENT_APP, RUN_ID, hashlib.sha256(FAB).hexdigest())


def deliver(node, values=(1.0, 2.0)):
    """Have a message come in, as the SuperNode does when it has pulled one."""
    arrays = pack_vectors({"vector": np.float32(values)})
    message = Message(
        RecordDict({"order": ConfigRecord({"text": "an order"}), VECTORS: arrays}),
        dst_node_id=NODE_ID,
        message_type="train",
    )
    message.metadata.__dict__.update(_run_id=RUN_ID, _src_node_id=1)
    _insert_message(message, node.state, node.state.object_store)
    return message.metadata.message_id


def double(message, is_wanted):
    values = np.frombuffer(message.content[VECTORS]["vector"].data, np.uint8)
    assert values.size
    return Message(RecordDict({VECTORS: message.content[VECTORS]}), reply_to=message)


def replies(node):
    return node.state.get_messages_legacy(is_reply=True)


def tasks(node):
    return [(task.status.status, task.status.sub_status) for task in node.state.get_tasks()]


@pytest.mark.usefixtures("flower")
def test_an_order_goes_to_the_trainer_and_its_reply_back_to_the_supernode(node, orders):
    announce(node)
    message_id = deliver(node)
    trainer = Trainer(double)
    assert orders.do_next(trainer, lambda: True)
    ((message, context),) = trainer.given
    assert message.metadata.message_id == message_id
    assert message.content["order"]["text"] == "an order"
    assert context.node_config == {"site-dir": "/data"}
    (reply,) = replies(node)
    assert reply.metadata.reply_to_message_id == message_id
    store = node.state.object_store
    with no_object_id_recompute():
        sent = [tree.object_id for tree in get_object_tree(message.content[VECTORS]).children]
    assert all(store.get(object_id) for object_id in sent)  # the arrays have arrived as well
    assert tasks(node) == [("finished", "completed")]
    assert not orders.do_next(trainer, lambda: True)


@pytest.mark.usefixtures("flower")
def test_a_message_that_comes_after_its_announcement_is_waited_for(node, orders):
    announce(node)
    trainer = Trainer(double)
    doing = threading.Thread(target=orders.do_next, args=(trainer, lambda: True))
    doing.start()
    time.sleep(0.3)
    assert not trainer.given
    deliver(node)
    doing.join(10)
    assert len(trainer.given) == len(replies(node)) == 1


@pytest.mark.usefixtures("flower")
def test_an_order_that_failed_is_answered_with_its_code(node, orders):
    announce(node)
    deliver(node)
    trainer = Trainer(lambda message, is_wanted: Message(Error(2, "broke"), reply_to=message))
    orders.do_next(trainer, lambda: True)
    (reply,) = replies(node)
    assert reply.error.code == 2


@pytest.mark.usefixtures("flower")
def test_an_order_that_was_given_up_is_answered_by_the_supernode_itself(node, orders):
    announce(node)
    deliver(node)
    orders.do_next(Trainer(lambda message, is_wanted: None), lambda: True)
    assert not replies(node)
    assert tasks(node)[0][0] == "running"
    for record in node.state.task_token_store.values():  # a minute without a sign of life
        record.active_until = datetime.now(UTC) - timedelta(seconds=1)
    (reply,) = replies(node)
    assert reply.error.code == ErrorCode.CLIENT_APP_CRASHED


@pytest.mark.usefixtures("flower")
def test_the_trainer_is_told_that_the_supernode_is_gone_or_gave_the_order_up(node, orders):
    announce(node)
    deliver(node)
    seen = []

    def watch(message, is_wanted):
        seen.append(is_wanted())
        there[0] = False
        seen.append(is_wanted())

    there = [True]
    orders.do_next(Trainer(watch), lambda: there[0])
    assert seen == [True, False]


@pytest.mark.usefixtures("flower")
def test_an_error_at_work_loses_one_order_and_not_the_client(node, orders, caplog):
    announce(node)
    deliver(node)

    def break_off(message, is_wanted):
        raise RuntimeError("out of luck")

    assert orders.do_next(Trainer(break_off), lambda: True)
    assert "an order was lost" in caplog.text
    assert not orders.do_next(Trainer(double), lambda: True)


def test_nobody_takes_an_order_without_the_supernodes_secret(node):
    announce(node)
    with (
        site_orders(node.port, b"another") as strangers,
        pytest.raises(NetworkError, match=r"is not the SuperNode of this client \(HTTP 401\)"),
    ):
        strangers.do_next(Trainer(double), lambda: True)
    for call in (
        "acquire-task",
        "pull-task-input",
        "pull-messages",
        "pull-object",
        "push-messages",
    ):
        plain = httpx.post(
            f"http://127.0.0.1:{node.port}/v1/runtime/{call}",
            headers={"content-type": PROTOBUF_MEDIA_TYPE, "accept": PROTOBUF_MEDIA_TYPE},
        )
        assert plain.status_code == 401, call
    assert tasks(node)[0][0] == "pending"


def test_a_supernode_that_is_not_there_has_no_orders():
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = door.getsockname()[1]
    with site_orders(port, SECRET) as orders:
        assert not orders.do_next(Trainer(double), lambda: True)


def test_flower_reads_a_secret_that_is_new_every_time():
    seen = set()
    for _ in range(2):
        with orders_secret() as (pipe, secret):
            assert load_superexec_auth_secret(f"/dev/fd/{pipe}") == secret
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(pipe)
        seen.add(secret)
    assert len(seen) == 2


def test_an_announced_message_is_waited_for_so_long(monkeypatch):
    monkeypatch.setattr(module, "ARRIVAL_S", 0.1)
    nothing = SimpleNamespace(messages_list=[])
    client = SimpleNamespace(PullMessages=lambda request: nothing)
    with pytest.raises(TimeoutError, match=r"no message for its order after 0\.1 s"):
        module._announced(client)
