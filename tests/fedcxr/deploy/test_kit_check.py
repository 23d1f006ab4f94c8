import os
import shutil
from datetime import timedelta

import pytest

from fedcxr.deploy import kit_files as k
from fedcxr.deploy.certificates import certify_server, make_authority, utc_now
from fedcxr.deploy.kit_check import check_kit, server_kit, site_kit
from fedcxr.deploy.node_keys import fingerprint
from fedcxr.deploy.provision import new_deployment, open_deployment
from fedcxr.errors import ConfigError, NetworkError

ADDRESS = "fl.example.org:9092"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return new_deployment(
        tmp_path_factory.mktemp("made") / "deploy", ADDRESS, ["site-00", "site-01"]
    )


@pytest.fixture
def deployment(made, tmp_path):
    return open_deployment(shutil.copytree(made.folder, tmp_path / "deploy"))


def refused(folder, why, now=None):
    with pytest.raises(NetworkError, match=why) as caught:
        check_kit(folder, now)
    assert caught.value.exit_code == 5


def test_what_is_missing_is_named(deployment):
    os.remove(deployment.server / k.SERVER_KEY)
    os.remove(deployment.server / k.CA_CRT)
    refused(deployment.server, r"(?s)ca\.crt is missing.*server\.key is missing")


def test_a_secret_that_others_can_read_is_refused_with_the_command_that_mends_it(deployment):
    kit = deployment.folder / "site-00"
    (kit / k.NODE_KEY).chmod(0o640)
    kit.chmod(0o755)
    refused(kit, r"(?s)folder is open to other users: chmod 700.*node\.key.*chmod 600")


def test_an_expired_certificate_is_refused_with_its_dates(deployment):
    # row 31 of the bad-input table
    later = utc_now() + timedelta(days=400)
    refused(deployment.server, r"server\.crt: expired on 20.*\(valid 20.* to 20.* UTC\)", later)
    check_kit(deployment.folder / "site-00", later)  # its authority is valid for ten years
    much_later = later + timedelta(days=3650)
    refused(deployment.folder / "site-00", r"ca\.crt: expired on", much_later)


def test_a_certificate_of_the_future_points_at_the_clock(deployment):
    earlier = utc_now() - timedelta(days=2)
    refused(deployment.server, r"not valid before 20.*; this machine's clock says 20", earlier)


def test_a_certificate_of_another_authority_or_name_is_refused(deployment):
    # row 31 of the bad-input table
    other = certify_server(make_authority(utc_now()), "elsewhere.example.org", utc_now())
    (deployment.server / k.SERVER_CRT).write_bytes(other.certificate_pem)
    k.write_secret(deployment.server / k.SERVER_KEY, other.key_pem)
    refused(
        deployment.server,
        r"(?s)not signed by the deployment's authority.*made for elsewhere\.example\.org, "
        r"localhost, .*, not for fl\.example\.org",
    )


def test_a_key_of_another_certificate_is_refused(deployment):
    other = certify_server(make_authority(utc_now()), "fl.example.org", utc_now())
    k.write_secret(deployment.server / k.SERVER_KEY, other.key_pem)
    refused(deployment.server, r"server\.crt and server\.key: the key is not that of the cert")


def test_two_sites_with_one_key_are_refused_with_its_fingerprint(deployment):
    public = k.public_key_file(deployment.server, "site-00").read_bytes()
    k.public_key_file(deployment.server, "site-01").write_bytes(public)
    shown = fingerprint(public).replace("+", r"\+")
    refused(deployment.server, rf"site-00 and site-01 have the same key \({shown}\)")


def test_files_that_hold_no_key_are_named(deployment):
    k.public_key_file(deployment.server, "site-00").write_bytes(b"ssh-rsa AAAA")
    refused(deployment.server, r"sites/site-00\.pem: no public key")
    kit = deployment.folder / "site-01"
    k.write_secret(kit / k.NODE_KEY, b"no key")
    (kit / k.CA_CRT).write_bytes(b"no certificate")
    refused(kit, r"(?s)ca\.crt: no certificate.*node\.key: no private key that a node can use")


def test_a_kit_is_taken_for_what_it_is_of(deployment):
    with pytest.raises(ConfigError, match=r"the kit of site site-00\. Give the server's"):
        server_kit(deployment.folder / "site-00")
    with pytest.raises(ConfigError, match=r"the kit of the server\. Give that of a site"):
        site_kit(deployment.server)
    with pytest.raises(ConfigError, match=r"kit\.yaml: cannot be read .*deploy/site-00"):
        check_kit(deployment.folder)


def test_the_end_of_a_certificate_is_foreseen(deployment):
    found = check_kit(deployment.server)
    assert not found.expires_soon(utc_now())
    assert found.expires_soon(utc_now() + timedelta(days=380))
