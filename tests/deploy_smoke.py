"""Two rounds over one SuperLink and three SuperNodes as real processes on loopback.

Run with `make deploy-smoke`. Each site has a folder of its own and nothing else; the server has
its plan, val and test. Ends with an error unless the run folder is whole. Everything lies in a
temporary folder, and every process is ended, whatever happens.
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

SITES = 3
ROUNDS = 2
LIMIT_S = 600
PROJECT = Path(__file__).resolve().parent.parent
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
    environment = {
        **os.environ,
        "FEDCXR_HOME": str(folder / "home"),
        "FLWR_HOME": str(folder / "flwr"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    os.environ.update(environment)
    start = time.monotonic()
    try:
        make_folders(folder)
        with processes(folder, environment) as port:
            run_app(folder, environment, port)
        check(folder, time.monotonic() - start)
    except (subprocess.SubprocessError, AssertionError, OSError):
        for log in sorted(folder.glob("*.log")):
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}", file=sys.stderr)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_folders(folder: Path) -> None:
    """Make a data set, partition it, and give every machine its own folder."""
    root = write_synthetic(folder / "source", patients=120, size_px=64)
    config = load_config(overrides={"data.root": str(root), "partition.clients": SITES})
    ready = prepare(config)
    dataset, key = read_dataset(root, views="frontal"), load_key()
    for site in ready.plan.sites:
        export_site(ready.plan, site.site_id, dataset, key, folder / "sites" / site.site_id)
    export_global(ready.plan, dataset, key, folder / "server")
    shutil.rmtree(folder / "source")  # from here on nobody can look at another's data


@contextlib.contextmanager
def processes(folder: Path, environment: dict[str, str]) -> Iterator[int]:
    """Start the SuperLink and the SuperNodes; end them, with their children, at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, *command: str) -> None:
        with (folder / f"{name}.log").open("wb") as log:
            started.append(
                subprocess.Popen(
                    command,
                    env=environment,
                    cwd=folder,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    port = free_port()
    try:
        start(
            "superlink",
            "flower-superlink",
            "--insecure",
            "--port",
            str(port),
            "--disable-runtime-dependency-installation",
        )
        wait_for_port(port)
        for site in sorted((folder / "sites").iterdir()):
            start(
                site.name,
                "flower-supernode",
                "--insecure",
                "--superlink",
                f"127.0.0.1:{port}",
                "--port",
                str(free_port()),
                "--node-config",
                f'site-dir="{site}"',
            )
        yield port
    finally:
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in started:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def run_app(folder: Path, environment: dict[str, str], port: int) -> None:
    """Submit the app to the SuperLink and wait for its end."""
    home = folder / "flwr"
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "smoke"\n[superlink.smoke]\naddress = "127.0.0.1:{port}"\n'
        "insecure = true\n"
    )
    settings = f"server.rounds={ROUNDS} runs_dir={folder / 'runs'} name=deployed"
    command = [
        "flwr",
        "run",
        str(PROJECT),
        "smoke",
        "--stream",
        "--run-config",
        f'set="{settings}" global-dir="{folder / "server"}"',
    ]
    with (folder / "run.log").open("wb") as log:
        subprocess.run(
            command,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=True,
            timeout=LIMIT_S,
        )


def check(folder: Path, seconds: float) -> None:
    """Raise AssertionError unless the run folder is that of a whole run over all sites."""
    runs = list((folder / "runs").iterdir())
    assert len(runs) == 1, f"expected one run folder, found {runs}"
    missing = [name for name in FILES if not (runs[0] / name).is_file()]
    assert not missing, f"the run folder lacks {missing}"
    manifest = json.loads((runs[0] / "manifest.json").read_text())
    assert manifest["status"] == "finished", manifest
    lines = [json.loads(line) for line in (runs[0] / "rounds.jsonl").read_text().splitlines()]
    for line in lines[1:]:
        assert len(line["sites"]) == SITES, line
    summary = json.loads((runs[0] / "summary.json").read_text())
    told = (runs[0] / "report.html").read_text() + json.dumps(lines) + json.dumps(summary)
    assert not re.search(r"patient[0-9]", told), "a patient's number is in the run folder"
    print(
        f"{SITES} SuperNodes, {len(lines) - 1} rounds, macro AUROC {summary['macro_auroc']:.3f}, "
        f"{seconds:.0f} s; run folder whole, no process left"
    )


def free_port() -> int:
    """Return a port of the loopback interface that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, limit_s: float = 60.0) -> None:
    """Wait until something listens on the port."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.2)
    raise TimeoutError(f"nothing listens on port {port} after {limit_s:g} s")


if __name__ == "__main__":
    main()
