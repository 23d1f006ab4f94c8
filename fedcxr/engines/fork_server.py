"""A process that has imported what workers need, and forks them from then on.

Importing PyTorch and Flower takes two seconds of a core. Here that is done once, beside this
process's own imports; a worker is a copy that costs milliseconds and shares the memory of it. The
process only imports, so it has no threads that a copy would miss. Requests are JSON over a socket;
it ends when the other end of that socket does. Python's own fork server (`multiprocessing`) would
run the user's script again in every worker, and sends pickles.
"""

import atexit
import contextlib
import importlib
import json
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fedcxr.collector import quick_imports
from fedcxr.own_packages import own_search_path

END_S = 5.0
"""Longest wait for its end."""
ANSWER_S = 120.0
"""Longest wait for an answer: the first one comes after the imports."""
_POLL_S = 0.002
_MODULE = "fedcxr.engines.fork_server"
_LENGTH = struct.Struct("<Q")
ENVIRONMENT = {
    # Compiled operations that oneDNN keeps. A DenseNet121 has about 360 for each batch size and
    # number of threads; with oneDNN's own 1024 some were compiled again and again.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "8192",
    # glibc gives arrays of megabytes back to the system at once, and the next one is made of new
    # pages: two thirds of an echo worker's time. Here it keeps them. (No effect on other systems.)
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    # OpenBLAS starts threads when NumPy is imported, before PyTorch is told how many to use.
    "OPENBLAS_NUM_THREADS": "1",
}
"""What a worker starts with where the user's environment does not say otherwise."""


@dataclass(slots=True)
class ForkServer:
    """The process as its owner sees it; any thread may ask, one at a time."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    _asking: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def start(cls, modules: Iterable[str] = (), output: int | None = None) -> "ForkServer":
        """Start the process; it imports the modules while this one goes on.

        Args:
            modules: their names.
            output: descriptor of the file for what it and its workers print; none = where this
                process prints.
        """
        ours, theirs = socket.socketpair()
        ours.settimeout(ANSWER_S)
        command = [sys.executable, "-P", "-m", _MODULE, str(theirs.fileno())]
        path = os.pathsep.join(own_search_path())
        with theirs:
            process = subprocess.Popen(
                [*command, *modules],
                env={**ENVIRONMENT, **os.environ, "PYTHONPATH": path},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,  # Ctrl-C is for this process, which then ends its workers
            )
        return cls(process, ours)

    def fork(
        self, pipe: socket.socket, call: str, text: str, variables: Mapping[str, str] | None = None
    ) -> int:
        """Return the process id of a new process at the other end of `pipe`.

        Args:
            pipe: the new process's end; the caller closes its own copy.
            call: `module:function`, which is called with its end of the pipe and the text.
            text: what the function is told.
            variables: set on top of this process's environment.

        Raises:
            OSError: no process can be started.
        """
        request = {
            "call": call,
            "text": text,
            "environment": {**ENVIRONMENT, **os.environ, **(variables or {})},
            "folder": os.getcwd(),
            "path": own_search_path(),
            "log_level": logging.getLogger().getEffectiveLevel(),
        }
        answer = self._ask(request, [pipe.fileno()])
        if "error" in answer:
            raise OSError(answer["error"])
        return int(answer["pid"])

    def exit_code(self, pid: int, wait_s: float) -> int | None:
        """Return the code that a worker ends with in `wait_s` seconds; -N = by signal N."""
        with contextlib.suppress(OSError, EOFError):
            code = self._ask({"wait": pid, "seconds": wait_s})["code"]
            return None if code is None else int(code)
        return None

    def end(self) -> None:
        """End the process at once; what it forked is its owner's to end."""
        self.control.close()
        self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(END_S)

    def _ask(self, request: Mapping[str, Any], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        with self._asking:
            try:
                _send(self.control, request, descriptors)
                return _receive(self.control)[0]
            except TimeoutError:
                # Its answer may still come, and would then be taken for that to the next question.
                self.end()
                raise


_servers: list[ForkServer] = []
_starting = threading.Lock()


def fork_server(*modules: str, output: int | None = None) -> ForkServer:
    """Return this process's fork server, started so (`ForkServer.start`) where none is running."""
    with _starting:
        while _servers and _servers[0].process.poll() is not None:
            _servers.pop().control.close()
        if not _servers:
            _servers.append(ForkServer.start(modules, output))
            atexit.register(end_fork_server)
        return _servers[0]


def end_fork_server() -> None:
    """End this process's fork server, if it has one, and wait for it."""
    while _servers:
        _servers.pop().end()


def main() -> None:
    """Import the modules on the command line, then answer requests until the owner is gone."""
    descriptor, *modules = sys.argv[1:]
    with quick_imports():  # else the first collection would copy pages of every worker, too
        for module in modules:
            with contextlib.suppress(Exception):  # the worker imports it again, and says why not
                importlib.import_module(module)
    with socket.socket(fileno=int(descriptor)) as control, contextlib.suppress(EOFError, OSError):
        while True:
            request, descriptors = _receive(control)
            if "wait" in request:
                _send(control, {"code": _wait(request["wait"], request["seconds"])})
            else:
                _send(control, _fork(control, request, descriptors[0]))
    os._exit(0)  # tearing PyTorch down would take a second


def _fork(control: socket.socket, request: dict[str, Any], descriptor: int) -> dict[str, Any]:
    try:
        pid = os.fork()
    except OSError as err:
        os.close(descriptor)
        return {"error": f"no worker can be started: {err.strerror}"}
    if pid:
        os.close(descriptor)
        return {"pid": pid}
    code = 1
    try:
        control.close()
        _work(request, descriptor)
        code = 0
    except BaseException:  # nothing may go back into the server's loop
        traceback.print_exc()
    finally:
        logging.shutdown()
        sys.stderr.flush()
        os._exit(code)


def _work(request: dict[str, Any], descriptor: int) -> None:
    """Do what is asked for in the owner's surroundings."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.path[:] = request["path"]
    logging.basicConfig(level=request["log_level"])
    module, _, function = request["call"].partition(":")
    with socket.socket(fileno=descriptor) as source:
        getattr(importlib.import_module(module), function)(source, request["text"])


def _wait(pid: int, seconds: float) -> int | None:
    end = time.monotonic() + seconds
    while True:
        try:
            ended, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return None
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= end:
            return None
        time.sleep(_POLL_S)


def kill(pid: int) -> None:
    """End a process at once, if it is there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _send(to: socket.socket, tree: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
    body = json.dumps(tree).encode()
    socket.send_fds(to, [_LENGTH.pack(len(body))], descriptors)
    to.sendall(body)


def _receive(source: socket.socket) -> tuple[dict[str, Any], list[int]]:
    start, descriptors, _, _ = socket.recv_fds(source, _LENGTH.size, 1)
    data = bytearray(start)
    while len(data) < _LENGTH.size or len(data) < _LENGTH.size + _LENGTH.unpack_from(data)[0]:
        more = source.recv(2**20) if start else b""
        if not more:
            raise EOFError("the other process is gone")
        data += more
    tree: dict[str, Any] = json.loads(bytes(data[_LENGTH.size :]))
    return tree, descriptors


if __name__ == "__main__":
    main()
