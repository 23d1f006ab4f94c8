"""`flower-supernode` that runs the site's own installed code and no other.

Flower's SuperNode installs and imports whatever bundle the server's run comes with. Here a run with
another bundle than fedcxr's own (`bundle.py`: no code in it) is left alone before a byte of it is
stored: the site does not answer it, and its log says why. It also asks the server more often than
every 3 s, while orders come.

Run as a program, by `fedcxr client start`: it takes `flower-supernode`'s own arguments, and ends
with the process that started it.
"""

import gc
import hashlib
import logging
import sys
import time
from collections.abc import Callable

from flwr.proto.fab_pb2 import GetFabRequest, GetFabResponse
from flwr.proto.fleet_pb2 import PullMessagesRequest, PullMessagesResponse
from flwr.supercore.run import RunNotRunningException
from flwr.supernode.fleet_http_client import FleetHttpClient

from fedcxr.deploy.bundle import bundle_digest
from fedcxr.deploy.orphans import end_with_parent, log_to_stderr
from fedcxr.pace import Pace

FLOWERS_S = 3.0
"""How long Flower's SuperNode itself waits between two questions for a message."""
LEAST_S = 0.2

RETRY_S = 2
"""Longest pause between two tries to reach a server that is gone; Flower's own are ten times as
long, and a server that is started again would wait for its sites."""

_log = logging.getLogger("fedcxr.site")

GetFab = Callable[[FleetHttpClient, GetFabRequest], GetFabResponse]
PullMessages = Callable[[FleetHttpClient, PullMessagesRequest], PullMessagesResponse]


def pinned(get_fab: GetFab, digest: str) -> GetFab:
    """Return a `GetFab` that gives the bundle of one digest and leaves runs with others alone.

    Args:
        get_fab: Flower's own.
        digest: SHA-256 of the bundle that may be run.
    """

    def get_pinned(client: FleetHttpClient, request: GetFabRequest) -> GetFabResponse:
        response = get_fab(client, request)
        found = hashlib.sha256(response.fab.content).hexdigest()
        if found != digest:
            _log.error(
                "the server's run %d comes with code of its own (bundle %s); this site runs "
                "its installed fedcxr only, and does not answer it",
                request.run_id,
                found[:16],
            )
            raise RunNotRunningException  # which the SuperNode takes for a run that has ended
        return response

    return get_pinned


def prompt(pull: PullMessages) -> PullMessages:
    """Return a `PullMessages` that asks again by itself, the more often the sooner after an order.

    When nothing has come for a minute it leaves the waiting to Flower.
    """
    pace = Pace(LEAST_S, FLOWERS_S)
    has_answered = False

    def pull_promptly(
        client: FleetHttpClient, request: PullMessagesRequest
    ) -> PullMessagesResponse:
        nonlocal has_answered
        if has_answered:  # the order is done, and the next one may come soon
            pace.restart()
            # httpx's response and its stream refer to one another, so that the 28 MB of either
            # way would stay until Python looks for such cycles by itself: some 20 rounds.
            gc.collect()
        while True:
            response = pull(client, request)
            wait_s = pace.wait_s
            has_answered = bool(response.messages_list)
            if has_answered or wait_s >= FLOWERS_S:
                return response
            time.sleep(wait_s)

    return pull_promptly


def main() -> None:
    """Run the SuperNode."""
    end_with_parent()
    log_to_stderr()
    sys.argv[0] = "flower-supernode"
    # The only door through which a bundle comes.
    setattr(FleetHttpClient, "GetFab", pinned(FleetHttpClient.GetFab, bundle_digest()))  # noqa: B010  # mypy holds a method for fixed
    setattr(FleetHttpClient, "PullMessages", prompt(FleetHttpClient.PullMessages))  # noqa: B010
    from flwr.supercore.retry import http_retry
    from flwr.supernode.cli import flower_supernode

    setattr(http_retry, "MAX_RETRY_DELAY", RETRY_S)  # noqa: B010  # it is not in its __all__
    flower_supernode()


if __name__ == "__main__":
    main()
