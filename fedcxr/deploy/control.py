"""What the server's kit may ask of the SuperLink: name nodes, start runs, see how they are."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx
from flwr.common.constant import Status, SubStatus
from flwr.common.serde import fab_to_proto, user_config_to_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.proto.run_pb2 import Run
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.error import FlowerError
from flwr.supercore.fab import Fab
from flwr.supercore.interceptors.http.runtime_version import RuntimeVersionHttpInterceptor
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext

from fedcxr.config.kit import ServerKitConfig, parse_address
from fedcxr.deploy import kit_files as k
from fedcxr.deploy.bundle import bundle, bundle_digest
from fedcxr.deploy.kit_check import read_token
from fedcxr.errors import NetworkError

_GONE = "unregistered"
_FAILED = "ServerApp failed with exception: "


@dataclass(frozen=True, slots=True)
class Node:
    """A site's node as the SuperLink knows it."""

    node_id: int
    public_key: bytes
    is_online: bool


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run that the SuperLink knows."""

    run_id: int
    state: "RunState"
    begun: str
    """ISO 8601; empty while it waits."""


@dataclass(frozen=True, slots=True)
class RunState:
    """How a run is."""

    has_begun: bool
    is_over: bool
    is_good: bool
    """Whether it is over and came to its end."""
    why: str
    """Why it failed; empty for any other."""
    is_stopped: bool = False
    """Whether somebody stopped it."""
    is_lost: bool = False
    """Whether it is over, neither finished nor failed by its own word: stopped, or its process was
    not heard of any more."""


class _Bearer:
    """Shows the token of the server's kit."""

    def __init__(self, token: str) -> None:
        self._value = f"Bearer {token}"

    def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
        """Add the header."""
        context.request.headers["authorization"] = self._value
        return call_next(context)


class Control:
    """The SuperLink's Control API, from the server's own machine."""

    def __init__(self, address: str, authority: bytes, token: str) -> None:
        """Take the way to a SuperLink; nothing is asked yet.

        Args:
            address: `HOST:PORT` of this machine.
            authority: PEM of the certificate that it is checked by.
            token: the kit's.
        """
        self._address = address
        self._client = ControlHttpClient.from_server_address(
            address,
            insecure=False,
            root_certificates=authority,
            interceptors=[_Bearer(token), RuntimeVersionHttpInterceptor(component_name="fedcxr")],
        )

    @classmethod
    def of_kit(cls, folder: Path, config: ServerKitConfig) -> "Control":
        """Return the way from a server's kit to its SuperLink on this machine."""
        authority = (folder / k.CA_CRT).read_bytes()
        return cls(loopback_address(config.address), authority, read_token(folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.close()

    def nodes(self) -> list[Node]:
        """Return the nodes that are registered."""
        with self._asking():
            found = self._client.ListNodes(ListNodesRequest()).nodes_info
        return [
            Node(info.node_id, bytes(info.public_key), info.status == "online")
            for info in found
            if info.status != _GONE
        ]

    def register(self, site: str, public_key: bytes) -> int:
        """Let the holder of a key take part, and return the id of its node."""
        with self._asking():
            request = RegisterNodeRequest(public_key=public_key, name=site)
            return int(self._client.RegisterNode(request).node_id)

    def unregister(self, node_id: int) -> None:
        """Let a node take part no longer."""
        with self._asking():
            self._client.UnregisterNode(UnregisterNodeRequest(node_id=node_id))

    def start_run(self, run_config: Mapping[str, str]) -> int:
        """Start fedcxr's own app and return the run's id."""
        fab = Fab(bundle_digest(), bundle(), {})
        request = StartRunRequest(
            fab=fab_to_proto(fab), override_config=user_config_to_proto(dict(run_config))
        )
        with self._asking():
            answer = self._client.StartRun(request)
        if not answer.HasField("run_id"):
            raise NetworkError("The SuperLink did not start the run. Its log says why.")
        return int(answer.run_id)

    def stop_run(self, run_id: int) -> None:
        """Ask the SuperLink to stop a run."""
        with self._asking():
            self._client.StopRun(StopRunRequest(run_id=run_id))

    def find_run(self, run_id: int) -> RunState | None:
        """Return how a run is; None where the SuperLink does not know it: it was started since."""
        try:
            with self._asking():
                runs = self._client.ListRuns(ListRunsRequest(run_id=run_id)).run_dict
        except NetworkError as err:
            answer = err.__cause__
            if isinstance(answer, httpx.HTTPStatusError) and answer.response.status_code == 404:
                return None
            raise
        return _state_of(runs[run_id])

    def runs(self) -> list[ListedRun]:
        """Return the runs since the SuperLink was started, the oldest first."""
        with self._asking():
            found = self._client.ListRuns(ListRunsRequest()).run_dict
        oldest_first = sorted(found.items(), key=lambda item: item[1].pending_at)
        return [ListedRun(run_id, _state_of(run), run.running_at) for run_id, run in oldest_first]

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Word what goes wrong between here and the SuperLink."""
        try:
            yield
        except httpx.HTTPStatusError as err:
            known = FlowerError.from_json(err.response.text)
            why = known.message if known else err.response.text[:200].strip()
            raise NetworkError(
                f"{self._address}: the SuperLink refuses: {why} "
                f"(HTTP {err.response.status_code}). Is it the server of this kit?"
            ) from err
        except (httpx.HTTPError, ValueError) as err:
            raise NetworkError(
                f"{self._address}: no answer from a SuperLink of this kit ({err}). Start it with "
                "`fedcxr server start`, on this machine."
            ) from err


def _state_of(run: Run) -> RunState:
    status = run.status
    has_failed = status.sub_status == SubStatus.FAILED and status.details.startswith(_FAILED)
    return RunState(
        has_begun=status.status not in ("", Status.PENDING),
        is_over=status.status == Status.FINISHED,
        is_good=status.sub_status == SubStatus.COMPLETED,
        why=status.details.removeprefix(_FAILED) or status.sub_status,
        is_stopped=status.sub_status == SubStatus.STOPPED,
        is_lost=status.status == Status.FINISHED
        and status.sub_status != SubStatus.COMPLETED
        and not has_failed,
    )


def loopback_address(address: str) -> str:
    """Return where the server's own machine reaches it.

    >>> loopback_address("fl.example.org:9092"), loopback_address("[2001:db8::1]:9092")
    ('127.0.0.1:9092', '[::1]:9092')
    """
    host, port = parse_address(address)
    return f"[::1]:{port}" if ":" in host else f"127.0.0.1:{port}"
