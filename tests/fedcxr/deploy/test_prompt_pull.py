"""How a site's SuperNode asks the server for messages."""

from types import SimpleNamespace

import pytest

from fedcxr import pace
from fedcxr.deploy import pinned_supernode
from fedcxr.deploy.pinned_supernode import prompt


class Server:
    """Has a message for a node at certain times, on a clock that only waiting moves."""

    def __init__(self, *arrivals):
        self.now, self.arrivals, self.asked_at = 0.0, list(arrivals), []

    def sleep(self, seconds):
        self.now += seconds

    def pull(self, client, request):
        self.asked_at.append(self.now)
        there = self.arrivals and self.now >= self.arrivals[0]
        return SimpleNamespace(messages_list=[self.arrivals.pop(0)] if there else [])


@pytest.fixture
def asking(monkeypatch):
    def start(*arrivals):
        server = Server(*arrivals)
        monkeypatch.setattr(pace.time, "monotonic", lambda: server.now)
        monkeypatch.setattr(pinned_supernode.time, "sleep", server.sleep)
        pull = prompt(server.pull)
        return server, lambda: pull(None, None).messages_list

    return start


def test_a_message_is_had_at_most_a_twentieth_of_the_silence_later(asking):
    for arrival in (0.1, 3.0, 20.0, 50.0):
        server, pull = asking(arrival)
        assert pull() == [arrival]
        assert arrival <= server.now <= arrival * 1.05 + pinned_supernode.LEAST_S


def test_after_an_order_that_took_long_the_next_one_is_asked_for_at_once(asking):
    server, pull = asking(0.0, 3600.4)
    pull()
    server.now = 3600.0  # the order is done
    assert pull() == [3600.4]
    assert server.now < 3600.4 + pinned_supernode.LEAST_S


def test_after_a_minute_without_a_message_flower_waits_itself(asking):
    server, pull = asking()
    assert pull() == []
    assert 55.0 < server.now < 65.0
    asked = len(server.asked_at)
    assert asked < 150
    assert pull() == []
    assert len(server.asked_at) == asked + 1
