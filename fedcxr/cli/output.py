"""Standard output and error that never end the work.

A terminal may lack a sign, be closed or go away; a reader may stop reading; a disk may fill up
behind a redirection. What cannot be shown then is written otherwise or left out, and the work goes
on: a training of hours is not lost for a line about it. For the command line only; the Python API
leaves the streams alone.
"""

import codecs
import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from fedcxr.filenames import readable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PLAIN = "fedcxr-plain"
"""Name of the error handler of the streams' encodings."""

_SIGNS = {
    **dict.fromkeys("‐‑‒–—―−·•─━╌┄", "-"),
    **dict.fromkeys("‘’‚‹›´", "'"),
    **dict.fromkeys("“”„«»", '"'),
    **dict.fromkeys("│┃║", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯┏┓┗┛┡┩╇╈╋", "+"),
    **dict.fromkeys("×✗✘✕", "x"),
    **dict.fromkeys("\u00a0\u2009\u202f", " "),
    **{"…": "...", "→": "->", "←": "<-", "≤": "<=", "≥": ">=", "±": "+-", "÷": "/", "°": " deg"},
    **{"²": "^2", "³": "^3", "½": "1/2", "√": "sqrt"},
}
"""What is written in the place of signs that an encoding lacks; all others become '?'."""


def secure_output() -> None:
    """Make stdin, stdout and stderr of this process such that nothing done to them raises.

    To be called before any file is opened: a new file would get the number of a closed one.
    """
    for descriptor in (0, 1, 2):
        _open_if_closed(descriptor)
    codecs.register_error(PLAIN, plain_signs)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115  # open as long as the process
    sys.stderr = _secured(sys.stderr, 2, lambda err: None)
    sys.stdout = _secured(sys.stdout, 1, _report_lost_output)


def plain_signs(err: UnicodeError) -> tuple[str | bytes, int]:
    """Return what stands for the signs that cannot be encoded; an error handler of `codecs`."""
    if not isinstance(err, UnicodeEncodeError):
        raise err
    signs = err.object[err.start : err.end]
    if err.encoding == "utf-8":  # it lacks nothing but the bytes of file names
        return readable(signs).encode(), err.end
    return "".join(_SIGNS.get(sign, "?") for sign in signs), err.end


def _open_if_closed(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        # The lowest free number is the one that is closed, since those below are open by now.
        opened = os.open(os.devnull, os.O_RDWR)
        os.set_inheritable(opened, True)


def _secured(stream: TextIO | None, descriptor: int, on_error: Callable[[OSError], None]) -> TextIO:
    """Return a stream like the given one that writes what it can."""
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Lossy(descriptor, on_error)),
        encoding=getattr(stream, "encoding", None) or "utf-8",
        errors=PLAIN,
        newline="\n",
        line_buffering=getattr(stream, "line_buffering", True),
        write_through=getattr(stream, "write_through", False),
    )


class _Lossy(io.RawIOBase):
    """Writes to a descriptor until that fails, and takes the rest without writing it."""

    def __init__(self, descriptor: int, on_error: Callable[[OSError], None]) -> None:
        self._descriptor = descriptor
        self._on_error = on_error
        self._is_lost = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: "ReadableBuffer", /) -> int:
        while not self._is_lost:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:  # a pipe that another program set so, and it is full
                select.select([], [self._descriptor], [])
            except OSError as err:
                self._is_lost = True
                self._on_error(err)
        return memoryview(data).nbytes


def _report_lost_output(err: OSError) -> None:
    """Say on stderr why the rest of stdout is missing; a reader that stopped reading knows."""
    if err.errno != errno.EPIPE:
        print(
            f"fedcxr: the output cannot be written ({err.strerror}); the rest of it is left out.",
            file=sys.stderr,
        )
