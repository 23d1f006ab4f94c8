"""Which clients do nothing any more: those whose process has used no processor time for long.

A simulation has no deadline of its own, since a slow machine must not decide who is in a round. But
every wait has a bound: a client that trains uses its processor, also one that waits for a GPU
(CUDA's own wait does); one that has used none for ten minutes hangs, on a disk that is gone or on a
lock. Not for a client that runs in circles: its deadline is `server.deadline_s`.
"""

import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

Client = TypeVar("Client")

IDLE_S = 600.0
"""Without processor time for so long a client is given up."""
LOOK_EVERY_S = 10.0
MOVED_S = 0.05
"""Processor time that counts as work: a sleeping process takes a few milliseconds now and then."""


@dataclass(slots=True)
class IdleWatch(Generic[Client]):
    """Remembers how much processor time each client had used, and since when it used no more."""

    cpu_seconds: Callable[[Client], float | None]
    """Of a client's process; None where that cannot be told, and the client then counts as busy."""
    _seen: dict[Client, tuple[float, float]] = field(default_factory=dict)
    _looked_at: float = 0.0

    def idle(self, busy: Collection[Client]) -> list[Client]:
        """Return those of the busy clients that have done nothing for `IDLE_S` seconds."""
        now = time.monotonic()
        if now - self._looked_at < min(LOOK_EVERY_S, IDLE_S / 4):
            return []
        self._looked_at = now
        self._seen = {client: seen for client, seen in self._seen.items() if client in busy}
        for client in busy:
            used = self.cpu_seconds(client)
            before = self._seen.get(client)
            if used is None:
                self._seen.pop(client, None)
            elif before is None or used - before[0] > MOVED_S:
                self._seen[client] = (used, now)
        return [client for client, (_, since) in self._seen.items() if now - since >= IDLE_S]


def cpu_seconds_of(pid: int, proc: Path = Path("/proc")) -> float | None:
    """Return the processor time of all threads of a process; None where the system has no /proc."""
    try:
        text = (proc / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The second field is the program's name in brackets, which may hold blanks and brackets.
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
