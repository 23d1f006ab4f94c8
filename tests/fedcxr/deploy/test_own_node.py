"""A client that was killed comes back at once, and two clients of one kit do not meet."""

import subprocess
import sys

import pytest

from fedcxr.deploy import own_node
from fedcxr.deploy.own_node import OwnNode
from fedcxr.errors import NetworkError


def test_the_node_of_a_kit_is_remembered(tmp_path, fedcxr_home):
    with OwnNode.of_kit(tmp_path) as own:
        assert own.node_id is None
        own.remember(1 << 63)
        own.remember(7)
    with OwnNode.of_kit(tmp_path) as own:
        assert own.node_id == 7


def test_a_second_client_of_a_kit_on_this_machine_is_refused(tmp_path, fedcxr_home, monkeypatch):
    monkeypatch.setattr(own_node, "END_S", 0.0)
    with (
        OwnNode.of_kit(tmp_path),
        pytest.raises(NetworkError, match="another client of this kit runs on this machine"),
    ):
        OwnNode.of_kit(tmp_path)
    with OwnNode.of_kit(tmp_path):
        pass


def test_a_process_that_is_left_of_a_client_keeps_the_lock(tmp_path, fedcxr_home, monkeypatch):
    monkeypatch.setattr(own_node, "END_S", 0.0)
    command = [sys.executable, "-c", "input()"]
    with OwnNode.of_kit(tmp_path) as own:
        left = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[own.file.fileno()])
    with pytest.raises(NetworkError):
        OwnNode.of_kit(tmp_path)
    left.communicate(b"\n", timeout=30)
    with OwnNode.of_kit(tmp_path):
        pass
