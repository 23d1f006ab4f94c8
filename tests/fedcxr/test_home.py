from pathlib import Path

import pytest

from fedcxr.errors import ConfigError
from fedcxr.home import expanded, home_folder, is_in_home


@pytest.fixture
def nobody(monkeypatch):
    """A process without HOME, of a user that the system does not know."""
    import pwd

    def unknown(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr("os.getuid", lambda: 54321)


def test_a_tilde_in_fedcxr_home_is_the_users_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FEDCXR_HOME", "~/fx")
    assert home_folder() == tmp_path / "fx"
    monkeypatch.delenv("FEDCXR_HOME")
    assert home_folder() == tmp_path / ".fedcxr"
    monkeypatch.setenv("FEDCXR_HOME", "")
    assert home_folder() == tmp_path / ".fedcxr"


def test_only_a_tilde_at_the_beginning_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~") == tmp_path
    assert expanded("~root/x") == Path("/root/x")
    assert expanded("a/~/b") == Path("a/~/b")
    assert expanded("./~/b") == Path("~/b")  # a folder that is called so


@pytest.mark.usefixtures("nobody")
def test_without_a_home_the_user_is_told_to_set_one(monkeypatch):
    monkeypatch.delenv("FEDCXR_HOME", raising=False)
    with pytest.raises(ConfigError, match=r"user 54321\. Set HOME, or FEDCXR_HOME"):
        home_folder()
    assert not is_in_home(Path("/somewhere"))


def test_an_empty_home_is_none(monkeypatch):
    # os.path.expanduser would make "/.fedcxr" of it
    monkeypatch.delenv("FEDCXR_HOME", raising=False)
    monkeypatch.setenv("HOME", "")
    with pytest.raises(ConfigError, match="Set HOME, or FEDCXR_HOME"):
        home_folder()


def test_a_user_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="there is no user 'nobody-of-that-name'"):
        expanded("~nobody-of-that-name/x")


def test_what_lies_in_the_home_folder_is_known_by_its_path(monkeypatch, tmp_path):
    monkeypatch.setenv("FEDCXR_HOME", "fx")
    monkeypatch.chdir(tmp_path)
    assert is_in_home(tmp_path / "fx" / "cache" / "a")
    assert is_in_home(Path("fx"))
    assert not is_in_home(tmp_path / "fxx")
