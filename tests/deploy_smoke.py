"""Two rounds over a server and three sites as real processes on loopback, from start-up kits.

Run with `make deploy-smoke`. TLS and the nodes' keys are on, as always. Each site has a folder of
its own and nothing else; the server has its plan, val and test. A fourth node with a key of its own
says that it is site-00, and a fifth has been revoked. Ends with an error unless the run folder is
whole, both are refused, and no process is left. Everything lies in a temporary folder, and every
process is ended, whatever happens.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from fedcxr.config.load import load_config
from fedcxr.data.read import read_dataset
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.data.tokens import load_key
from partitions.export import export_global, export_site
from partitions.prepare import prepare

SITES = ("site-00", "site-01", "site-02")
IMPOSTOR, REVOKED = "impostor", "revoked"
ROUNDS = 2
LIMIT_S = 600
END_S = 30
FEDCXR = (sys.executable, "-m", "fedcxr")
FILES = (
    "manifest.json",
    "config.yaml",
    "rounds.jsonl",
    "predictions.npz",
    "summary.json",
    "report.html",
    "partition/plan.json",
)


def main() -> None:
    """Run it and print what came of it."""
    folder = Path(tempfile.mkdtemp(prefix="fedcxr-deploy-"))
    os.environ["FEDCXR_HOME"] = str(folder / "home")
    os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
    start = time.monotonic()
    try:
        tried = fedcxr("deploy", "selftest")
        assert "✗" not in tried, tried
        make_folders(folder)
        make_kits(folder)
        with processes(folder):
            check_refused(folder)
            run_app(folder)
        check_gone(folder)
        check(folder, time.monotonic() - start)
    except (subprocess.SubprocessError, AssertionError, OSError):
        for log in [*sorted(folder.glob("*.log")), *sorted(folder.glob("home/logs/*.log"))]:
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}", file=sys.stderr)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_folders(folder: Path) -> None:
    """Make a data set, simulate over its partition, and give every machine its own folder."""
    root = write_synthetic(folder / "source", patients=120, size_px=64)
    config = load_config(overrides={"data.root": str(root), "partition.clients": len(SITES)})
    ready = prepare(config)
    dataset, key = read_dataset(root, views="frontal"), load_key()
    for site in ready.plan.sites:
        export_site(ready.plan, site.site_id, dataset, key, folder / "sites" / site.site_id)
    export_global(ready.plan, dataset, key, folder / "server")
    fedcxr(
        *("simulate", "--data", root, "--partition", ready.plan.folder, "--rounds", ROUNDS),
        *("--threads-per-client", 1, "--runs-dir", folder / "simulated"),
    )
    shutil.rmtree(folder / "source")  # from here on nobody can look at another's data


def make_kits(folder: Path) -> None:
    """Make the kits of all sites and of two that do not belong."""
    kits = folder / "kits"
    names = ",".join((*SITES, IMPOSTOR, REVOKED))
    fedcxr("provision", "--sites", names, "--server", f"127.0.0.1:{free_port()}", "--out", kits)
    fedcxr("provision", "--revoke", REVOKED, "--out", kits)
    said = kits / IMPOSTOR / "kit.yaml"
    said.write_text(said.read_text().replace(f"site: {IMPOSTOR}", f"site: {SITES[0]}"))
    shutil.copytree(folder / "sites" / SITES[0], folder / "sites" / IMPOSTOR)
    for name in ("server", *SITES):
        fedcxr("kit", "check", kits / name)


@contextlib.contextmanager
def processes(folder: Path) -> Iterator[None]:
    """Start the server and the clients; end them at the end and see how they end."""
    started: dict[str, subprocess.Popen[bytes]] = {}

    def start(name: str, *words: object) -> None:
        with (folder / f"{name}.log").open("wb") as log:
            started[name] = subprocess.Popen(
                [*FEDCXR, *map(str, words)], cwd=folder, stdout=log, stderr=subprocess.STDOUT
            )

    try:
        start("server", "server", "start", "--kit", folder / "kits" / "server")
        wait_for_port(port_of(folder))
        for name in (*SITES, IMPOSTOR):
            kit, data = folder / "kits" / name, folder / "sites" / name
            start(name, "client", "start", "--kit", kit, "--data", data, "--wait", 90)
        for name in (*SITES, IMPOSTOR):
            wait_for_line(folder / "server.log", f"{name}: connected")
        yield
        codes = ended(started)
        assert set(codes.values()) == {130}, codes
    finally:
        for process in started.values():
            process.kill()


def ended(started: dict[str, "subprocess.Popen[bytes]"]) -> dict[str, int]:
    """Ask all to end, clients first, and return how they did."""
    for process in reversed(started.values()):
        process.send_signal(signal.SIGTERM)
    return {name: process.wait(END_S) for name, process in started.items()}


def check_refused(folder: Path) -> None:
    """Raise AssertionError unless a revoked kit, and whoever speaks no TLS, is refused."""
    words = ["client", "start", "--kit", folder / "kits" / REVOKED, "--data"]
    done = subprocess.run(
        [*FEDCXR, *map(str, [*words, folder / "sites" / SITES[0]])],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 5, done
    assert "was revoked" in done.stderr, done
    with socket.create_connection(("127.0.0.1", port_of(folder)), 5) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nhost: server\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert not plain.recv(100).startswith(b"HTTP"), "the server answers without TLS"


def run_app(folder: Path) -> None:
    """Start a run at the server and wait for its end."""
    done = fedcxr(
        *("run", "--kit", folder / "kits" / "server", "--data", folder / "server"),
        *("--rounds", ROUNDS, "--name", "deployed", "--runs-dir", folder / "runs"),
    )
    assert "Global macro AUROC" in done, done


def check_gone(folder: Path) -> None:
    """Raise AssertionError unless every process that was started here is gone."""
    end = time.monotonic() + END_S
    while left := processes_of(folder):
        assert time.monotonic() < end, f"these processes are left: {left}"
        time.sleep(0.5)


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of all processes, but this one, that know of a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (process / "cmdline").read_bytes()
            known = line + (process / "environ").read_bytes()
            if process.name != str(os.getpid()) and str(folder).encode() in known:
                found.append(line.replace(b"\0", b" ").decode())
    return found


def check(folder: Path, seconds: float) -> None:
    """Raise AssertionError unless the run folder is that of a whole run over all sites."""
    simulated = list((folder / "simulated").iterdir())
    runs = list((folder / "runs").glob("*-deployed"))
    assert len(runs) == 1, f"expected one run folder, found {runs}"
    missing = [name for name in FILES if not (runs[0] / name).is_file()]
    assert not missing, f"the run folder lacks {missing}"
    text = (runs[0] / "manifest.json").read_text()
    manifest = json.loads(text)
    assert manifest["status"] == "finished", manifest
    assert "--token" not in text, "a secret of the run is in its manifest"
    changes = [change["what"] for change in manifest.get("site_changes", [])]
    assert any("another key" in what for what in changes), changes
    lines = [json.loads(line) for line in (runs[0] / "rounds.jsonl").read_text().splitlines()]
    for line in lines[1:]:
        assert len(line["sites"]) == len(SITES), line
    summary = json.loads((runs[0] / "summary.json").read_text())
    expected = json.loads((simulated[0] / "summary.json").read_text())["parameters_sha256"]
    assert summary["parameters_sha256"] == expected, "other weights than those of the simulation"
    told = (runs[0] / "report.html").read_text() + json.dumps(lines) + json.dumps(summary)
    assert not re.search(r"patient[0-9]", told), "a patient's number is in the run folder"
    print(
        f"{len(SITES)} sites over TLS with keys, {len(lines) - 1} rounds, macro AUROC "
        f"{summary['macro_auroc']:.3f}, {seconds:.0f} s; an impostor, a revoked key and a caller "
        "without TLS refused; weights as in a simulation to the bit; run folder whole, no process "
        "left"
    )


def fedcxr(*words: object) -> str:
    """Run a verb of the command line and return what it printed."""
    done = subprocess.run(
        [*FEDCXR, *map(str, words)], capture_output=True, text=True, timeout=LIMIT_S
    )
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


def free_port() -> int:
    """Return a port of the loopback interface that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_of(folder: Path) -> int:
    """Return the port of the server's kit."""
    kit = (folder / "kits" / "server" / "kit.yaml").read_text()
    return int(kit.split("address: 127.0.0.1:")[1].split()[0])


def wait_for_port(port: int, limit_s: float = 120.0) -> None:
    """Wait until something listens at a port of the loopback interface."""
    end = time.monotonic() + limit_s
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
            return
        if time.monotonic() > end:
            raise TimeoutError(f"nothing listens at port {port} after {limit_s:g} s")
        time.sleep(0.2)


def wait_for_line(log: Path, line: str, limit_s: float = 120.0) -> None:
    """Wait until a process has printed a line."""
    end = time.monotonic() + limit_s
    while line not in log.read_text():
        if time.monotonic() > end:
            raise TimeoutError(f"{log.name} has no line {line!r} after {limit_s:g} s")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
