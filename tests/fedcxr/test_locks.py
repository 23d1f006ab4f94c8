import errno
import fcntl
import os
import subprocess
import sys

import pytest

from fedcxr.errors import ArtefactError
from fedcxr.locks import is_locked, lock_holder, take_lock


@pytest.fixture
def file(tmp_path):
    with (tmp_path / "lock").open("w") as opened:
        yield opened


def refuse(monkeypatch, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)


def test_a_lock_is_had_by_one_at_a_time(file, tmp_path):
    assert take_lock(file.fileno(), tmp_path)
    with (tmp_path / "lock").open("w") as other:
        assert not take_lock(other.fileno(), tmp_path)
    file.close()
    with (tmp_path / "lock").open("w") as other:
        assert take_lock(other.fileno(), tmp_path)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS])
def test_a_disk_without_locks_is_said_so(file, tmp_path, monkeypatch, number):
    refuse(monkeypatch, number)
    words = rf"^{tmp_path}/run: this disk knows no file locks .* for a run set --runs-dir\.$"
    with pytest.raises(ArtefactError, match=words):
        take_lock(file.fileno(), tmp_path / "run")


def test_in_the_home_folder_the_variable_is_named(file, fedcxr_home, monkeypatch):
    refuse(monkeypatch, errno.ENOLCK)
    with pytest.raises(ArtefactError, match=r"Use another disk: set FEDCXR_HOME\."):
        take_lock(file.fileno(), fedcxr_home / "cache")


def test_another_error_is_not_taken_for_one_of_locks(file, tmp_path, monkeypatch):
    refuse(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        take_lock(file.fileno(), tmp_path)


def test_a_held_lock_is_seen_and_left_as_it_is(file, tmp_path):
    assert not is_locked(tmp_path / "lock")
    assert take_lock(file.fileno(), tmp_path)  # looking did not take it
    assert is_locked(tmp_path / "lock")
    assert not is_locked(tmp_path / "none")


def test_a_lock_that_cannot_be_looked_at_counts_as_held(file, tmp_path, monkeypatch):
    refuse(monkeypatch, errno.ENOLCK)
    assert is_locked(tmp_path / "lock")
    (tmp_path / "link").symlink_to(tmp_path / "lock")
    assert is_locked(tmp_path / "link")


HOLDER = """
import sys
from pathlib import Path
from fedcxr.locks import take_lock
file = open(sys.argv[1], "w")
print(take_lock(file.fileno(), Path(sys.argv[1])), flush=True)
input()
"""


def test_who_holds_a_lock_is_told(tmp_path):
    path = tmp_path / "lock"
    assert lock_holder(path) is None
    command = [sys.executable, "-c", HOLDER, str(path)]
    held = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert held.stdout.readline() == "True\n"
        assert lock_holder(path) == held.pid
    finally:
        held.communicate("\n", timeout=30)
    assert lock_holder(path) is None
