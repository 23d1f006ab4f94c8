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
    loop = asyncio.new_event_loop()
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
        async with await asyncio.start_server(passed_on, "127.0.0.1", passed.port):
            ready.set()
            await asyncio.Event().wait()

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        rest = asyncio.all_tasks(loop)
        for one in rest:
            one.cancel()
        loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
        loop.run_until_complete(asyncio.sleep(0.1))  # transports close in a later turn
        loop.close()

    task = loop.create_task(serve())
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(START_S), "the relay did not start"
    try:
        yield passed
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(START_S)
