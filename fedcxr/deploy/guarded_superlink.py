"""`flower-superlink` with a guard before it: only the server's kit may start runs and name nodes.

Flower 1.41 serves its Fleet, Control and Runtime APIs on one port, and authenticates nodes on the
first alone. Whoever reaches the port could register a key of their own, or start a run whose code
every site executes. So the Control API wants the kit's token here, and the Runtime API, which
Flower's own processes on this machine use, is for this machine only.

Run as a program, by `fedcxr server start`: it takes the token's file, then `flower-superlink`'s
own arguments, and ends with the process that started it.
"""

import base64
import hmac
import ipaddress
import logging
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from fedcxr.deploy.node_keys import fingerprint
from fedcxr.deploy.orphans import end_with_parent, log_to_stderr

FLEET, RUNTIME = "/v1/fleet/", "/v1/runtime/"
ACTIVATE = "/v1/fleet/activate-node"
NODE_KEY_HEADER = b"flwr-public-key"
_REFUSED = (400, 401, 403)
REPEAT_S = 60.0
"""A refused key that tries again is noted this often at most."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger("fedcxr.server")


class Guard:
    """ASGI middleware: lets through what its caller may ask for, and notes refused node keys."""

    def __init__(self, app: App, *, token: str) -> None:
        """Stand before `app`.

        Args:
            app: Flower's.
            token: what the Control API's callers must know.
        """
        self._app = app
        self._expected = f"Bearer {token}".encode()
        self._noted: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have Flower answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http" or not self._admits(scope):
            await _refuse(send)
        elif scope["path"].startswith(FLEET):
            await self._app(scope, receive, self._noting(scope, send))
        else:
            await self._app(scope, receive, send)

    def _admits(self, scope: Scope) -> bool:
        path: str = scope["path"]
        if path.startswith(FLEET):
            return True  # Flower asks for the signature of a registered key
        if path.startswith(RUNTIME):
            return _is_this_machine(scope)
        return hmac.compare_digest(_header(scope, b"authorization"), self._expected)

    def _noting(self, scope: Scope, send: Send) -> Send:
        """Return a `send` that notes the key of a node that Flower refuses."""

        def is_refusal(status: int) -> bool:
            # A key that is not registered, was revoked or is in use is refused as it is activated.
            return status in _REFUSED or (scope["path"] == ACTIVATE and 400 <= status < 500)

        async def noting(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and is_refusal(message["status"]):
                self._note(_header(scope, NODE_KEY_HEADER), scope.get("client"))
            await send(message)

        return noting

    def _note(self, header: bytes, client: object) -> None:
        try:
            key = fingerprint(base64.b64decode(header, validate=True)) if header else "no key"
        except ValueError:
            key = "a key that is none"
        now = time.monotonic()
        if now - self._noted.get(key, -REPEAT_S) >= REPEAT_S and len(self._noted) < 10_000:
            self._noted[key] = now
            _log.warning("refused a node with %s from %s", key, client)


async def _refuse(send: Send) -> None:
    body = b"This is for the holder of the server's kit only."
    head = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": head})
    await send({"type": "http.response.body", "body": body})


def _header(scope: Scope, name: bytes) -> bytes:
    """Return the only header of this name, empty where there is none or more than one."""
    found = [value for key, value in scope["headers"] if key == name]
    return found[0] if len(found) == 1 else b""


def _is_this_machine(scope: Scope) -> bool:
    client = scope.get("client")
    try:
        return client is not None and ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False


def put_guard(token: str) -> None:
    """Have Flower's SuperLink of this process stand behind a guard."""
    from flwr.superlink import extensions
    from starlette.middleware import Middleware

    def get_middleware() -> tuple[Middleware, ...]:
        return (Middleware(Guard, token=token),)

    extensions.get_middleware = get_middleware


def main() -> None:
    """Run the SuperLink: `guarded_superlink TOKEN_FILE [flower-superlink's arguments]`."""
    end_with_parent()
    log_to_stderr()
    token = Path(sys.argv[1]).read_text("ascii").strip()
    sys.argv = ["flower-superlink", *sys.argv[2:]]
    put_guard(token)
    from flwr.superlink.cli import flower_superlink

    flower_superlink()


if __name__ == "__main__":
    main()
