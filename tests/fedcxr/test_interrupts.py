"""A request to end is heard, whatever Python was doing when the signal came."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedcxr import interrupts
from fedcxr.interrupts import end_on_signals, interrupt, raise_if_interrupted

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers(monkeypatch):
    """Give the handlers and the note back as they were."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    monkeypatch.setattr(interrupts, "_asked", False)
    for number in NUMBERS:
        signal.signal(number, signal.SIG_DFL)  # whatever the shell that runs the tests has set
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_ends_as_ctrl_c_does(number):
    end_on_signals()
    raise_if_interrupted()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_python_loses_in_a_finaliser_is_heard_at_the_next_step():
    class Finalised:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    end_on_signals()
    Finalised()  # its KeyboardInterrupt is printed and dropped
    with pytest.raises(KeyboardInterrupt):
        raise_if_interrupted()


def test_a_new_command_knows_nothing_of_the_one_before():
    end_on_signals()
    with pytest.raises(KeyboardInterrupt):
        interrupt(signal.SIGTERM, None)
    end_on_signals()
    raise_if_interrupted()


def test_a_second_sighup_does_not_disturb_the_end():
    # The kernel sends one to the foreground, and the shell another to its jobs.
    end_on_signals()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGHUP)


@pytest.mark.parametrize("number", NUMBERS)
def test_an_ignored_signal_stays_ignored(number):
    signal.signal(number, signal.SIG_IGN)
    end_on_signals()
    assert signal.getsignal(number) is signal.SIG_IGN


def test_an_orphan_that_does_not_end_when_asked_is_ended_after_its_grace(tmp_path):
    child = (
        "import os, signal, time\n"
        "from fedcxr.interrupts import end_when_orphaned\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "end_when_orphaned(0.5)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(120)\n"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen([sys.executable, "-c", parent]) as process:
        end = time.monotonic() + 60
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert time.monotonic() < end
            time.sleep(0.05)
        pid = int((tmp_path / "pid").read_text())
        process.kill()
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < end, "the orphan is still there"
        time.sleep(0.05)
