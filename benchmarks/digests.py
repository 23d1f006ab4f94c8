"""One result for any number of workers: the sha256 of the final weights, run after run.

The same federation with 1, 2 and 4 workers, once more with 2, and in the long form on Ray: each in
processes of its own. The long form does it for densenet121, too.

FedAvg, FedAdam and SCAFFOLD: the last two keep vectors at the server and at the sites.

    python -m benchmarks.digests [--short]
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.federations import run_federation
from benchmarks.result import Result, Row, Table, run_as_command

CLIENTS = 5
SMALL_RUN = {"server.rounds": 2, "data.synthetic.patients": 120, "train.local_epochs": 2}
BIG_RUN = {
    "model.name": "densenet121",
    "model.image_size": 64,
    "data.synthetic.size_px": 64,
    "data.synthetic.patients": 120,
    "server.rounds": 1,
}
ALGORITHMS: Mapping[str, Mapping[str, object]] = {
    "fedadam": {"algorithm.name": "fedadam"},
    "scaffold": {
        "algorithm.name": "scaffold",
        "train.optimizer": "sgd",
        "train.momentum": 0.0,
        "train.learning_rate": 0.05,
    },
}
"""Beside FedAvg: the server's state, and the sites'."""
ARMS: Mapping[str, Mapping[str, object]] = {
    "1 worker": {"engine.workers": 1},
    "2 workers": {"engine.workers": 2},
    "4 workers": {"engine.workers": 4},
    "2 workers, a second run": {"engine.workers": 2},
}
RAY = {"Ray": {"engine.kind": "ray", "engine.workers": 2}}
LONGEST_S = 300.0


def digests(short: bool) -> Result:
    """Return the digests of the final weights."""
    federations: dict[str, dict[str, object]] = {"densenet_small, 32 px, 2 rounds": {**SMALL_RUN}}
    for name, settings in ALGORITHMS.items():
        federations[f"densenet_small, 32 px, 2 rounds, {name}"] = {**SMALL_RUN, **settings}
    if not short:
        federations["densenet121, 64 px, 1 round"] = {**BIG_RUN}
    arms = {**ARMS, **({} if short else RAY)}
    found: dict[str, dict[str, str]] = {}
    precision = {}
    with tempfile.TemporaryDirectory(prefix="fedcxr-digests-") as folder:
        for what, settings in federations.items():
            found[what] = {}
            for arm, machinery in arms.items():
                whole = {"partition.clients": CLIENTS, **settings, **machinery}
                ended = run_federation(Path(folder), whole, timeout_s=LONGEST_S)
                found[what][arm] = str(ended.rounds[-1]["parameters_sha256"])
                precision[what] = ended.manifest["precision"]
    return Result(
        name="digests",
        title="The same bits for any number of workers",
        command="python -m benchmarks.digests",
        short=short,
        rows=[row(what, by_arm) for what, by_arm in found.items()],
        tables=[
            Table(
                "The sha256 of the final weights begins with",
                ["federation", *arms],
                [[what, *(digest[:12] for digest in by.values())] for what, by in found.items()],
            )
        ],
        notes=[
            f"{CLIENTS} sites; each run in processes of its own. Precision: "
            + "; ".join(f"{what}: {pair['dtype']}" for what, pair in precision.items())
            + ". Another number of threads a client changes the last bits; it is the same here."
        ],
        figures={"sha256": found, "precision": precision},
    )


def row(what: str, by_arm: Mapping[str, str]) -> Row:
    """Return whether one federation gave one digest."""
    different = len(set(by_arm.values()))
    counted = f"{different} in {len(by_arm)} runs"
    return Row(f"sha256 of the final weights, {what}", "one sha256", counted, different == 1)


if __name__ == "__main__":
    run_as_command(digests, __doc__)
