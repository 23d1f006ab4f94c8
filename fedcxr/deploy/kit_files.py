"""The files of a deployment: its authority, the server's start-up kit and one for each site.

```
deploy/  authority/  ca.crt  ca.key                        stays with who made the deployment
         server/     kit.yaml  ca.crt  server.crt  server.key  control.token
                     sites/NAME.pem  revoked/NAME-N.pem    public keys of the sites
         site-00/    kit.yaml  ca.crt  node.key            goes to the hospital, and to nobody else
```
Folders are for their owner only (0700), and so are the files that hold a secret (0600).
"""

import shutil
import stat
import uuid
from collections.abc import Callable
from pathlib import Path

from fedcxr.atomic import write_bytes_atomically
from fedcxr.config.kit import NODE_KEY as NODE_KEY
from fedcxr.errors import ArtefactError
from fedcxr.filenames import shortened
from fedcxr.storage import writing

AUTHORITY = "authority"
SERVER = "server"
CA_CRT, CA_KEY = "ca.crt", "ca.key"
SERVER_CRT, SERVER_KEY = "server.crt", "server.key"
CONTROL_TOKEN = "control.token"
README = "README.txt"
SITES, REVOKED = "sites", "revoked"
PEM = ".pem"

SECRET_MODE = 0o600
OPEN_MODE = 0o644
FOLDER_MODE = 0o700
TOKEN_BYTES = 32


def write_secret(file: Path, data: bytes) -> None:
    """Write a file that only its owner can read; it is never there with another mode."""
    write_bytes_atomically(file, data, mode=SECRET_MODE)


def write_open(file: Path, data: bytes) -> None:
    """Write a file of a kit that holds no secret."""
    write_bytes_atomically(file, data, mode=OPEN_MODE)


def make_private_folder(folder: Path) -> None:
    """Make a folder for its owner only, with those above it."""
    with writing(folder):
        folder.mkdir(parents=True)
        folder.chmod(FOLDER_MODE)


def make_whole_folder(out: Path, fill: Callable[[Path], None]) -> None:
    """Make the private folder `out`, filled, or leave nothing.

    Raises:
        ArtefactError: something is there under this name.
        StorageError: it cannot be written.
    """
    if out.exists() or out.is_symlink():
        raise ArtefactError(f"{out}: is there already, and nothing in it was changed.")
    building = out.parent / f".{shortened(out.name, 200)}-{uuid.uuid4().hex[:8]}"
    try:
        make_private_folder(building)
        fill(building)
        with writing(out):
            building.rename(out)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def is_private(path: Path) -> bool:
    """Return whether nobody but the owner can read a file or folder."""
    return stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def public_key_file(server_kit: Path, site: str) -> Path:
    """Return where the server's kit has the public key of a site."""
    return server_kit / SITES / f"{site}{PEM}"


def known_keys(server_kit: Path) -> dict[str, bytes]:
    """Return the public keys of the sites that the server's kit knows, by name."""
    return {file.stem: file.read_bytes() for file in sorted((server_kit / SITES).glob(f"*{PEM}"))}
