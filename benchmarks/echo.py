"""Clients that send back the parameters they get, through the real door with all its checks.

Importable by workers; `benchmarks/echo_server.py` drives them.
"""

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from clients.egress import site_reply
from fedcxr.wire import unpack_order, unpack_parameters


def echo_app() -> ClientApp:
    """Return an app whose sites train on nothing."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return site_reply(
            message,
            unpack_order(message),
            site_id=site_name(int(context.node_config["partition-id"])),
            numbers={"num-examples": 1, "train-loss": 0.0},
            parameters=unpack_parameters(message.content),
        )

    return app


def site_name(number: int) -> str:
    """Return the id of a site; they sort by number.

    >>> site_name(7)
    'site-0007'
    """
    return f"site-{number:04d}"
