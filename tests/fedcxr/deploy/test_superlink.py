"""A guarded SuperLink in this process: who gets in, and what the others are told."""

import asyncio
import shutil
import socket
import threading
import time
from types import SimpleNamespace

import httpx
import pytest
import uvicorn

from fedcxr.config.kit import read_kit_yaml
from fedcxr.deploy import kit_files as k
from fedcxr.deploy import serve
from fedcxr.deploy.bundle import bundle, bundle_digest
from fedcxr.deploy.control import Control
from fedcxr.deploy.guarded_superlink import Guard, put_guard
from fedcxr.deploy.knock import connected, knock
from fedcxr.deploy.node_keys import fingerprint, new_node_key, read_node_key
from fedcxr.deploy.pinned_supernode import pinned
from fedcxr.deploy.provision import add_site, new_deployment, revoke_site
from fedcxr.deploy.serve import Roll, SiteChange, bind_host, check_guard, refuse_taken_port
from fedcxr.deploy.submit import status_of, stop_runs
from fedcxr.errors import NetworkError


@pytest.fixture(scope="module")
def flower_app():
    """Flower's own SuperLink, its nodes authenticated, behind the guard; and its token's holder."""
    from flwr.superlink import extensions
    from flwr.superlink.main import create_app

    patch = pytest.MonkeyPatch()
    patch.setattr(extensions, "get_middleware", extensions.get_middleware)
    patch.setenv("no_proxy", "127.0.0.1")
    guarded = SimpleNamespace(token="a" * 64)
    put_guard(guarded.token)
    guarded.app = create_app()
    guarded.app.state.enable_supernode_auth = True
    yield guarded
    patch.undo()


@pytest.fixture(scope="module")
def superlink(flower_app, tmp_path_factory):
    """The same, listening on loopback with the certificate of a deployment."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = door.getsockname()[1]
        folder = tmp_path_factory.mktemp("superlink") / "deploy"
        made = new_deployment(folder, f"127.0.0.1:{port}", ["site-00", "site-01"])
        k.write_secret(made.server / k.CONTROL_TOKEN, flower_app.token.encode())
        server = uvicorn.Server(
            uvicorn.Config(
                flower_app.app,
                ssl_certfile=made.server / k.SERVER_CRT,
                ssl_keyfile=made.server / k.SERVER_KEY,
                log_level="critical",
                ws="none",
            )
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        while thread.is_alive() and not server.started:
            time.sleep(0.01)
        with Control.of_kit(made.server, read_kit_yaml(made.server)) as control:
            yield SimpleNamespace(deployment=made, control=control, server=server)
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def roll(superlink):
    """The kit's sites, and nobody else, are let in."""
    found = Roll(superlink.control, superlink.deployment.server)
    found.update()
    return found


@pytest.fixture
def noted(caplog, monkeypatch):
    """Tell whether the server's log says that the key of a kit was refused."""
    monkeypatch.setattr("fedcxr.deploy.guarded_superlink.REPEAT_S", 0.0)

    def is_noted(kit):
        shown = fingerprint(read_node_key((kit / k.NODE_KEY).read_bytes()).public)
        return f"refused a node with {shown} from" in caplog.text

    return is_noted


def knocks(folder):
    knock(folder, read_kit_yaml(folder))


def refused(folder, why):
    with pytest.raises(NetworkError, match=why) as caught:
        knocks(folder)
    assert caught.value.exit_code == 5


def test_a_registered_site_is_taken(superlink, roll):
    knocks(superlink.deployment.folder / "site-00")
    assert len(superlink.control.nodes()) == 2


def test_a_key_that_is_not_registered_is_refused_and_others_are_not(
    superlink, roll, tmp_path, noted
):
    # row 32 of the bad-input table
    stranger = shutil.copytree(superlink.deployment.folder / "site-00", tmp_path / "site-00")
    key = new_node_key()
    k.write_secret(stranger / k.NODE_KEY, key.private)
    shown = fingerprint(key.public).replace("+", r"\+")
    refused(stranger, rf"does not take site-00: its key {shown} is not registered there, was rev")
    assert noted(stranger)
    knocks(superlink.deployment.folder / "site-00")
    assert not noted(superlink.deployment.folder / "site-00")


def test_a_site_that_is_added_comes_in_and_one_that_is_revoked_is_put_out(superlink, roll, noted):
    # row 32 of the bad-input table
    deployment = superlink.deployment
    kit = add_site(deployment, "new")
    assert roll.update() == [SiteChange("new", "added")]
    knocks(kit)
    revoke_site(deployment, "new")
    assert roll.update() == [SiteChange("new", "revoked")]
    refused(kit, "not registered there, was revoked")
    assert noted(kit)
    knocks(deployment.folder / "site-01")


def test_a_second_client_with_one_kit_is_refused(superlink, roll, noted):
    # row 32 of the bad-input table
    kit = superlink.deployment.folder / "site-00"
    with connected(kit, read_kit_yaml(kit)):
        assert roll.update() == [SiteChange("site-00", "connected")]
        refused(kit, "in use by another client that has started with this kit")
        assert noted(kit)
        assert roll.update() == []  # the first one is there still
        knocks(superlink.deployment.folder / "site-01")
    assert roll.update() == [SiteChange("site-00", "gone")]
    knocks(kit)


def test_what_is_left_of_a_killed_client_is_put_off(superlink, roll):
    kit = superlink.deployment.folder / "site-00"
    config = read_kit_yaml(kit)
    with connected(kit, config) as node_id:  # it is held for connected, and nobody is there
        with pytest.raises(NetworkError, match="in use by another client"):
            knock(kit, config, leftover=node_id + 1)
        assert knock(kit, config, leftover=node_id) == node_id


def test_a_revoked_key_does_not_come_in_again(superlink, roll):
    deployment = superlink.deployment
    add_site(deployment, "back")
    roll.update()
    kept = revoke_site(deployment, "back")
    roll.update()
    file = k.public_key_file(deployment.server, "back")
    shutil.copy(kept, file)
    assert roll.update() == [SiteChange("back", "barred")]
    assert roll.update() == []
    file.unlink()


def test_only_the_kits_token_opens_the_control_api(superlink):
    deployment = superlink.deployment
    config = read_kit_yaml(deployment.server)
    check_guard(config, deployment.server)
    authority = (deployment.server / k.CA_CRT).read_bytes()
    with (
        Control(config.address, authority, "b" * 64) as stranger,
        pytest.raises(NetworkError, match="for the holder of the server's kit only"),
    ):
        stranger.start_run({})


def test_a_flower_without_the_guard_is_not_started(superlink, monkeypatch):
    monkeypatch.setattr(Guard, "_admits", lambda self, scope: True)
    config = read_kit_yaml(superlink.deployment.server)
    with pytest.raises(NetworkError, match=r"lets anybody start runs .* so the server was not"):
        check_guard(config, superlink.deployment.server)


def test_a_run_is_started_and_stopped(superlink):
    run_id = superlink.control.start_run({"preset": "quickstart", "site-keys": "x"})
    assert not superlink.control.find_run(run_id).has_begun
    superlink.control.stop_run(run_id)
    state = superlink.control.find_run(run_id)
    assert (state.is_over, state.is_good, state.why) == (True, False, "stopped")
    assert state.is_stopped
    assert state.is_lost
    assert superlink.control.find_run(run_id + 1) is None


def test_the_status_says_who_is_there_and_what_runs(superlink, roll):
    from typer.testing import CliRunner

    from fedcxr.cli.main import cli

    server = superlink.deployment.server
    run_id = superlink.control.start_run({})
    found = status_of(server)
    assert found.is_online == {"site-00": False, "site-01": False}
    assert found.runs[-1].run_id == run_id
    shown = CliRunner().invoke(cli, ["status", "--kit", str(server)]).output
    assert "site-00: not connected\n" in shown
    assert f"Run {run_id}: waiting\n" in shown
    stopped = CliRunner().invoke(cli, ["stop", "--kit", str(server)]).output
    assert stopped == "Stopped: 1 run.\n"
    assert stop_runs(server) == 0
    assert (
        f"Run {run_id}: stopped" in CliRunner().invoke(cli, ["status", "--kit", str(server)]).output
    )


def test_a_run_with_a_key_that_the_app_does_not_know_is_refused(superlink):
    with pytest.raises(NetworkError, match="the SuperLink refuses"):
        superlink.control.start_run({"presets": "quickstart"})


def asked(app, path, client="192.0.2.9", headers=()):
    """Return the status that a caller from `client` gets."""

    async def ask():
        transport = httpx.ASGITransport(app, client=(client, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="https://server") as caller:
            return (await caller.post(path, headers=dict(headers))).status_code

    return asyncio.run(ask())


def test_the_runtime_api_is_for_this_machine_only(flower_app):
    path = "/v1/runtime/acquire-task"
    assert asked(flower_app.app, path) == 403
    assert asked(flower_app.app, path, client="127.0.0.1") != 403


@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/start-run",
        "/v1/control/register-node",
        "/v1//control/start-run",
        "/V1/control/start-run",
        "/docs",
        "/openapi.json",
        "/v1/fleet",
    ],
)
def test_whatever_is_not_of_the_fleet_wants_the_token(flower_app, path):
    assert asked(flower_app.app, path, client="127.0.0.1") == 403
    wrong = {"authorization": "Bearer "}
    assert asked(flower_app.app, path, headers=wrong.items()) == 403
    right = {"authorization": f"Bearer {flower_app.token}"}
    assert asked(flower_app.app, path, headers=right.items()) != 403


def test_a_path_that_leads_out_of_the_fleet_is_no_way_in(flower_app):
    # the client would resolve the dots itself, so the guard is asked directly
    sent = []

    async def ask():
        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/fleet/../control/start-run",
            "raw_path": b"/v1/fleet/../control/start-run",
            "headers": [],
            "query_string": b"",
            "client": ("192.0.2.9", 1),
        }
        await flower_app.app({**scope, "app": flower_app.app}, receive, send)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    asyncio.run(ask())
    assert sent[0]["status"] in (401, 404)


def test_a_refused_nodes_key_is_noted_once(caplog):
    # row 32 of the bad-input table
    async def refusing(scope, receive, send):
        await send({"type": "http.response.start", "status": 401, "headers": []})

    async def send(message):
        pass

    import base64

    key = new_node_key().public
    guard = Guard(refusing, token="x")
    header = (b"flwr-public-key", base64.b64encode(key))
    scope = {"type": "http", "path": "/v1/fleet/pull-messages", "headers": [header]}
    for _ in range(3):
        asyncio.run(guard({**scope, "client": ("192.0.2.9", 1)}, None, send))
    asyncio.run(guard({**scope, "headers": [(header[0], b"%%")]}, None, send))
    noted = [record.getMessage() for record in caplog.records]
    assert noted[0] == f"refused a node with {fingerprint(key)} from ('192.0.2.9', 1)"
    assert len(noted) == 2


def test_a_port_that_is_taken_is_refused_with_how_to_find_who_has_it():
    # row 30 of the bad-input table
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        port = door.getsockname()[1]
        with pytest.raises(NetworkError, match=rf"Port {port} cannot be opened .*ss -ltnp"):
            refuse_taken_port("127.0.0.1", port)
    refuse_taken_port("127.0.0.1", port)


def test_the_server_listens_where_its_address_leads():
    assert bind_host("localhost:1") == "127.0.0.1"
    assert bind_host("[::1]:1") == "::1"
    assert bind_host("192.0.2.1:1") == "0.0.0.0"


def test_the_superlink_is_never_started_without_tls_and_node_keys(tmp_path):
    # row 31 of the bad-input table
    words = serve.superlink_arguments(tmp_path, "0.0.0.0", 9092)
    assert "--insecure" not in words
    assert {"--enable-supernode-auth", "--ssl-certfile", "--ssl-keyfile"} <= set(words)


def test_the_bundle_is_the_same_bytes_everywhere_and_flower_takes_it(tmp_path, monkeypatch):
    from flwr.cli.install import install_from_fab
    from flwr.common.config import get_fab_config, get_metadata_from_config

    assert bundle() == bundle()
    # Sites know it by this digest: another one is another bundle, and old sites would refuse it.
    assert bundle_digest().startswith(BUNDLE)
    config = get_fab_config(bundle())
    assert get_metadata_from_config(config) == ("fedcxr/fedcxr", "1")
    installed = install_from_fab(bundle(), tmp_path, skip_prompt=True)
    assert [p.name for p in installed.iterdir()] == ["pyproject.toml"]


BUNDLE = "b3ee5122525fd293"


def test_a_site_runs_the_code_it_has_installed_and_no_other(caplog):
    from flwr.proto.fab_pb2 import Fab, GetFabResponse
    from flwr.supercore.run import RunNotRunningException

    def serving(content):
        return lambda client, request: GetFabResponse(fab=Fab(content=content))

    request = SimpleNamespace(run_id=7)
    given = pinned(serving(bundle()), bundle_digest())(None, request)
    assert given.fab.content == bundle()
    with pytest.raises(RunNotRunningException):
        pinned(serving(bundle() + b"!"), bundle_digest())(None, request)
    assert "run 7 comes with code of its own" in caplog.text


DATES = r"it is valid 20\d\d-.* UTC to 20\d\d-.* UTC\. `fedcxr provision --renew`"


class TestCertificates:
    """What a site says of a server that is not the one of its kit."""

    @pytest.fixture
    def kit(self, superlink, tmp_path):
        return shutil.copytree(superlink.deployment.folder / "site-00", tmp_path / "site-00")

    @pytest.fixture
    def showing(self, superlink):
        """Have the server show another certificate for a test."""
        deployment, context = superlink.deployment, superlink.server.config.ssl
        files = deployment.server / k.SERVER_CRT, deployment.server / k.SERVER_KEY

        def show(certified, folder):
            (folder / "crt").write_bytes(certified.certificate_pem)
            (folder / "key").write_bytes(certified.key_pem)
            context.load_cert_chain(folder / "crt", folder / "key")

        yield show
        context.load_cert_chain(*files)

    def authority_of(self, superlink):
        from fedcxr.deploy.certificates import read_certified

        folder = superlink.deployment.folder / k.AUTHORITY
        return read_certified((folder / k.CA_CRT).read_bytes(), (folder / k.CA_KEY).read_bytes())

    def test_an_expired_one(self, superlink, roll, kit, showing, tmp_path):
        # row 31 of the bad-input table
        from datetime import timedelta

        from fedcxr.deploy.certificates import certify_server, utc_now

        long_ago = utc_now() - timedelta(days=500)
        authority = self.authority_of(superlink)
        showing(certify_server(authority, "127.0.0.1", long_ago, days=10), tmp_path)
        refused(
            kit,
            r"its certificate is not taken: expired on 20.*\(valid 20.* to 20.*provision --renew",
        )

    def test_one_for_another_name(self, superlink, roll, kit, showing, tmp_path):
        # row 31 of the bad-input table
        from fedcxr.deploy import certificates

        authority, now = self.authority_of(superlink), certificates.utc_now()
        showing(certificates.certify_server(authority, "fl.example.org", now, also=()), tmp_path)
        refused(kit, rf"made for fl\.example\.org, not for 127\.0\.0\.1; {DATES}")

    def test_one_of_another_authority(self, superlink, roll, kit, showing, tmp_path):
        # row 31 of the bad-input table
        from fedcxr.deploy.certificates import certify_server, make_authority, utc_now

        other = make_authority(utc_now())
        showing(certify_server(other, "127.0.0.1", utc_now()), tmp_path)
        refused(kit, rf"not signed by the deployment's authority \(ca\.crt\); {DATES}")

    def test_one_that_is_signed_by_itself(self, superlink, roll, kit, showing, tmp_path):
        # row 31 of the bad-input table
        from fedcxr.deploy.certificates import make_authority, utc_now

        showing(make_authority(utc_now()), tmp_path)
        refused(kit, rf"not signed by the deployment's authority .*; {DATES}")

    def test_none_at_all(self, kit):
        # row 31 of the bad-input table
        with socket.socket() as door:
            door.bind(("127.0.0.1", 0))
            door.listen()

            def answer():
                caller, _ = door.accept()
                caller.recv(100)
                caller.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                caller.close()

            threading.Thread(target=answer, daemon=True).start()
            config = read_kit_yaml(kit)
            plain = config.model_copy(update={"server": f"127.0.0.1:{door.getsockname()[1]}"})
            with pytest.raises(NetworkError, match="speaks no TLS, so it is no server of this kit"):
                knock(kit, plain)

    def test_no_server(self, kit):
        # row 30 of the bad-input table
        config = read_kit_yaml(kit)
        nobody = config.model_copy(update={"server": "127.0.0.1:1"})
        start = time.monotonic()
        with pytest.raises(NetworkError, match=r"127\.0\.0\.1:1: no connection .*with --wait"):
            knock(kit, nobody)
        assert time.monotonic() - start < 5
        unknown = config.model_copy(update={"server": "no-such-host.invalid:9092"})
        with pytest.raises(NetworkError, match=r"the name is not known|no connection"):
            knock(kit, unknown)
