"""The client of Flower's PyTorch quickstart, with this work's model and images.

As there, a message builds its model, its data set and its loader: nothing is kept between rounds.
"""

import os

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch.utils.data import DataLoader

from benchmarks.vs import plain_torch

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the global model on the images of one site."""
    workload = plain_torch.load_workload(os.environ["WORKLOAD"])
    model = plain_torch.model(workload)
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    sites = [name for name in workload["files"] if name.startswith("sites/")]
    images = plain_torch.Images(workload, sites[context.node_config["partition-id"]])
    loader = DataLoader(images, batch_size=workload["batch_size"], shuffle=True)
    learning_rate = message.content["config"]["lr"]
    loss = plain_torch.train(model, loader, learning_rate, workload["local_epochs"], device)
    metrics = {
        "train-loss": loss,
        "num-examples": len(images),
        "threads": torch.get_num_threads(),
    }
    content = RecordDict(
        {"arrays": ArrayRecord(model.state_dict()), "metrics": MetricRecord(metrics)}
    )
    return Message(content=content, reply_to=message)
