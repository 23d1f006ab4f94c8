"""What users of PyPI, Flower Hub and an archive of releases get."""

import subprocess
import tomllib
import warnings
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
import yaml

from fedcxr.version import __version__

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def bundle():
    """The app's bundle as `flwr build`, `flwr run` and Flower Hub make it, and what it says."""
    from flwr.cli.build import build_fab_from_files

    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a checkout of git")
    files = {name: ROOT / name for name in done.stdout.splitlines() if (ROOT / name).is_file()}
    with warnings.catch_warnings():
        # flwr 1.41 asks pathspec 1 for a pattern by its old name
        warnings.filterwarnings("ignore", "GitWildMatchPattern", DeprecationWarning)
        return build_fab_from_files(files)


def test_the_bundle_is_of_flowers_present_format(bundle):
    _, about = bundle
    assert about.fab_format_version == 1
    assert about.flwr_version_min == "1.41"
    assert about.flwr_version_target == "1.41.0"


def test_the_bundle_holds_the_packages_and_the_license_alone(bundle):
    data, _ = bundle
    names = zipfile.ZipFile(BytesIO(data)).namelist()
    folders = {name.partition("/")[0] for name in names if "/" in name}
    assert folders == {".info", "clients", "configs", "fedcxr", "partitions", "server"}
    assert {name for name in names if "/" not in name} == {"LICENSE", "pyproject.toml"}


def test_one_version_is_said_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert PROJECT["project"]["version"] == __version__
    assert citation["version"] == __version__


def test_the_citation_has_what_an_archive_needs_for_a_doi():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["cff-version"] == "1.2.0"
    for key in ("message", "type", "title", "abstract", "authors", "version", "license"):
        assert citation[key]
    assert all("name" in who or "family-names" in who for who in citation["authors"])


def test_every_package_of_the_environment_is_pinned():
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()[1:]
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines}
    extras = PROJECT["project"]["optional-dependencies"]
    of_dev = [
        name
        for extra in ("dev", "parquet", "privacy", "tensorboard", "notebooks", "docs")
        for name in extras[extra]
    ]
    wanted = [name.partition(">")[0].lower() for name in of_dev if not name.startswith("fedcxr[")]
    assert [name for name in wanted if name.replace("_", "-") not in pinned] == []
