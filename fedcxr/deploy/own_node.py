"""What a machine knows of the node of a site's kit, so that a killed client can come back at once.

The SuperLink holds a node for connected until it has missed two heartbeats, a minute, and takes no
second one with its key. Whoever holds the lock knows that no other client of this kit is left on
this machine; so what is still held for connected is what was killed, and can be put off.
"""

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from fedcxr.errors import NetworkError
from fedcxr.home import home_folder
from fedcxr.interrupts import raise_if_interrupted
from fedcxr.locks import take_lock
from fedcxr.storage import writing

END_S = 15.0
"""Longest wait for the processes of a client that was killed to end."""
_POLL_S = 0.2


@dataclass(slots=True)
class OwnNode:
    """The node of a kit, which is this client's alone; its lock holds until the file is closed."""

    file: BinaryIO

    @classmethod
    def of_kit(cls, folder: Path, wait_s: float = 0.0) -> Self:
        """Return the node of a site's kit.

        Args:
            folder: the kit.
            wait_s: how long to wait for another client of this kit; `END_S` at least.

        Raises:
            NetworkError: another client of this kit runs on this machine.
            StorageError: the home folder cannot be written.
        """
        place = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
        path = home_folder().absolute() / "nodes" / f"{folder.resolve().name}-{place}"
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a+b")
        end = time.monotonic() + max(wait_s, END_S)
        while not take_lock(file.fileno(), path):
            if time.monotonic() >= end:
                file.close()
                raise NetworkError(
                    f"{folder}: another client of this kit runs on this machine. End it first."
                )
            raise_if_interrupted()
            time.sleep(_POLL_S)
        return cls(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.file.close()

    @property
    def node_id(self) -> int | None:
        """The id that the server gave it the last time; none where that is not known."""
        self.file.seek(0)
        text = self.file.read(40).strip()
        return int(text) if text.isdigit() else None

    def remember(self, node_id: int) -> None:
        """Keep the id that the server gives it."""
        if node_id == self.node_id:
            return
        with writing(Path(self.file.name)):
            self.file.truncate(0)
            self.file.write(b"%d\n" % node_id)
            self.file.flush()
