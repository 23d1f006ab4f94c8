"""The ClientApp of a real site in its resident trainer: the installed one, at this site's place."""

import json
from dataclasses import replace

from flwr.app import Context, Message, UserConfig
from flwr.clientapp import ClientApp

from clients.app import app
from fedcxr.deploy.orphans import log_to_stderr
from fedcxr.interrupts import end_when_orphaned


class SiteApp(ClientApp):
    """The installed app with a site's own node config in place of a simulated node's."""

    def __init__(self, node_config: UserConfig) -> None:
        super().__init__()
        self._node_config = node_config

    def __call__(self, message: Message, context: Context) -> Message:
        """Return the reply to an order."""
        return app(message, replace(context, node_config=self._node_config))


def resident_app(node_config: str) -> ClientApp:
    """Return the app; the process ends with the one that forked it, and logs to its output.

    Args:
        node_config: of the site's SuperNode, as JSON: the site's own word on where its data are.
    """
    end_when_orphaned()
    log_to_stderr("fedcxr", "clients")
    return SiteApp(UserConfig(json.loads(node_config)))
