import logging

import pytest
from flwr.app import Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.serde import message_to_proto

from fedcxr.engines.local_worker import answer, simulated_context

SECRET = "patient64541/study1/view1_frontal.jpg"


def message_to(node, kind="train"):
    return Message(RecordDict(), dst_node_id=node, message_type=kind)


def app_with(handler):
    app = ClientApp()
    app.train()(handler)
    return app


@pytest.mark.usefixtures("flower")
def test_an_app_that_breaks_off_is_answered_without_its_text(caplog):
    def train(message, context):
        raise OSError(2, SECRET, SECRET)

    with caplog.at_level(logging.ERROR):
        reply = answer(app_with(train), message_to(3), {})
    assert reply.has_error()
    assert (reply.error.code, reply.error.reason) == (2, "the client app broke off")
    assert b"patient64541" not in message_to_proto(reply).SerializeToString()
    assert SECRET in caplog.text


@pytest.mark.usefixtures("flower")
def test_a_message_that_the_app_does_not_know_is_an_error_too():
    reply = answer(ClientApp(), message_to(1, "query"), {})
    assert reply.error.reason == "the client app broke off"


@pytest.mark.usefixtures("flower")
def test_each_node_has_a_context_of_its_own_that_lasts():
    seen = []

    def train(message, context):
        seen.append(context)
        return Message(RecordDict(), reply_to=message)

    app, contexts = app_with(train), {}
    for node in (1, 2, 1):
        answer(app, message_to(node), contexts)
    assert seen[0] is seen[2]
    assert seen[0] is not seen[1]
    assert [c.node_config["partition-id"] for c in seen] == [0, 1, 0]


def test_node_ids_are_one_more_than_the_partitions_number():
    context = simulated_context(7, 5)
    assert (context.run_id, context.node_id, context.node_config["partition-id"]) == (7, 5, 4)
