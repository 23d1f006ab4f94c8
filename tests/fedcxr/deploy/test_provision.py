import os
import shutil
import stat

import pytest
from typer.testing import CliRunner

from fedcxr.cli.main import cli
from fedcxr.config.kit import SiteKitConfig, read_kit_yaml
from fedcxr.deploy import kit_files as k
from fedcxr.deploy.certificates import names_of
from fedcxr.deploy.kit_check import check_kit
from fedcxr.deploy.node_keys import read_node_key
from fedcxr.deploy.provision import (
    add_site,
    new_deployment,
    open_deployment,
    renew_server,
    revoke_site,
    site_names,
)
from fedcxr.errors import ArtefactError, ConfigError

ADDRESS = "fl.example.org:9092"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return new_deployment(
        tmp_path_factory.mktemp("made") / "deploy", ADDRESS, ["site-00", "charite"]
    )


@pytest.fixture
def deployment(made, tmp_path):
    return open_deployment(shutil.copytree(made.folder, tmp_path / "deploy"))


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def contents_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_every_kit_of_a_new_deployment_passes_its_check(deployment):
    server = check_kit(deployment.server)
    assert server.sites == ("charite", "site-00")
    for site in server.sites:
        kit = check_kit(deployment.folder / site)
        assert kit.config == SiteKitConfig(site=site, server=ADDRESS)


def test_the_server_knows_each_sites_key_under_its_name(deployment):
    keys = k.known_keys(deployment.server)
    for site, public in keys.items():
        private = (deployment.folder / site / k.NODE_KEY).read_bytes()
        assert read_node_key(private).public == public
    assert len(set(keys.values())) == 2


def test_keys_are_as_flower_takes_them(deployment):
    # The names are Flower's own: what its SuperNode loads, and what its SuperLink compares.
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key
    from flwr.supercore.primitives.asymmetric import public_key_to_bytes, uses_nist_ec_curve

    key = load_ssh_private_key((deployment.folder / "charite" / k.NODE_KEY).read_bytes(), None)
    assert uses_nist_ec_curve(key.public_key())
    public = k.public_key_file(deployment.server, "charite").read_bytes()
    assert public_key_to_bytes(key.public_key()) == public


def test_secrets_are_for_their_owner_only(deployment):
    folders = [p for p in deployment.folder.rglob("*") if p.is_dir()]
    assert {mode_of(p) for p in [deployment.folder, *folders]} == {0o700}
    secrets = [p for p in deployment.folder.rglob("*") if p.name in ("ca.key", *SECRETS)]
    assert len(secrets) == 1 + 2 + 2
    assert {mode_of(p) for p in secrets} == {0o600}


SECRETS = (k.SERVER_KEY, k.CONTROL_TOKEN, k.NODE_KEY)


def test_no_secret_of_one_kit_is_in_another(deployment):
    for secret in [p for p in deployment.folder.rglob("*") if p.name in ("ca.key", *SECRETS)]:
        data = secret.read_bytes().strip()
        holders = [p for p in deployment.folder.rglob("*") if p.is_file()]
        assert [p for p in holders if data in p.read_bytes()] == [secret]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("fl.example.org:9092", "fl.example.org"),
        ("192.0.2.7:9092", "192.0.2.7"),
        ("[2001:db8::7]:9092", "2001:db8::7"),
    ],
)
def test_the_certificate_is_for_the_name_that_sites_use(tmp_path, address, name):
    made = new_deployment(tmp_path / "deploy", address, ["site-00"])
    server = renew_server(made).certificate
    assert set(names_of(server)) == {name, "localhost", "127.0.0.1", "::1"}
    check_kit(made.server)


def test_nothing_is_written_over(deployment):
    before = contents_of(deployment.folder)
    with pytest.raises(ArtefactError, match=r"is there already, and nothing in it was changed\."):
        new_deployment(deployment.folder, ADDRESS, ["site-00"])
    with pytest.raises(ArtefactError, match=r"charite is a site of this deployment\. To give"):
        add_site(deployment, "charite")
    assert contents_of(deployment.folder) == before


def test_a_deployment_that_cannot_be_finished_leaves_nothing(tmp_path, monkeypatch):
    def full(file, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(k, "write_secret", full)
    with pytest.raises(OSError, match="No space left"):
        new_deployment(tmp_path / "deploy", ADDRESS, ["site-00"])
    assert list(tmp_path.iterdir()) == []


def test_a_site_is_added_and_revoked(deployment):
    kit = add_site(open_deployment(deployment.folder), "st-mary")
    assert check_kit(deployment.server).sites == ("charite", "site-00", "st-mary")
    kept = revoke_site(deployment, "st-mary")
    assert check_kit(deployment.server).sites == ("charite", "site-00")
    assert read_node_key((kit / k.NODE_KEY).read_bytes()).public == kept.read_bytes()
    # its name can come again, with another key
    with pytest.raises(ArtefactError, match=r"st-mary: is there already\. Move it away"):
        add_site(deployment, "st-mary")
    shutil.rmtree(kit)
    add_site(deployment, "st-mary")
    assert k.public_key_file(deployment.server, "st-mary").read_bytes() != kept.read_bytes()
    revoke_site(deployment, "st-mary")
    assert len(list((deployment.server / k.REVOKED).iterdir())) == 2


def test_revoking_who_is_no_site_names_the_sites(deployment):
    with pytest.raises(ConfigError, match=r"no site of this deployment\. Its sites: charite, site"):
        revoke_site(deployment, "site-07")
    with pytest.raises(ConfigError, match=r"'\.\./server' cannot name a site"):
        revoke_site(deployment, "../server")


def test_a_renewed_certificate_is_of_the_same_authority(deployment):
    authority = (deployment.server / k.CA_CRT).read_bytes()
    key = (deployment.server / k.SERVER_KEY).read_bytes()
    renew_server(deployment)
    assert (deployment.server / k.SERVER_KEY).read_bytes() != key
    assert (deployment.server / k.CA_CRT).read_bytes() == authority
    check_kit(deployment.server)


def test_renewing_wants_the_authority(deployment):
    os.remove(deployment.folder / k.AUTHORITY / k.CA_KEY)
    with pytest.raises(ConfigError, match=r"ca\.key: cannot be read .*Only where the deployment"):
        renew_server(deployment)


@pytest.mark.parametrize(
    ("sites", "why"),
    [
        ("0", "at least one site"),
        ("a,a", "names a twice"),
        ("a,", "'' cannot name a site"),
        ("server,a", "'server' cannot name a site"),
        ("../x", "cannot name a site"),
        ("x" * 65, "cannot name a site"),
        ("123456789", "at most 9999"),
    ],
)
def test_sites_that_cannot_be_are_refused(sites, why):
    with pytest.raises(ConfigError, match=why):
        site_names(sites)


@pytest.mark.parametrize("address", ["fl.example.org", "host:0", "host:99999", "ho st:1", ":1"])
def test_an_address_that_is_none_is_refused(tmp_path, address):
    with pytest.raises(ConfigError, match="is not HOST:PORT"):
        new_deployment(tmp_path / "deploy", address, ["site-00"])
    assert not (tmp_path / "deploy").exists()


def test_a_kit_yaml_with_a_mistake_is_told_whole(deployment):
    file = deployment.folder / "charite" / "kit.yaml"
    file.write_text(file.read_text().replace("none", "vae-pixels") + "gpu: 3\n")
    with pytest.raises(
        ConfigError, match=r"(?s)vae_numbers: 'vae-pixels' is no number.*gpu: Extra"
    ):
        read_kit_yaml(file.parent)
    file.write_text("kit: hospital\n")
    with pytest.raises(ConfigError, match=r"'kit' is 'hospital'; expected server or site"):
        read_kit_yaml(file.parent)


def test_the_verb_makes_and_changes_a_deployment(tmp_path):
    def fedcxr(*words):
        return CliRunner().invoke(cli, [*words])

    out = str(tmp_path / "deploy")
    made = fedcxr("provision", "--sites", "2", "--server", ADDRESS, "--out", out)
    assert made.exit_code == 0, made.output
    assert f"Kit of site-01: {out}/site-01" in made.output
    changed = fedcxr("provision", "--add-site", "x", "--revoke", "site-01", "--renew", "--out", out)
    assert changed.exit_code == 0, changed.output
    assert "takes it up by itself" in changed.output or "Start the server again" in changed.output
    checked = fedcxr("kit", "check", f"{out}/server")
    assert "2 sites: site-00, x" in checked.output
    assert "Public key: SHA256:" in fedcxr("kit", "check", f"{out}/x").output
    wrong = fedcxr("provision", "--sites", "2", "--renew", "--out", out)
    assert isinstance(wrong.exception, ConfigError)
    assert isinstance(fedcxr("provision", "--out", out).exception, ConfigError)
