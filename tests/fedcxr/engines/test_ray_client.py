"""What a Ray actor runs, and the parts in which messages cross; without Ray."""

import logging
import os
import time

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from ray_echo import SIZE, order_of

from fedcxr.engines.app_ref import AppRef
from fedcxr.engines.frames import without_arrays
from fedcxr.engines.ray_client import RayClient, carried, put_together, read_pulse

ECHO = AppRef("ray_echo", "echo_app")


def across(message):
    return put_together(without_arrays(message).SerializeToString(), carried(message))


@pytest.mark.usefixtures("flower")
def test_a_message_is_the_same_on_the_other_side():
    sent = order_of(5)
    sent.metadata.__dict__["_message_id"] = "42"
    got = across(sent)
    assert got.metadata == sent.metadata
    assert got.content["order"] == sent.content["order"]
    array, original = got.content["parameters"]["vector"], sent.content["parameters"]["vector"]
    assert (array.dtype, array.shape, array.stype) == ("uint8", (SIZE,), "numpy.ndarray")
    assert bytes(array.data) == bytes(original.data)


@pytest.mark.usefixtures("flower")
def test_arrays_cross_without_a_copy():
    sent = order_of(5)
    _, (data,) = carried(sent)
    original = np.frombuffer(sent.content["parameters"]["vector"].data, np.uint8)
    assert np.shares_memory(data, original)
    assert np.shares_memory(
        np.frombuffer(across(sent).content["parameters"]["vector"].data, np.uint8), original
    )


@pytest.mark.usefixtures("flower")
def test_a_message_without_arrays_crosses():
    sent = Message(RecordDict({"order": ConfigRecord({"run": "x"})}), 5, "train")
    assert across(sent).content["order"]["run"] == "x"


@pytest.mark.usefixtures("flower")
def test_an_actor_answers_with_the_app(tmp_path):
    client = RayClient(ECHO.to_text(), logging.WARNING)
    assert client.open([os.getcwd()], str(tmp_path / "pulse")) == ""
    order = order_of(2, value=7)
    reply = put_together(*client.answer(without_arrays(order).SerializeToString(), carried(order)))
    assert reply.content["parameters"]["vector"].numpy()[-1] == 14


def test_an_actor_says_what_its_machine_does_not_see(tmp_path):
    client = RayClient(ECHO.to_text(), logging.WARNING)
    assert client.open([str(tmp_path)], str(tmp_path / "pulse")) == ""
    assert client.open([str(tmp_path / "none")], str(tmp_path / "pulse")).endswith(
        f"does not see {tmp_path / 'none'}"
    )


def test_an_actor_says_why_it_cannot_make_the_app(tmp_path):
    client = RayClient(AppRef("ray_echo", "broken_app").to_text(), logging.WARNING)
    assert client.open([], str(tmp_path / "pulse")).endswith(": ImportError: no such thing here")


def test_a_busy_actor_notes_its_processor_time(tmp_path, monkeypatch):
    monkeypatch.setattr("fedcxr.engines.ray_client.PULSE_S", 0.05)
    client = RayClient(ECHO.to_text(), logging.WARNING)
    assert read_pulse(tmp_path / "pulse") is None
    client.open([], str(tmp_path / "pulse"))
    end = time.monotonic() + 20.0
    while (first := read_pulse(tmp_path / "pulse")) is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    while read_pulse(tmp_path / "pulse") < first + 0.2:  # while this thread computes
        assert time.monotonic() < end
        sum(range(10_000))
