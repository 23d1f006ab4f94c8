"""A client that takes no step, but sends other weights than it got and than the others send."""

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Send the state dict back, with noise: Flower keeps equal arrays once, however many come."""
    torch.seed()  # or all processes would begin with the same noise
    state = message.content["arrays"].to_torch_state_dict()
    for tensor in state.values():
        if tensor.is_floating_point():
            tensor.add_(torch.randn_like(tensor), alpha=1e-6)
    metrics = MetricRecord({"num-examples": 1, "threads": torch.get_num_threads()})
    content = RecordDict({"arrays": ArrayRecord(state), "metrics": metrics})
    return Message(content=content, reply_to=message)
