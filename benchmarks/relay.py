"""A relay on loopback that counts what passes: the bytes of a link, TLS and all, each way.

It sees nothing of what it passes on. Not for measuring time: it copies each byte once more.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from fedcxr.deploy.child import free_port

CHUNK = 1 << 18
START_S = 10.0


@dataclass
class Passed:
    """The bytes so far, by the direction that they went in."""

    port: int
    up: int = 0
    """To the server."""
    down: int = 0


@contextlib.contextmanager
def relay(server_port: int) -> Iterator[Passed]:
    """Yield the count of a relay to a server's port of this machine; connect to its `port`."""
    passed = Passed(free_port())
    stops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    ready = threading.Event()

    async def copy(
        source: asyncio.StreamReader, sink: asyncio.StreamWriter, direction: str
    ) -> None:
        try:
            while data := await source.read(CHUNK):
                setattr(passed, direction, getattr(passed, direction) + len(data))
                sink.write(data)
                await sink.drain()
        except OSError:
            pass  # one end is gone; the other is closed, too
        finally:
            sink.close()

    async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", server_port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, back, "up"), copy(there, writer, "down"))

    async def serve() -> None:
        stop = asyncio.Event()
        stops.append((asyncio.get_running_loop(), stop))
        async with await asyncio.start_server(passed_on, "127.0.0.1", passed.port):
            ready.set()
            await stop.wait()

    # Connections that are still open are cancelled where `run` ends.
    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(START_S), "the relay did not start"
    try:
        yield passed
    finally:
        loop, stop = stops[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(START_S)
