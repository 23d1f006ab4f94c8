"""Stock Flower in its simulation runtime (Ray), one client a core.

    python benchmarks/vs/flower/run.py --workload DIR --json FILE
    python benchmarks/vs/flower/run.py --echo 10 --rounds 3 --json FILE

with the repository's root as PYTHONPATH. Writes the figures to FILE and prints them as one line.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.simulation import run_simulation

from benchmarks.vs.flower import client_app, echo_client, server_app
from benchmarks.vs.plain_torch import load_workload


def main() -> None:
    """Run what the command line asks for."""
    begun = time.perf_counter()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    work = parser.add_mutually_exclusive_group(required=True)
    work.add_argument("--workload", type=Path, help="A folder of benchmarks.vs.workload.")
    work.add_argument("--echo", type=int, help="Clients that send 28 MB back.")
    parser.add_argument("--rounds", type=int, default=3, help="Of --echo.")
    parser.add_argument("--cpus-per-client", type=int, default=1)
    parser.add_argument("--json", type=Path, required=True)
    args = parser.parse_args()
    found: dict[str, Any] = {}
    if args.workload:
        workload = load_workload(args.workload.absolute())
        os.environ["WORKLOAD"] = workload["folder"]  # Ray's workers inherit it
        server = server_app.training_server(workload, found)
        simulate(server, client_app.app, workload["clients"], args.cpus_per_client)
    else:
        server = server_app.echo_server(args.rounds, found)
        simulate(server, echo_client.app, args.echo, args.cpus_per_client)
    found["wall_s"] = time.perf_counter() - begun
    text = json.dumps(found)
    args.json.write_text(text + "\n", encoding="utf-8")
    print(text, flush=True)


def simulate(server: ServerApp, client: ClientApp, num_clients: int, cpus: int) -> None:
    """Run the apps; Ray runs as many clients at once as there are cores for."""
    config = {
        "client_resources": {"num_cpus": cpus, "num_gpus": 0.0},
        # or it would join a cluster that happens to run on this machine
        "init_args": {"address": "local"},
    }
    run_simulation(server, client, num_clients, backend_config=config)


if __name__ == "__main__":
    main()
