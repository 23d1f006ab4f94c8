import gc
import itertools
import time
import weakref
from types import SimpleNamespace

import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.serverapp import Grid

from server.exchange import HELD, ExchangeLimits, exchange

pytestmark = pytest.mark.usefixtures("flower")


class FakeGrid(Grid):
    """Answers after a number of pulls that `delays` gives each site; never, where it is None."""

    code = 2

    def __init__(self, delays, broken=(), offline=()):
        self.delays, self.broken, self.offline = delays, broken, offline
        self.pushed, self.pulls, self.most_under_way = {}, 0, 0
        self.order_of_arrival = []

    def set_run(self, run):
        """Nothing to set."""

    @property
    def run(self):
        """No run."""
        return None

    def create_message(self, *args, **kwargs):
        """Not used."""
        raise NotImplementedError

    def get_node_ids(self):
        """Return one node a site."""
        return range(1, len(self.delays) + 1)

    def send_and_receive(self, messages, *, timeout=None):
        """Not used."""
        raise NotImplementedError

    def push_messages(self, messages):
        """Take one message; a site that is offline gets none, as Flower does it."""
        (message,) = messages
        site = message.content["order"]["site"]
        if site in self.offline:
            return []
        message_id = f"message-{site}"
        message.metadata.__dict__["_message_id"] = message_id
        self.pushed[message_id] = (site, message, self.pulls)
        self.most_under_way = max(self.most_under_way, len(self.pushed))
        return [message_id]

    def pull_messages(self, message_ids):
        """Return those of the asked whose time has come."""
        self.pulls += 1
        ready = []
        for message_id in message_ids:
            site, message, since = self.pushed[message_id]
            delay = self.delays[site]
            if delay is not None and self.pulls - since > delay:
                del self.pushed[message_id]
                self.order_of_arrival.append(site)
                ready.append(self._answer(site, message))
        return ready

    def _answer(self, site, message):
        if site in self.broken:
            return Message(Error(self.code, "text of an exception"), reply_to=message)
        content = RecordDict({"receipt": ConfigRecord({"site": site})})
        return Message(content, reply_to=message)


@pytest.fixture(autouse=True)
def quick_collections():
    """Leave out what is there before the test, as a ServerApp does before its rounds."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """The fake grid answers by pulls, not by time."""
    monkeypatch.setattr("server.exchange.POLL_S", 0.0)


def orders_for(sites, made=None):
    def maker(site):
        def make():
            if made is not None:
                made.append(site)
            content = RecordDict({"order": ConfigRecord({"site": site})})
            return Message(content, dst_node_id=1, message_type="train")

        return make

    return [(site, maker(site)) for site in sites]


def waits(window=3, deadline_s=5.0):
    return ExchangeLimits(window, deadline_s)


def run(grid, sites, *, window=3, deadline_s=5.0):
    return list(exchange(grid, orders_for(sites), waits(window, deadline_s)))


def test_replies_come_in_the_order_of_the_orders():
    grid = FakeGrid({"a": 9, "b": 0, "c": 4, "d": 0})
    replies = run(grid, "abcd")
    assert [r.site_id for r in replies] == ["a", "b", "c", "d"]
    assert [r.message.content["receipt"]["site"] for r in replies] == ["a", "b", "c", "d"]
    assert grid.order_of_arrival != ["a", "b", "c", "d"]  # they did come in another


@pytest.mark.parametrize("window", [1, 2, 5])
def test_no_more_orders_are_under_way_than_the_window(window):
    sites = [f"site-{n:02d}" for n in range(12)]
    grid = FakeGrid({site: n % 3 for n, site in enumerate(sites)})
    replies = run(grid, sites, window=window)
    assert [r.site_id for r in replies] == sites
    assert grid.most_under_way == window


def test_a_message_is_made_only_when_it_is_sent():
    made = []
    grid = FakeGrid(dict.fromkeys("abcdef", 0))
    stream = exchange(grid, orders_for("abcdef", made), waits(2))
    assert made == []  # nothing before it is asked for
    next(stream)
    assert made == ["a", "b"]
    next(stream)
    assert made == ["a", "b", "c"]


def test_a_site_that_does_not_answer_is_missing_after_the_deadline():
    # row 20 of the bad-input table
    grid = FakeGrid({"a": 0, "b": None, "c": 0})
    start = time.monotonic()
    replies = run(grid, "abc", deadline_s=0.1)
    assert time.monotonic() - start < 2.0
    assert [(r.site_id, r.message is None) for r in replies] == [
        ("a", False),
        ("b", True),
        ("c", False),  # it answered in time and waited behind b
    ]
    assert replies[1].reason == "no answer within 0.1 s"


def test_a_site_that_is_asked_late_has_as_long_as_the_others():
    # b holds the window up for its whole deadline; c is asked only then, and still answers
    grid = FakeGrid({"a": 0, "b": None, "c": 0})
    replies = run(grid, "abc", window=1, deadline_s=0.1)
    assert [r.message is None for r in replies] == [False, True, False]


def test_replies_of_many_sites_stay_with_the_server_until_their_turn_is_near():
    sites = [f"site-{n:03d}" for n in range(50)]
    grid = FakeGrid({site: 20 if site == sites[0] else 0 for site in sites})
    most = 0
    for taken, reply in enumerate(exchange(grid, orders_for(sites), waits(50))):
        assert (reply.site_id, reply.message is None) == (sites[taken], False)
        most = max(most, len(grid.order_of_arrival) - taken)
    assert grid.most_under_way == 50
    assert most <= HELD + 1  # with the one that is yielded


def test_who_answered_in_time_is_not_late_behind_silent_sites_however_many_wait():
    sites = [f"site-{n:03d}" for n in range(50)]
    silent = sites[:20]
    grid = FakeGrid({site: None if site in silent else 0 for site in sites})
    start = time.monotonic()
    replies = run(grid, sites, window=50, deadline_s=0.1)
    assert time.monotonic() - start < 1.0  # and not twenty times a wait of its own
    assert [r.site_id for r in replies if r.message is None] == silent


class Body:
    """The bytes of an answer, in a cycle with what carried them, as httpx leaves them."""

    def __init__(self):
        self.carrier = [self]


def test_the_bytes_of_a_reply_do_not_wait_for_pythons_own_collection():
    bodies = []

    class OverHttp(FakeGrid):
        def pull_messages(self, message_ids):
            bodies.append(weakref.ref(Body()))
            return super().pull_messages(message_ids)

    gc.disable()
    try:
        run(OverHttp(dict.fromkeys("abc", 0)), "abc")
        assert bodies
        assert [body() for body in bodies] == [None] * len(bodies)
    finally:
        gc.enable()


def test_waits_of_silent_sites_run_side_by_side():
    grid = FakeGrid(dict.fromkeys("abcd"))
    start = time.monotonic()
    replies = run(grid, "abcd", window=4, deadline_s=0.1)
    assert [r.message for r in replies] == [None] * 4
    assert time.monotonic() - start < 0.3  # and not four times 0.1


def test_a_grid_that_can_is_told_whom_nobody_waits_for():
    class Forgetful(FakeGrid):
        cancelled = ()

        def cancel(self, message_id):
            self.cancelled = (*self.cancelled, message_id)

    grid = Forgetful({"a": 0, "b": None, "c": 0})
    run(grid, "abc", deadline_s=0.05)
    assert grid.cancelled == ("message-b",)


def test_a_node_that_is_not_connected_is_missing_at_once():
    grid = FakeGrid({"a": 0, "b": 0}, offline=["a"])
    replies = run(grid, "ab", deadline_s=60.0)
    assert replies[0].message is None
    assert replies[0].reason == "the site's node is not connected"
    assert replies[1].message is not None


def test_a_client_that_broke_off_is_missing_and_its_text_is_not_repeated():
    (reply,) = run(FakeGrid({"a": 0}, broken=["a"]), "a")
    assert reply.message is None
    assert reply.reason == "the site's client broke off (code 2)"


def test_a_node_that_went_away_is_told_from_a_client_that_broke_off(monkeypatch):
    monkeypatch.setattr(FakeGrid, "code", 5)  # what Flower answers for a node that it misses
    (reply,) = run(FakeGrid({"a": 0}, broken=["a"]), "a")
    assert reply.message is None
    assert reply.reason == "the site's node went away"


def test_no_orders_give_no_replies():
    assert run(FakeGrid({}), "") == []


def test_an_interruption_that_python_lost_ends_the_wait_for_a_site(monkeypatch):
    monkeypatch.setattr("fedcxr.interrupts._asked", True)
    with pytest.raises(KeyboardInterrupt):
        run(FakeGrid({"a": None}), "a", deadline_s=None)


def test_a_server_is_asked_the_more_seldom_the_longer_nothing_comes(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("server.exchange.POLL_S", 0.05)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(time, "sleep", lambda s: setattr(clock, "now", clock.now + s))
    grid = FakeGrid({"a": 100, "b": 300})
    list(exchange(grid, orders_for("ab"), waits(deadline_s=None)))
    assert clock.now > 100.0  # in 300 questions, which at 20 a second would be 15 s


def test_a_grid_that_works_when_asked_is_asked_at_once(monkeypatch):
    slept = []
    monkeypatch.setattr("server.exchange.POLL_S", 0.05)
    monkeypatch.setattr(time, "sleep", slept.append)
    grid = FakeGrid({"a": 50})
    grid.begun_at = lambda message_id: None
    minutes = SimpleNamespace(monotonic=itertools.count(step=60).__next__)
    monkeypatch.setattr("fedcxr.pace.time", minutes)
    list(exchange(grid, orders_for("a"), waits(deadline_s=None)))
    assert max(slept) <= 0.05
