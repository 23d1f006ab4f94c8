"""How often is asked for what may come at any time."""

from fedcxr import pace as module
from fedcxr.pace import Pace


def test_the_longer_nothing_has_come_the_longer_is_waited(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    pace = Pace(0.2, 3.0)
    waits = []
    for silence_s in (0, 4, 10, 60, 3600):
        now[0] = 100.0 + silence_s
        waits.append(pace.wait_s)
    assert waits == [0.2, 0.2, 0.5, 3.0, 3.0]
    pace.restart()
    assert pace.wait_s == 0.2
