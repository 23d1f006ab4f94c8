"""The process that forks workers: surroundings, exit codes, and its own end."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fedcxr.engines import fork_server as module
from fedcxr.engines.fork_server import ForkServer, fork_server, kill

pytestmark = pytest.mark.slow  # a process that imports PyTorch


def tell(pipe, folder):
    """Write what the process is surrounded by, and break off."""
    told = [os.environ.get("FEDCXR_TEST_MARK"), os.getcwd(), os.environ["OPENBLAS_NUM_THREADS"]]
    Path(folder, "told.txt").write_text("\n".join(map(str, told)))
    raise SystemExit(3)


def hang(pipe, folder):
    Path(folder, "there.txt").touch()
    time.sleep(60)


@pytest.fixture(scope="module")
def server():
    with_modules = ForkServer.start(["there.is.no.such.module"])
    yield with_modules
    with_modules.end()
    assert with_modules.process.returncode is not None


def forked(server, function, folder, **variables):
    ours, theirs = socket.socketpair()
    with theirs:
        pid = server.fork(theirs, f"{__name__}:{function}", str(folder), variables)
    return pid, ours


def wait_for(path, limit_s=30.0):
    end = time.monotonic() + limit_s
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_worker_is_surrounded_as_its_owner_is_at_that_moment(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")  # the user's, which is kept
    pid, pipe = forked(server, "tell", tmp_path, FEDCXR_TEST_MARK="mine")
    with pipe:
        assert server.exit_code(pid, 30.0) == 1  # it broke off
    assert (tmp_path / "told.txt").read_text() == f"mine\n{tmp_path}\n7"
    assert "FEDCXR_TEST_MARK" not in os.environ


def test_the_end_of_a_worker_is_known_by_its_code(server, tmp_path):
    pid, pipe = forked(server, "hang", tmp_path)
    with pipe:
        wait_for(tmp_path / "there.txt")
        begun = time.monotonic()
        assert server.exit_code(pid, 0.1) is None  # it runs
        assert time.monotonic() - begun < 5.0
        kill(pid)
        assert server.exit_code(pid, 30.0) == -signal.SIGKILL
        kill(pid)  # once more does nothing
    assert server.exit_code(pid, 30.0) is None  # nobody it knows


def test_a_server_that_was_lost_is_replaced(monkeypatch):
    monkeypatch.setattr(module, "_servers", [])
    first = fork_server()
    assert fork_server() is first
    first.process.kill()
    first.process.wait(10)
    assert first.exit_code(1, 0.0) is None
    second = fork_server()
    assert second is not first
    module.end_fork_server()
    assert second.process.returncode is not None


def test_no_process_is_left_when_the_owner_is_gone(tmp_path):
    program = (
        "import os, sys; sys.path.insert(0, sys.argv[1]);"
        "from test_fork_server import forked, wait_for, fork_server, Path;"
        "pid, pipe = forked(fork_server(), 'hang', sys.argv[2]);"
        "wait_for(Path(sys.argv[2], 'there.txt')); print(fork_server().process.pid, pid);"
        "sys.stdout.flush(); os.kill(pid, 9); os._exit(0)"
    )
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", program, here, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    end = time.monotonic() + 10
    gone = [Path(f"/proc/{pid}") for pid in done.stdout.split()]
    assert len(gone) == 2
    while any(path.exists() for path in gone):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_owner_does_not_import_what_the_workers_need():
    program = (
        "import sys, fedcxr.cli.simulate, fedcxr.engines.fork_server;"
        "print(sorted({'torch', 'flwr', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert found.stdout.strip() == "[]"


def test_an_answer_that_comes_too_late_answers_no_other_question(tmp_path):
    server = ForkServer.start()
    pid, pipe = forked(server, "hang", tmp_path)
    try:
        wait_for(tmp_path / "there.txt")
        server.control.settimeout(0.2)
        # It waits for a second, and answers 0.8 s after nobody listens any more.
        assert server.exit_code(pid, 1.0) is None
        time.sleep(1.2)
        ours, theirs = socket.socketpair()
        with ours, theirs, pytest.raises(OSError, match=r"."):
            # Before, this took the late {"code": null} for its own answer.
            server.fork(theirs, f"{__name__}:hang", str(tmp_path))
        assert server.process.poll() is not None  # so `fork_server` starts another
    finally:
        kill(pid)
        pipe.close()
        server.end()


def test_threads_that_ask_at_once_get_each_its_own_answer(server, tmp_path):
    found = {}

    def ask(number):
        folder = tmp_path / str(number)
        folder.mkdir()
        pid, pipe = forked(server, "hang", folder)
        with pipe:
            wait_for(folder / "there.txt")
            found[number] = pid, server.exit_code(pid, 0.05)
            kill(pid)
            found[number] += (server.exit_code(pid, 30.0),)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    pids = [pid for pid, _, _ in found.values()]
    assert len(set(pids)) == 4
    assert {(before, after) for _, before, after in found.values()} == {(None, -signal.SIGKILL)}
