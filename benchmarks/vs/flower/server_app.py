"""The server of Flower's PyTorch quickstart: FedAvg, and the global model judged every round."""

import time
from itertools import pairwise
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from benchmarks.vs import plain_torch

DENSENET121 = {"model": "densenet121", "labels": list(range(14))}
"""28 MB in 727 arrays."""


def training_server(workload: dict[str, Any], found: dict[str, Any]) -> ServerApp:
    """Return the server of the work; `found` takes what it measures."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        ends = []

        def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
            score = macro_auroc(arrays, workload, "val.csv")
            ends.append(time.perf_counter())
            return MetricRecord({"macro-auroc": score})

        # No evaluation at the clients: no other arm has any.
        strategy = FedAvg(fraction_evaluate=0.0, train_metrics_aggr_fn=count)
        result = strategy.start(
            grid=grid,
            initial_arrays=ArrayRecord(plain_torch.initial_state(workload)),
            train_config=ConfigRecord({"lr": workload["learning_rate"]}),
            num_rounds=workload["rounds"],
            evaluate_fn=evaluate,
        )
        metrics = result.train_metrics_clientapp.values()
        found["round_s"] = [after - before for before, after in pairwise(ends)]
        found["images"] = workload["local_epochs"] * int(sum(m["images"] for m in metrics))
        found["threads"] = sorted({m["threads"] for m in metrics})
        found["test_macro_auroc"] = macro_auroc(result.arrays, workload, "test.csv")

    return app


def count(replies: list[RecordDict], weighted_by_key: str) -> MetricRecord:
    """Return the images of the clients that answered, and the threads that they computed with."""
    metrics = [reply["metrics"] for reply in replies]
    images = sum(m[weighted_by_key] for m in metrics)
    return MetricRecord({"images": images, "threads": max(m["threads"] for m in metrics)})


def macro_auroc(arrays: ArrayRecord, workload: dict[str, Any], csv_name: str) -> float:
    """Return the score of a global model."""
    model = plain_torch.model(workload)
    model.load_state_dict(arrays.to_torch_state_dict())
    return plain_torch.evaluate(model, workload, csv_name)


def echo_server(rounds: int, found: dict[str, Any]) -> ServerApp:
    """Return a server whose clients send the arrays back; `found` takes what it measures."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        ends = []
        FedAvg(fraction_evaluate=0.0).start(
            grid=grid,
            initial_arrays=ArrayRecord(plain_torch.model(DENSENET121).state_dict()),
            num_rounds=rounds,
            evaluate_fn=lambda server_round, arrays: ends.append(time.perf_counter()),
        )
        found["round_s"] = [after - before for before, after in pairwise(ends)]

    return app
