"""The Flower bundle of a deployed run: it names our two apps and holds no code.

Flower ships a run's bundle to every node, unpacks it and imports from it. Ours has a
`pyproject.toml` and nothing else, so that `server.app` and `clients.app` are those that each
machine has installed. It is stored, not compressed, with fixed times: the same bytes everywhere, by
which a site knows it and refuses every other one.
"""

import hashlib
import io
import zipfile

_PYPROJECT = """\
[project]
name = "fedcxr"
version = "1"

[tool.flwr.app]
publisher = "fedcxr"

[tool.flwr.app.components]
serverapp = "server.app:app"
clientapp = "clients.app:app"

[tool.flwr.app.config]
preset = "quickstart"
config = ""
set = ""
global-dir = ""
site-keys = ""
overlap = ""
resume = ""
"""
_DATE = (1980, 1, 1, 0, 0, 0)
_UNIX = 3


def bundle() -> bytes:
    """Return the bundle; the same bytes for every run and on every machine."""
    project = _PYPROJECT.encode()
    digest = hashlib.sha256(project).hexdigest()
    content = f"pyproject.toml,{digest},{len(project) * 8}"  # Flower's manifest: path, hash, bits
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in (("pyproject.toml", project), (".info/CONTENT", content.encode())):
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system = _UNIX
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
    return file.getvalue()


def bundle_digest() -> str:
    """Return the SHA-256 of the bundle, which is also Flower's name for it."""
    return hashlib.sha256(bundle()).hexdigest()
