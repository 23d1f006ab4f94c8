"""The Dockerfile and the systemd units: what they name is there, and systemd reads them."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from fedcxr.cli.main import cli

ROOT = Path(__file__).resolve().parents[1]
HOSTING = ROOT / "hosting"
UNITS = ("fedcxr-server.service", "fedcxr-client@.service")
PROGRAM = "/opt/fedcxr/bin/fedcxr"


def verified(unit, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    # it wants the program to be there, and a template to have an instance's name
    text = (HOSTING / unit).read_text().replace(PROGRAM, "/bin/true")
    text = re.sub(r"^User=.*$", "User=root", text, flags=re.MULTILINE)
    file = tmp_path / unit.replace("@.", "@site-00.")
    file.write_text(text)
    return subprocess.run(
        ["systemd-analyze", "verify", file], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_reads_the_units_without_a_word(unit, tmp_path):
    done = verified(unit, tmp_path)
    own = [line for line in done.stderr.splitlines() if "fedcxr" in line]
    assert (done.returncode, own) == (0, []), done.stderr


def test_a_mistake_in_a_unit_would_be_told(tmp_path, monkeypatch):
    (tmp_path / "wrong").mkdir()
    text = (HOSTING / UNITS[0]).read_text().replace("Restart=on-failure", "Restart=somehow")
    (tmp_path / "wrong" / UNITS[0]).write_text(text)
    monkeypatch.setattr("test_hosting.HOSTING", tmp_path / "wrong")
    assert "restart specifier, ignoring: somehow" in verified(UNITS[0], tmp_path).stderr


@pytest.mark.parametrize("unit", UNITS)
def test_the_units_start_verbs_and_flags_that_there_are(unit):
    (line,) = re.findall(r"^ExecStart=(.*)$", (HOSTING / unit).read_text(), re.MULTILINE)
    program, group, verb, *words = shlex.split(line)
    assert program == PROGRAM
    command = get_command(cli).commands[group].commands[verb]
    known = {option for param in command.params for option in param.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_the_image_gets_what_the_package_is_made_of_and_nothing_else():
    text = (HOSTING / "Dockerfile").read_text()
    copied = [
        place
        for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE)
        for place in line.split()[:-1]
    ]
    assert all((ROOT / place).exists() for place in copied)
    allowed = (HOSTING / "Dockerfile.dockerignore").read_text().splitlines()
    assert {line.removeprefix("!") for line in allowed if line.startswith("!")} == set(copied)
    packages = re.search(r"^packages = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(), re.M)[1]
    assert set(re.findall(r'"(.*?)"', packages)) <= set(copied)
