"""What ran: versions of the libraries, the machine, and a digest of our own code."""

import hashlib
import importlib.metadata
import importlib.util
import platform
from functools import lru_cache
from pathlib import Path

from fedcxr.cores import cores
from fedcxr.errors import ConfigError
from fedcxr.file_digest import digest_files
from fedcxr.plugins import source_digest
from fedcxr.version import __version__

PACKAGES = ("fedcxr", "clients", "server", "partitions", "configs")
LIBRARIES = ("flwr", "torch", "torchvision", "numpy", "pandas", "scikit-learn", "ray", "captum")


def versions() -> dict[str, str]:
    """Return the versions of Python, fedcxr and the libraries that compute."""
    found = {"python": platform.python_version(), "fedcxr": __version__}
    return {**found, **{name: _version(name) for name in LIBRARIES}}


@lru_cache(maxsize=64)
def _version(library: str) -> str:
    """Return a library's version; kept: to look takes a millisecond, and each site's card asks."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def machine() -> dict[str, str | int]:
    """Return the processor, its usable cores and the system."""
    return {
        "processor": processor_name(),
        "cores": cores(),
        "system": platform.platform(terse=True),
    }


def processor_name() -> str:
    """Return the processor's model name with family and stepping, or its architecture.

    Virtual machines give one name to many processors; the numbers tell them apart.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []  # no /proc here: macOS
    pairs = [line.partition(":") for line in lines]
    found = {key.strip(): value.strip() for key, _, value in reversed(pairs)}  # the first core's
    name = found.get("model name")
    if name is None:
        return platform.processor() or platform.machine()
    numbers = [f"{k} {found[k]}" for k in ("cpu family", "model", "stepping") if k in found]
    return f"{name} ({', '.join(numbers)})" if numbers else name


@lru_cache(maxsize=8)
def code_digest(references: tuple[str, ...] = ()) -> str:
    """Return the sha256 of our packages' source files, and of those of a user's own.

    Args:
        references: to what is taken from a user's packages, as `package.module:Name`.

    Raises:
        ConfigError: one of them cannot be found, or ours come from more than one place (`clients`
            and `server` are common names, so another project's could be found first).
    """
    roots = {name: package_root(name) for name in PACKAGES}
    root = Path(__file__).resolve().parent.parent.parent
    foreign = [f"{name} ({place})" for name, place in roots.items() if place != root]
    if foreign:
        raise ConfigError(
            f"fedcxr is at {root}, but these packages are not: "
            f"{', '.join(foreign)}. Start from another folder or fix PYTHONPATH."
        )
    files = sorted(
        p
        for name in PACKAGES
        for p in (root / name).rglob("*")
        if p.suffix in {".py", ".yaml", ".md"}
    )
    ours = digest_files(files, root)
    own = {text.partition(":")[0].partition(".")[0]: text for text in references}
    if not own:
        return ours
    parts = [ours, *(f"{package} {source_digest(own[package])}" for package in sorted(own))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def package_root(name: str) -> Path | None:
    """Return the folder that holds the package `name`, None if it cannot be found."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).resolve().parent.parent if spec and spec.origin else None
