"""NVIDIA FLARE's FedAvg over the work, through its Job API and simulator.

The controller is the library's own; it is extended at `save_model`, which it calls at the end of a
round, so that the server judges the global model on val.csv there, as the other arms do.
"""

import json
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.workflows.fedavg import FedAvg
from nvflare.app_opt.pt.job_config.model import PTModel
from nvflare.job_config.api import FedJob
from nvflare.job_config.script_runner import ScriptRunner

from benchmarks.vs import bounded, plain_torch

MOST_PROCESSES = 8
"""Clients that the simulator holds at once, a process each; README.md says why so many."""


class JudgedFedAvg(FedAvg):  # type: ignore[misc]
    """FedAvg whose server scores the global model on val.csv after every round."""

    def __init__(self, *args: object, workload_dir: str, out: str, **kwargs: object) -> None:
        # By these names, args and kwargs, FLARE knows that it must ask FedAvg for the others.
        super().__init__(*args, **kwargs)
        self.workload_dir = workload_dir
        self.out = out

    def run(self) -> None:
        """Note when the first round begins, and run the rounds."""
        self._note({})
        super().run()

    def save_model(self, model: FLModel) -> None:
        """Save the global model as FedAvg does, then judge it."""
        super().save_model(model)
        torch.set_num_threads(len(os.sched_getaffinity(0)))  # no client works meanwhile
        workload = plain_torch.load_workload(self.workload_dir)
        network = plain_torch.model(workload)
        network.load_state_dict(
            {name: torch.as_tensor(np.asarray(value)) for name, value in model.params.items()}
        )
        self._note({"val_macro_auroc": plain_torch.evaluate(network, workload, "val.csv")})

    def _note(self, figures: dict[str, float]) -> None:
        with (Path(self.out) / "rounds.jsonl").open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"at_s": time.time(), **figures}) + "\n")


def run(workload: dict[str, Any], out: Path) -> dict[str, Any]:
    """Run the job; return what it took and reached."""
    sites = [f"site-{number:02d}" for number in range(workload["clients"])]
    torch.save(plain_torch.initial_state(workload), out / "initial.pt")
    (out / "images").mkdir()
    code = fedavg_job(workload, out).simulator_run(
        str(out / "simulator"),
        clients=sites,
        threads=min(len(sites), MOST_PROCESSES),
        log_config="concise",
    )
    if code:
        raise bounded.PeerError(f"the simulator ended with code {code}.")
    return {
        "round_s": round_seconds(out / "rounds.jsonl"),
        "images": sum(int(file.read_text()) for file in (out / "images").iterdir()),
        "test_macro_auroc": test_score(workload, out),
    }


def fedavg_job(workload: dict[str, Any], out: Path) -> FedJob:
    """Return the job: controller and model on the server, the training script on every client."""
    job = FedJob(name="work", min_clients=workload["clients"])
    controller = JudgedFedAvg(
        workload_dir=workload["folder"],
        out=str(out),
        num_clients=workload["clients"],
        num_rounds=workload["rounds"],
    )
    job.to_server(controller)
    network = {"path": "benchmarks.vs.plain_torch.model", "args": {"workload": workload}}
    job.to_server(PTModel(network, initial_ckpt=str(out / "initial.pt")))
    script = Path(__file__).with_name("client.py")
    job.to_clients(ScriptRunner(str(script), script_args=f"{workload['folder']} {out}"))
    return job


def round_seconds(lines: Path) -> list[float]:
    """Return how long each round took, its evaluation included."""
    at_s = [json.loads(line)["at_s"] for line in lines.read_text(encoding="utf-8").splitlines()]
    return [end - begun for begun, end in pairwise(at_s)]


def test_score(workload: dict[str, Any], out: Path) -> float:
    """Return the macro AUROC on test.csv of the model that the server saved last."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    saved = next((out / "simulator").rglob("FL_global_model.pt"))
    network = plain_torch.model(workload)
    network.load_state_dict(torch.load(saved, weights_only=True)["model"])
    return plain_torch.evaluate(network, workload, "test.csv")
