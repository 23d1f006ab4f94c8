"""File names as text.

A name is bytes, and Python shows those that are not UTF-8 as lone surrogates (`os.fsdecode`). They
lead back to the file; no text file or terminal takes them.
"""

import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

DATASET_YAML = "dataset.yaml"
"""What says how a folder of one's own is read (`fedcxr/config/dataset_file.py`)."""
NAME_MAX_BYTES = 255
"""Of one file name on every usual disk."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_PLAIN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def readable(name: str | Path) -> str:
    r"""Return the name with a replacement character for each byte that is no UTF-8.

    >>> readable("Kl\udce4ren")
    'Kl\ufffdren'
    """
    return _SURROGATE.sub("\ufffd", str(name))


def in_json(text: str) -> str:
    r"""Return JSON text as UTF-8 can hold it; what is read back is the same name.

    >>> in_json('"Kl\udce4ren"')
    '"Kl\\udce4ren"'
    """
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def shortened(name: str, limit: int = NAME_MAX_BYTES) -> str:
    """Return the first characters of a name, as many as fit into `limit` bytes of UTF-8.

    >>> shortened("Röntgen", 3), shortened("Röntgen", 2)
    ('Rö', 'R')
    """
    data = name.encode("utf-8", "surrogateescape")
    return name if len(data) <= limit else data[:limit].decode("utf-8", "ignore")


def shell_command(words: Iterable[str | Path]) -> str:
    r"""Return a command line to copy into bash, zsh or ksh.

    Line ends and bytes that are no UTF-8 are written as octal numbers: no terminal shows them.

    >>> print(shell_command(["fedcxr", "resume", "my runs", "Kl\udce4ren"]))
    fedcxr resume 'my runs' $'Kl\344ren'
    """
    return " ".join(_quoted(str(word)) for word in words)


def _quoted(word: str) -> str:
    if not _NOT_PLAIN.search(word):
        return shlex.quote(word)
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + _NOT_PLAIN.sub(_octal, escaped) + "'"


def _octal(found: re.Match[str]) -> str:
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(found[0]))
