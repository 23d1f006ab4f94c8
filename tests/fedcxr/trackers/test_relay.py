import threading
import time

from fedcxr.trackers.protocol import RoundNumbers, RunEnd, RunStart
from fedcxr.trackers.relay import Relay

START = RunStart("run", {}, sites=2, rounds=2)
ROUNDS = [RoundNumbers(number, {"train_loss": 1.0}, 0.0) for number in range(3)]
END = RunEnd("finished", {"test_macro_auroc": 0.5}, 2)


class Keeping:
    def __init__(self):
        self.told = []

    def on_start(self, start):
        self.told.append(start)

    def on_round(self, numbers):
        self.told.append(numbers)

    def on_end(self, end):
        self.told.append(end)


class Failing(Keeping):
    def on_round(self, numbers):
        raise OSError("no route to host")


class Leaving(Keeping):
    def on_start(self, start):
        raise SystemExit(3)


class Hanging(Keeping):
    def __init__(self):
        super().__init__()
        self.free = threading.Event()

    def on_round(self, numbers):
        self.free.wait(60)


def tell_all(relay):
    for what in (START, *ROUNDS, END):
        relay.tell(what)


def test_a_tracker_is_told_everything_in_order():
    tracker = Keeping()
    relay = Relay({"mine": tracker})
    tell_all(relay)
    assert relay.close() == {}
    assert tracker.told == [START, *ROUNDS, END]


def test_one_that_fails_gets_nothing_more_and_is_noted_and_the_others_go_on(caplog):
    failing, leaving, good = Failing(), Leaving(), Keeping()
    relay = Relay({"bad": failing, "gone": leaving, "good": good})
    tell_all(relay)
    assert relay.close() == {"bad": "OSError: no route to host", "gone": "SystemExit: 3"}
    assert failing.told == [START]
    assert good.told[-1] == END
    assert caplog.text.count("tracker bad gets nothing more") == 1


def test_one_that_hangs_is_left_behind():
    tracker = Hanging()
    relay = Relay({"slow": tracker})
    begun = time.monotonic()
    tell_all(relay)
    assert time.monotonic() - begun < 1.0
    assert relay.close(wait_s=0.2) == {"slow": "did not come to an end in 0.2 s"}
    tracker.free.set()


def test_without_trackers_nothing_happens():
    relay = Relay()
    tell_all(relay)
    assert relay.close() == {}
