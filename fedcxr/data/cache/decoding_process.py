"""A decoding process: it answers lines of JSON until its input ends.

    python -m fedcxr.data.cache.decoding_process IMAGES SIZE_PX PNG_BITS

    {"start": 128, "paths": ["/data/a.jpg", …]}
        → {"start": 128, "crc32": […], …}, a `Decoded`
        → {"errno": 28, "why": "No space left on device"}, null where no system call failed

Pixels go straight into IMAGES, so only checksums cross between the processes. It is a new Python
and not multiprocessing's, whose spawn runs the user's script once more; its input ends with the
parent, whatever becomes of that.
"""

import json
import os
import sys
from typing import BinaryIO

from fedcxr.data.cache.rows import decode_rows
from fedcxr.errors import RunError


def serve(images: int, orders: BinaryIO, replies: BinaryIO, *, size_px: int, png_bits: int) -> None:
    """Answer each order until there are no more, or one cannot be carried out."""
    for line in orders:
        order = json.loads(line)
        try:
            reply = decode_rows(
                images, int(order["start"]), order["paths"], size_px=size_px, png_bits=png_bits
            ).to_line()
        except OSError as err:
            reply = json.dumps({"errno": err.errno, "why": err.strerror or str(err)})
        except RunError as err:
            reply = json.dumps({"errno": None, "why": str(err)})
        replies.write(reply.encode() + b"\n")
        replies.flush()


def main() -> None:
    """Serve standard input and output."""
    path, size_px, png_bits = sys.argv[1:]
    images = os.open(path, os.O_WRONLY)
    # Whatever a library prints must not come between the replies.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        serve(images, sys.stdin.buffer, replies, size_px=int(size_px), png_bits=int(png_bits))
    except (BrokenPipeError, ConnectionResetError):
        os._exit(1)  # the parent is gone, and flushing at exit would only raise again


if __name__ == "__main__":
    main()
