"""A site's orders, taken from its SuperNode and answered by the resident trainer.

A SuperNode in Flower's isolation mode `process` starts nothing itself: it offers its messages at a
loopback port to whoever shows its secret. Flower's own taker, `flower-superexec`, starts a process
for each; ours gives them to one that stays. It imports nothing of the bundle that a run comes with.
"""

import contextlib
import gc
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx
from flwr.app import Context, Message
from flwr.common.constant import SubStatus
from flwr.common.serde import context_from_proto, context_to_proto
from flwr.proto.message_pb2 import ObjectTree
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    PullAppMessagesRequest,
    PullTaskInputRequest,
    PushTaskOutputRequest,
    SendTaskHeartbeatRequest,
)
from flwr.supercore.constant import TaskType
from flwr.supercore.heartbeat import HeartbeatSender
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_confirm_message_received_fn_protobuf,
    make_pull_object_fn_protobuf,
)
from flwr.supercore.inflatable.inflatable_utils import pull_and_inflate_object_from_tree
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.runtime.run_clientapp import push_message

from fedcxr.deploy.resident import Resident
from fedcxr.errors import NetworkError
from fedcxr.pace import Pace

LEAST_S, MOST_S = 0.05, 1.0
"""Between two questions for an order."""
ARRIVAL_S = 30.0
"""Longest wait for the message of an order that the SuperNode has just announced."""
_STEP_S = 0.05
_ACQUIRE = "/flwr.proto.Runtime/AcquireTask"

_log = logging.getLogger("fedcxr.site")


@dataclass(slots=True)
class SiteOrders:
    """The orders that a SuperNode of this machine has for its site."""

    address: str
    """Of its Runtime API, on loopback."""
    taker: RuntimeHttpClient
    """Shows the SuperNode's secret; an order's own calls show the order's token."""
    pace: Pace = field(default_factory=lambda: Pace(LEAST_S, MOST_S))

    def do_next(self, trainer: Resident, is_there: Callable[[], bool]) -> bool:
        """Have the next order done and its reply taken back; False where there is none.

        Args:
            trainer: does it.
            is_there: whether the SuperNode runs.
        """
        token = self._acquire()
        if not token:
            return False
        try:
            with _calling(self.address, RuntimeTokenHttpInterceptor(token)) as client:
                _do(client, trainer, is_there)
        except Exception:  # whatever it was: the SuperNode answers for us within a minute
            _log.exception("an order was lost")
        self.pace.restart()
        gc.collect()  # HTTP's answers lie in cycles, as in the SuperNode (`pinned_supernode.py`)
        return True

    def _acquire(self) -> str:
        """Return the token of the next order; nothing where there is none.

        Raises:
            NetworkError: what answers there does not know our secret.
        """
        request = AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP])
        try:
            return str(self.taker.AcquireTask(request).token)
        except httpx.TransportError:
            return ""  # it is not up yet, or no longer
        except httpx.HTTPStatusError as err:
            if err.response.is_server_error:
                return ""  # it may be busy
            raise NetworkError(
                f"{self.address}: what answers there is not the SuperNode of this client (HTTP "
                f"{err.response.status_code}). Start the client again; it takes another port."
            ) from err


@contextlib.contextmanager
def site_orders(port: int, secret: bytes) -> Iterator[SiteOrders]:
    """Yield the orders of the SuperNode at a loopback port that was started with this secret."""
    address = f"127.0.0.1:{port}"
    signs = SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods=[_ACQUIRE])
    with _calling(address, signs) as taker:
        yield SiteOrders(address, taker)


@contextlib.contextmanager
def _calling(
    address: str, signs: RuntimeTokenHttpInterceptor | SuperExecAuthHttpInterceptor
) -> Iterator[RuntimeHttpClient]:
    version = RuntimeVersionHttpInterceptor(component_name="SuperExec")
    client = RuntimeHttpClient.from_server_address(
        address, insecure=True, root_certificates=None, interceptors=[version, signs]
    )
    try:
        yield client
    finally:
        client.close()


@contextlib.contextmanager
def orders_secret() -> Iterator[tuple[int, bytes]]:
    """Yield the descriptor of a pipe from which a child reads a new secret, and the secret.

    It lies in no file: none is left, and clients on one machine do not meet.
    """
    secret = secrets.token_bytes(32)
    source, sink = os.pipe()
    try:
        with os.fdopen(sink, "wb") as stream:
            stream.write(secret)
        yield source, secret
    finally:
        os.close(source)


def _do(client: RuntimeHttpClient, trainer: Resident, is_there: Callable[[], bool]) -> None:
    with _beating(client) as is_lost:
        message, context = _pull(client)
        reply = trainer.answer(message, context, lambda: is_there() and not is_lost())
        if reply is None:
            return
        push_message(client, reply, context)
        client.PushTaskOutput(
            PushTaskOutputRequest(
                context=context_to_proto(context), sub_status=SubStatus.COMPLETED, details=""
            )
        )


def _pull(client: RuntimeHttpClient) -> tuple[Message, Context]:
    """Return the message of the order that the client has the token of."""
    context = context_from_proto(client.PullTaskInput(PullTaskInputRequest()).context)
    tree = _announced(client)
    node = Node(node_id=context.node_id)
    message = pull_and_inflate_object_from_tree(
        tree,
        make_pull_object_fn_protobuf(client.PullObject, node, context.run_id),
        make_confirm_message_received_fn_protobuf(
            client.ConfirmMessageReceived, node, context.run_id
        ),
        return_type=Message,
        # It may still come in from the server, over a slow line.
        max_tries_per_object=None,
        initial_backoff=_STEP_S,
        backoff_cap=MOST_S,
    )
    # A message's id is that of its objects, which are sent without it.
    message.metadata.__dict__["_message_id"] = tree.object_id
    return message, context


def _announced(client: RuntimeHttpClient) -> ObjectTree:
    """Return what a message is made of; the SuperNode announces an order before it has that."""
    end = time.monotonic() + ARRIVAL_S
    while True:
        found = client.PullMessages(PullAppMessagesRequest())
        if found.messages_list:
            tree: ObjectTree = found.message_object_trees[0]
            return tree
        if time.monotonic() > end:
            raise TimeoutError(f"the SuperNode has no message for its order after {ARRIVAL_S:g} s")
        time.sleep(_STEP_S)


@contextlib.contextmanager
def _beating(client: RuntimeHttpClient) -> Iterator[Callable[[], bool]]:
    """Tell the SuperNode inside that its order is under way; yield whether it gave the order up.

    Without a sign of life for a minute it answers the order as failed.
    """
    lost = threading.Event()

    def beat() -> bool:
        try:
            is_known = client.SendTaskHeartbeat(SendTaskHeartbeatRequest()).success
        except httpx.TransportError:
            return False  # it may be busy, and is told again
        except httpx.HTTPStatusError:
            is_known = False
        if not is_known:
            lost.set()
        return True

    sender = HeartbeatSender(beat)
    sender.start()
    try:
        yield lost.is_set
    finally:
        sender.stop()
