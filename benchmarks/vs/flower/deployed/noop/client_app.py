"""A client that sends back what it got, and imports PyTorch as every PyTorch client does."""

import torch
from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Send the arrays back."""
    metrics = MetricRecord({"num-examples": 1, "threads": torch.get_num_threads()})
    content = RecordDict({"arrays": message.content["arrays"], "metrics": metrics})
    return Message(content=content, reply_to=message)
