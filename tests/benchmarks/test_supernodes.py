import os
import socket
import threading

from benchmarks import supernodes
from benchmarks.echo_site import receipt
from benchmarks.loopback_federation import kind_of, named, new_kits
from benchmarks.processes import anonymous_bytes, cpu_seconds
from benchmarks.relay import relay
from fedcxr.config.kit import read_kit_yaml
from fedcxr.wire import Order, unpack_receipt, unpack_result


def test_a_relay_counts_each_way_and_changes_nothing():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            peer, _ = server.accept()
            with peer:
                assert peer.recv(5, socket.MSG_WAITALL) == b"order"
                peer.sendall(b"a reply")

        thread = threading.Thread(target=answer)
        thread.start()
        with relay(server.getsockname()[1]) as passed:
            with socket.create_connection(("127.0.0.1", passed.port), timeout=5) as client:
                client.sendall(b"order")
                assert client.recv(7, socket.MSG_WAITALL) == b"a reply"
            thread.join(5)
            assert (passed.up, passed.down) == (5, 7)


def test_sites_are_led_through_the_relay_and_the_server_is_not(tmp_path):
    made = new_kits(tmp_path, ["site-00"])
    supernodes.lead_through(made, ["site-00"], 45678)
    assert read_kit_yaml(made.folder / "site-00").server == "127.0.0.1:45678"
    assert read_kit_yaml(made.server).address == made.address


def test_a_counter_is_read_once_a_round(monkeypatch):
    monkeypatch.setattr(supernodes, "cpu_seconds", lambda pid: float(pid))
    monkeypatch.setattr(supernodes, "anonymous_bytes", lambda pid: pid)

    class Members:
        def members(self):
            return {"SuperLink": 11, "ServerApp": 12, "server": 1}

    passed = type("Passed", (), {"up": 3, "down": 4})
    seen = supernodes.Seen(
        {"SuperLink": [], "ServerApp": []}, [], [], {"SuperLink": 20, "ServerApp": 0}
    )
    for done in (0, 1, 1, 2):
        supernodes.look(Members(), passed, done, seen)
    assert (seen.up, seen.down) == ([3, 3], [4, 4])
    assert seen.cpu_s == {"SuperLink": [11.0, 11.0], "ServerApp": [12.0, 12.0]}
    assert seen.peak == {"SuperLink": 20, "ServerApp": 12}


def test_a_process_is_known_by_its_command_line_and_its_figures_are_read():
    assert kind_of("python .venv/bin/flwr-serverapp --token x") == "ServerApp"
    assert named(os.getpid(), "server")["server"] == os.getpid()
    assert cpu_seconds(os.getpid()) > 0
    assert anonymous_bytes(os.getpid()) > 1_000_000
    assert (cpu_seconds(2**30), anonymous_bytes(2**30)) == (0.0, 0)


def test_an_echo_says_whose_order_it_answers():
    order = Order("run", 3, "nonce", "digest", "{}", 0.1)
    content = receipt(order, "site-00", {"num-examples": 1})
    said = unpack_receipt(content)
    assert (said.run, said.round_num, said.nonce, said.site_id) == ("run", 3, "nonce", "site-00")
    assert unpack_result(content) == {"num-examples": 1}
