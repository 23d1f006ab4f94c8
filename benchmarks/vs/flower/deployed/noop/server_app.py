"""The server of Flower's PyTorch quickstart, without judging the model; writes its rounds' ends."""

import json
import time
from pathlib import Path

from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from torchvision.models import densenet121

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds over three clients."""
    ends: list[float] = []
    FedAvg(fraction_evaluate=0.0, min_train_nodes=3, min_available_nodes=3).start(
        grid=grid,
        initial_arrays=ArrayRecord(densenet121(num_classes=14).state_dict()),
        num_rounds=int(context.run_config["rounds"]),
        evaluate_fn=lambda server_round, arrays: ends.append(time.perf_counter()),
    )
    Path(str(context.run_config["file"])).write_text(json.dumps(ends), encoding="utf-8")
