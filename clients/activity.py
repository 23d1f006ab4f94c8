"""What a real site's client is doing now, in a file for who sits at the site.

The node config's `activity` names it; a simulation has none. It is a note and no more: where it
cannot be written the order is carried out all the same.
"""

import json
import logging
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path

from flwr.app import Context, Message

from fedcxr.atomic import write_text_atomically
from fedcxr.errors import FedCxrError
from fedcxr.wire import unpack_order

IDLE = ""

Handler = Callable[[Message, Context], Message]
_log = logging.getLogger(__name__)


def noted(doing: str, handler: Handler) -> Handler:
    """Return the handler of one kind of order, noted while it works.

    Args:
        doing: what it does, as the status line says it.
        handler: raises nothing.
    """

    @wraps(handler)
    def carry_out(message: Message, context: Context) -> Message:
        place = context.node_config.get("activity")
        if not isinstance(place, str) or not place:
            return handler(message, context)
        _note(Path(place), doing, message)
        try:
            return handler(message, context)
        finally:
            _note(Path(place), IDLE, message)

    return carry_out


def _note(file: Path, doing: str, message: Message) -> None:
    try:
        order = unpack_order(message)
        note = {"run": order.run, "round": order.round_num, "doing": doing, "since": time.time()}
        write_text_atomically(file, json.dumps(note) + "\n", mode=0o600)
    except (FedCxrError, OSError) as err:
        _log.warning("what the client does cannot be noted: %s", err)
