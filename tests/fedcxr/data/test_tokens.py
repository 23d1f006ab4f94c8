import hashlib
import hmac
import threading

import pytest

from fedcxr.data.tokens import SYNTHETIC_KEY, Tokens, load_key
from fedcxr.errors import ConfigError

KEY = bytes(range(32))


def test_a_token_is_the_start_of_an_hmac_of_kind_and_identifier():
    expected = hmac.new(KEY, b"patient\0patient00001", hashlib.sha256).hexdigest()[:16]
    assert Tokens(KEY).patient("patient00001") == expected


def test_kinds_and_keys_give_different_tokens():
    mine, other = Tokens(KEY), Tokens(SYNTHETIC_KEY)
    tokens = {mine.patient("1"), mine.study("1"), mine.image("1"), other.patient("1")}
    assert len(tokens) == 4
    assert mine.fingerprint != other.fingerprint
    assert len(mine.fingerprint) == 8


def test_the_key_is_in_no_printed_form():
    assert repr(KEY) not in repr(Tokens(KEY))
    assert KEY.hex() not in repr(Tokens(KEY))


def test_the_key_is_made_once_and_only_its_owner_may_read_it(tmp_path):
    path = tmp_path / "keys" / "patient.key"
    first = load_key(path)
    assert len(first) == 32
    assert load_key(path) == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["patient.key"]


def test_the_key_lies_in_the_home_folder_or_where_the_environment_says(
    tmp_path, fedcxr_home, monkeypatch
):
    assert load_key() == (fedcxr_home / "patient.key").read_bytes()
    monkeypatch.setenv("FEDCXR_PATIENT_KEY", str(tmp_path / "own.key"))
    assert load_key() == (tmp_path / "own.key").read_bytes()


def test_many_who_make_the_key_at_once_get_the_same_one(tmp_path):
    path, keys = tmp_path / "patient.key", []
    threads = [threading.Thread(target=lambda: keys.append(load_key(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


def test_a_key_of_another_length_is_refused(tmp_path):
    (tmp_path / "short.key").write_bytes(b"secret")
    with pytest.raises(ConfigError, match="6 bytes, not 32"):
        load_key(tmp_path / "short.key")


def test_a_key_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read or made"):
        load_key(tmp_path)


def test_a_key_that_others_can_read_is_warned_of(tmp_path, caplog):
    load_key(tmp_path / "patient.key")
    (tmp_path / "patient.key").chmod(0o644)
    load_key(tmp_path / "patient.key")
    assert "chmod 600" in caplog.text


def test_a_file_name_that_is_no_utf8_has_a_token():
    # of its bytes: those of a name in UTF-8 are what they always were
    expected = hmac.new(KEY, b"image\0a/Kl\xe4ren.png", hashlib.sha256).hexdigest()[:16]
    assert Tokens(KEY).image("a/Kl\udce4ren.png") == expected


def test_a_tilde_in_the_variable_of_the_key_is_the_users_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FEDCXR_PATIENT_KEY", "~/own.key")
    assert load_key() == (tmp_path / "own.key").read_bytes()


def test_a_home_folder_that_cannot_be_made_is_named_with_its_variable(tmp_path, monkeypatch):
    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setenv("FEDCXR_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("pathlib.Path.mkdir", forbidden)
    words = rf"home/patient\.key: .*home folder is {tmp_path}/home: set FEDCXR_HOME .*PATIENT_KEY"
    with pytest.raises(ConfigError, match=words):
        load_key()
