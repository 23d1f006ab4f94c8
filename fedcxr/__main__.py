"""`python -m fedcxr` is the command `fedcxr`."""

import os
import sys

if __name__ == "__main__":
    # Python puts the working folder in front; a file there must not be taken for a module of ours.
    in_front = sys.path[0] if sys.path and not sys.flags.safe_path else None
    if in_front is not None and os.path.realpath(in_front) == os.path.realpath("."):
        del sys.path[0]

    from fedcxr.cli.main import command

    command()
