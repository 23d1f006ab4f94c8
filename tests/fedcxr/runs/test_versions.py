import importlib.metadata
import platform
from pathlib import Path

import pytest

import fedcxr
from fedcxr.cores import cores
from fedcxr.errors import ConfigError
from fedcxr.runs import versions as module
from fedcxr.runs.versions import code_digest, machine, package_root, versions


@pytest.fixture(autouse=True)
def fresh_digest():
    """The digest is kept per process; each test computes its own."""
    code_digest.cache_clear()
    yield
    code_digest.cache_clear()


def test_versions_are_those_that_are_installed():
    found = versions()
    assert found["python"] == platform.python_version()
    assert found["fedcxr"] == fedcxr.__version__
    assert found["torch"] == importlib.metadata.version("torch")


def test_a_library_that_is_absent_is_said_to_be(monkeypatch):
    monkeypatch.setattr(module, "LIBRARIES", ("no-such-library",))
    assert versions()["no-such-library"] == "not installed"


def test_the_machine_has_a_processor_and_cores():
    assert machine()["cores"] == cores() >= 1
    assert machine()["processor"]


def test_the_digest_of_the_code_is_the_same_each_time():
    first = code_digest()
    code_digest.cache_clear()
    assert code_digest() == first
    assert len(first) == 64


def packages(root: Path) -> None:
    for name in module.PACKAGES:
        (root / name).mkdir(parents=True)
        (root / name / "__init__.py").write_text("")
    (root / "fedcxr" / "runs").mkdir()
    (root / "configs" / "quickstart.yaml").write_text("seed: 0\n")


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """Our packages' skeleton in a folder, taken for the real ones."""
    packages(tmp_path)
    monkeypatch.setattr(module, "__file__", str(tmp_path / "fedcxr" / "runs" / "versions.py"))
    monkeypatch.setattr(module, "package_root", lambda name: tmp_path)
    return tmp_path


def digest_now():
    code_digest.cache_clear()
    return code_digest()


def test_a_changed_line_or_preset_changes_the_digest(copy):
    digests = [digest_now()]
    (copy / "clients" / "__init__.py").write_text("x = 1\n")
    digests.append(digest_now())
    (copy / "configs" / "quickstart.yaml").write_text("seed: 1\n")
    digests.append(digest_now())
    (copy / "server" / "new.py").write_text("")
    digests.append(digest_now())
    assert len(set(digests)) == 4


def test_compiled_files_do_not_change_the_digest(copy):
    before = digest_now()
    (copy / "clients" / "__pycache__").mkdir()
    (copy / "clients" / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert digest_now() == before


def test_a_package_from_another_place_is_refused(copy, monkeypatch):
    def root(name):
        return Path("/elsewhere") if name == "server" else copy

    monkeypatch.setattr(module, "package_root", root)
    with pytest.raises(ConfigError, match=r"are not: server \(/elsewhere\)\. Start from another"):
        code_digest()


def test_a_package_that_cannot_be_found_has_no_root():
    assert package_root("no_such_package_here") is None
    assert package_root("fedcxr") == package_root("clients")
