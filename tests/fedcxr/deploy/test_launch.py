"""A deployment started from one place: here, by ssh (a stand-in on the PATH), or by Slurm."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedcxr.cli.main import cli
from fedcxr.config.hosts import HostsConfig, read_hosts
from fedcxr.deploy import launch
from fedcxr.deploy.kit_copies import copy_kits
from fedcxr.deploy.launch import Program, local_programs, remote_programs, run_together
from fedcxr.deploy.provision import new_deployment
from fedcxr.deploy.slurm import write_batch_scripts
from fedcxr.errors import ConfigError, NetworkError

ROOT = Path(__file__).resolve().parents[3]

SSH = """#!/bin/bash
# A stand-in for ssh: notes how it was called, and does the command here.
printf '%s\\n' "$@" > "$SSH_NOTES"
exec sh -c "${@: -1}"
"""
STAYS = """
import sys
from fedcxr.deploy.orphans import end_with_parent
end_with_parent()
print("up", flush=True)
import time
time.sleep(60)
"""


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("launched") / "deploy"
    new_deployment(folder, "127.0.0.1:1", ["site-00", "site-01"])
    return folder


@pytest.fixture
def ssh(tmp_path, monkeypatch):
    """Put the stand-in on the PATH and return where it notes its arguments."""
    (tmp_path / "bin").mkdir()
    file = tmp_path / "bin" / "ssh"
    file.write_text(SSH)
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{file.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SSH_NOTES", str(tmp_path / "notes"))
    return tmp_path / "notes"


def stays(name):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return Program(name, (sys.executable, "-c", STAYS), environment)


def pids_with(text):
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if text.encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return [pid for pid in found if pid != os.getpid()]


def wait_until(is_so, limit_s=90.0):
    end = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.1)


def hosts_of(**changes):
    site = {"host": "me@gpu1", "folder": "/srv/my kits", "data": "/mnt/cxr's", **changes}
    server = {"host": "fl.example.org", "folder": "/srv/fedcxr", "python": "/opt/env/bin/python"}
    return HostsConfig.model_validate({"server": server, "sites": {"site-00": site}})


def test_programs_run_until_interrupted_and_none_is_left(monkeypatch):
    seen, asked = [], threading.Event()

    def interrupted():
        if len([line for _, line in seen if line == "up"]) == 3:
            asked.set()
            raise KeyboardInterrupt

    monkeypatch.setattr(launch, "raise_if_interrupted", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_together([stays(n) for n in ("server", "a", "b")], lambda *one: seen.append(one))
    assert asked.is_set()
    assert pids_with("end_with_parent()\nprint") == []


def test_when_the_server_ends_the_clients_are_ended():
    seen = []
    server = Program("server", (sys.executable, "-c", "import sys; print('no'); sys.exit(5)"))
    with pytest.raises(NetworkError, match=r"The server ended by itself \(code 5\)"):
        run_together([server, stays("a")], lambda *one: seen.append(one))
    assert ("server", "ended (code 5)") in seen
    assert pids_with("end_with_parent()\nprint") == []


def test_when_no_client_is_left_the_server_is_ended():
    client = Program("a", (sys.executable, "-c", "raise SystemExit(3)"))
    with pytest.raises(NetworkError, match="All clients have ended"):
        run_together([stays("server"), client], lambda *one: None)
    assert pids_with("end_with_parent()\nprint") == []


def test_a_program_that_is_not_there_ends_those_that_were_started():
    nothing = Program("a", ("no-such-program-here",))
    with pytest.raises(ConfigError, match="no-such-program-here: cannot be started"):
        run_together([stays("server"), nothing], lambda *one: None)
    assert pids_with("end_with_parent()\nprint") == []


def test_local_wants_a_kit_and_data_for_every_site(deployment, tmp_path):
    (tmp_path / "site-00").mkdir()
    with pytest.raises(ConfigError, match=r"not here: .*/site-01\. Every site"):
        local_programs(deployment, tmp_path)
    (tmp_path / "site-01").mkdir()
    programs = local_programs(deployment, tmp_path)
    assert [one.name for one in programs] == ["server", "site-00", "site-01"]
    words = programs[1].command
    assert words[words.index("--data") + 1] == str(tmp_path / "site-00")
    assert "--gpu" not in words


def test_each_machine_is_reached_by_ssh_that_asks_nothing_and_trusts_no_strange_host(ssh):
    server, site = remote_programs(hosts_of(gpu=1, image_size=64))
    assert server.command[-2:] == (
        "fl.example.org",
        "cd /srv/fedcxr && exec /opt/env/bin/python -P -m fedcxr.cli.tethered server start "
        "--kit /srv/fedcxr/server",
    )
    assert site.command[-1] == (
        "cd '/srv/my kits' && exec python3 -P -m fedcxr.cli.tethered client start --kit "
        "'/srv/my kits/site-00' --data '/mnt/cxr'\"'\"'s' --wait 120 --gpu 1 --image-size 64"
    )
    for option in ("BatchMode=yes", "StrictHostKeyChecking=yes", "ConnectTimeout=10"):
        assert option in site.command
    # ssh takes what follows -- for a host, whatever it begins with
    assert site.command[-3] == "--"


def test_what_runs_at_the_far_end_of_an_ssh_ends_with_it(ssh, tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/bash\nPYTHONPATH={ROOT} exec {sys.executable} -c "{STAYS}"\n')
    python.write_text(python.read_text().replace('print("up"', "print('up'"))
    python.chmod(0o755)
    config = hosts_of(folder=str(tmp_path), python=str(python)).model_copy(update={"server": None})
    seen = []

    def interrupted():
        if ("site-00", "up") in seen:
            raise KeyboardInterrupt

    monkeypatch.setattr(launch, "raise_if_interrupted", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_together(remote_programs(config), lambda *one: seen.append(one))
    assert "me@gpu1" in ssh.read_text().splitlines()
    assert pids_with("end_with_parent()\nprint('up'") == []


def test_a_kit_is_copied_where_asked_and_never_over_another(ssh, deployment, tmp_path):
    there = tmp_path / "far away" / "kits"
    hosts = hosts_of(folder=str(there), copy_kit=True)
    said = []
    copy_kits(hosts, deployment, lambda *one: said.append(one))
    assert said == [("site-00", "kit copied to me@gpu1")]  # the server's was not asked for
    assert (there / "site-00").stat().st_mode & 0o077 == 0
    copied = there / "site-00" / "node.key"
    assert copied.read_bytes() == (deployment / "site-00" / "node.key").read_bytes()
    assert [path.name for path in there.iterdir()] == ["site-00"]
    copied.write_bytes(b"mine")
    copy_kits(hosts, deployment, lambda *one: said.append(one))
    assert said[-1] == ("site-00", "kit is there, left as it is")
    assert copied.read_bytes() == b"mine"
    with pytest.raises(ConfigError, match="--deploy does not say where it is"):
        copy_kits(hosts, None, lambda *one: None)
    (tmp_path / "file").write_text("")
    unwritable = hosts_of(folder=str(tmp_path / "file" / "x"), copy_kit=True)
    with pytest.raises(NetworkError, match=r"kit of site-00 could not be copied \(code 1\): mkdir"):
        copy_kits(unwritable, deployment, lambda *one: None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sites: {}", "sites: Dictionary should have at least 1"),
        (
            "sites: {a: {host: -oProxyCommand=x, folder: /a, data: /b}}",
            "sites.a.host: .* is no host",
        ),
        ("sites: {a: {host: h, folder: a, data: /b}}", "sites.a.folder: 'a' is no absolute path"),
        ("sites: {a: {host: h, folder: /a, data: /b, gpus: 1}}", "sites.a.gpus: Extra inputs"),
        ("sites: {server: {host: h, folder: /a, data: /b}}", "cannot name a site"),
    ],
)
def test_a_file_of_hosts_that_is_wrong_is_told_by_its_key(text, words, tmp_path):
    (tmp_path / "hosts.yaml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_hosts(tmp_path / "hosts.yaml")


def test_batch_scripts_are_written_and_say_what_they_say(deployment, tmp_path):
    out, note = tmp_path / "jobs", tmp_path / "note"
    done = CliRunner().invoke(
        cli,
        ["launch", "--slurm", str(out), "--deploy", str(deployment), "--data", "my data", "--gpu"],
    )
    assert done.exit_code == 0, done.output
    assert f"sbatch {out}/server.sbatch\nsbatch {out}/clients.sbatch\n" in done.output
    text = (out / "clients.sbatch").read_text()
    assert "#SBATCH --array=0-1\n" in text
    assert "#SBATCH --gpus=1\n" in text
    assert "#SBATCH --nodelist=127.0.0.1\n" in (out / "server.sbatch").read_text()
    # as Slurm would run it, with a Python that notes its arguments
    fake = tmp_path / "python"
    fake.write_text(f'#!/bin/bash\nprintf "%s\\n" "$@" > {note}\n')
    fake.chmod(0o755)
    script = tmp_path / "clients.sbatch"
    script.write_text(text.replace(sys.executable, str(fake)))
    environment = {**os.environ, "SLURM_ARRAY_TASK_ID": "1"}
    subprocess.run(["bash", script], check=True, env=environment, timeout=30)
    words = note.read_text().splitlines()
    assert words[words.index("--kit") + 1] == str(deployment / "site-01")
    assert words[words.index("--data") + 1] == str(Path("my data").absolute() / "site-01")
    assert words[-2:] == ["--gpu", "0"]
    with pytest.raises(ConfigError, match="without blanks, quotes"):
        write_batch_scripts(tmp_path / "a b", deployment, tmp_path)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "Give one of --local"),
        (["--local", "--slurm", "x"], "Give one of --local"),
        (["--local", "--deploy", "x"], "need --deploy and --data"),
        (["--hosts", "x", "--data", "y"], "each machine's own is said in its file"),
        (["--local", "--deploy", "x", "--data", "y", "--gpu"], "--gpu is of --slurm"),
    ],
)
def test_what_does_not_go_together_is_told(words, why):
    done = CliRunner().invoke(cli, ["launch", *words])
    assert isinstance(done.exception, ConfigError)
    assert why in str(done.exception)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_whole_deployment_starts_with_one_command_and_is_gone_after_it(how, tmp_path):
    free = subprocess.run(
        [sys.executable, "-c", "from fedcxr.deploy.child import free_port; print(free_port())"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout.strip()
    new_deployment(tmp_path / "deploy", f"127.0.0.1:{free}", ["site-00", "site-01"])
    source = subprocess.run(
        [sys.executable, "-c", MAKE_DATA, str(tmp_path / "data")], cwd=ROOT, timeout=120
    )
    assert source.returncode == 0
    environment = {**os.environ, "FEDCXR_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "fedcxr", "launch", "--local"]
    command += ["--deploy", str(tmp_path / "deploy"), "--data", str(tmp_path / "data")]
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=environment, cwd=tmp_path)

    def all_connected():
        text = (tmp_path / "said").read_text()
        assert process.poll() is None, text
        return all(f"server | site-0{n}: connected" in text for n in range(2))

    try:
        wait_until(all_connected, 240.0)
        process.send_signal(how)
        code = process.wait(60)
    finally:
        process.kill()
    assert code == (130 if how == signal.SIGINT else -signal.SIGKILL)
    wait_until(lambda: pids_with(str(tmp_path)) == [], 60.0)
    text = (tmp_path / "said").read_text()
    assert "site-00 | site-00: connected since " in text
    shutil.rmtree(tmp_path / "home", ignore_errors=True)


MAKE_DATA = """
import sys
from pathlib import Path
from fedcxr.data.synthetic.write import write_synthetic
for number, layout in enumerate(("chexpert", "nih14")):
    folder = Path(sys.argv[1]) / f"site-{number:02d}"
    write_synthetic(folder, patients=30, size_px=64, layout=layout, seed=number)
"""
