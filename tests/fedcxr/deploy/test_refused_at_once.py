"""A port that is taken and a server that is not there, as the command line tells them."""

import socket
import time
from types import SimpleNamespace

import pytest

from fedcxr.deploy import submit
from fedcxr.deploy.child import free_port
from fedcxr.deploy.provision import new_deployment
from fedcxr.deploy.site_data import SiteData

AT_ONCE_S = 5.0


@pytest.fixture
def made(tmp_path):
    return new_deployment(tmp_path / "deploy", f"127.0.0.1:{free_port()}", ["site-00"])


def at_once(run_main, *words):
    """Return what a command says, if it waits for nothing; at its first call it imports Flower."""
    run_main(*words)
    begun = time.monotonic()
    found = run_main(*words)
    assert time.monotonic() - begun < AT_ONCE_S
    return found


def test_a_server_whose_port_is_taken_ends_at_once_with_how_to_find_who_has_it(run_main, made):
    # row 30 of the bad-input table
    port = int(made.address.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        code, out, err = at_once(run_main, "server", "start", "--kit", str(made.server))
    assert (code, out) == (5, "")
    assert f"Port {port} cannot be opened (Address already in use)" in err
    assert f"who has the port says: ss -ltnp 'sport = :{port}'" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("verb", "kit", "more"),
    [
        (["client", "start"], "site-00", ["--data", "data"]),
        (["run"], "server", ["--data", "data"]),
        (["status"], "server", []),
        (["stop"], "server", []),
    ],
    ids=["client", "run", "status", "stop"],
)
def test_without_a_superlink_every_command_ends_at_once(
    run_main, made, monkeypatch, verb, kit, more
):
    # row 30 of the bad-input table
    table = SimpleNamespace(image_id=("a",), patient_id=("b",))
    data = SiteData(made.folder, made.folder, table)
    monkeypatch.setattr("fedcxr.deploy.site_data.prepare_site", lambda *given, **how: data)
    plan = SimpleNamespace(sites=[SimpleNamespace(site_id="site-00")], folder=made.folder)
    monkeypatch.setattr(submit, "read_plan", lambda folder: plan)
    code, _, err = at_once(run_main, *verb, "--kit", str(made.folder / kit), *more)
    assert code == 5
    assert made.address in err
    assert "`fedcxr server start`" in err
    assert "Traceback" not in err
