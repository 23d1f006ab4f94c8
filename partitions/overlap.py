"""Which sites share patients, found without showing anybody who they are.

Each site turns its patients' identifiers, in their one normal form (`fedcxr/data/identity.py`),
into HMAC-SHA256 under a key that the sites share and the server does not have. The first 64 bits
are kept and sorted: among ten million patients two meet by chance with probability 3e-6. Whoever
has two such files sees how many patients they share, and nothing else of them; whoever has the key
as well can test whether somebody is in a file. So the key goes to the sites alone.

Identifiers are compared, not people: where hospitals number their patients by themselves, take one
that they have in common.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import Any

from fedcxr.atomic import write_text_atomically
from fedcxr.data.tokens import TOKEN_HEX, Tokens
from fedcxr.errors import ArtefactError, ConfigError, LeakError, some
from partitions.plan_folder import GLOBAL, SITE_ID, PartitionPlan

FORMAT = 1
SUFFIX = ".tokens"

_MAX_BYTES = 1_000_000_000
"""Of a file of tokens: fifty million patients."""
_TOKEN = re.compile(rf"[0-9a-f]{{{TOKEN_HEX}}}")
_FINGERPRINT = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class TokenSet:
    """The patients of one site, or of the server, as tokens."""

    name: str
    """The site's in the plan; `global` is the server's validation and test set."""
    key: str
    """Fingerprint of the key."""
    tokens: tuple[str, ...] = field(repr=False)
    """Sorted, each once."""


@dataclass(frozen=True, slots=True)
class Shared:
    """Two sets with patients in common."""

    first: str
    second: str
    patients: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison of all sets found."""

    key: str
    at: str
    sets: dict[str, int]
    """Patients by set."""
    shared: tuple[Shared, ...]

    @property
    def pairs_checked(self) -> int:
        """Return how many pairs of sets were compared."""
        return len(self.sets) * (len(self.sets) - 1) // 2


def token_set(name: str, patients: set[str], key: bytes) -> TokenSet:
    """Return the tokens of patients, in whose order nothing of theirs is left.

    Args:
        name: the site's.
        patients: in normal form.
        key: that the sites share.
    """
    tokens = Tokens(key)
    return TokenSet(name, tokens.fingerprint, tuple(sorted(map(tokens.compared, patients))))


def write_token_set(found: TokenSet, file: Path) -> None:
    """Write the tokens; `StorageError` if that cannot be done."""
    tree = {"format": FORMAT, **asdict(found)}
    write_text_atomically(file, json.dumps(tree) + "\n", mode=0o600)


def read_token_set(file: Path) -> TokenSet:
    """Return the tokens in a file; `ArtefactError` if it is none that was written here."""
    tree = _read(file)
    name, key, tokens = tree.get("name"), tree.get("key"), tree.get("tokens")
    if not isinstance(name, str) or not SITE_ID.fullmatch(name):
        raise _damaged(file, "no name of a site")
    if not isinstance(key, str) or not _FINGERPRINT.fullmatch(key):
        raise _damaged(file, "no fingerprint of a key")
    if not isinstance(tokens, list) or not all(
        isinstance(one, str) and _TOKEN.fullmatch(one) for one in tokens
    ):
        raise _damaged(file, "a token that is none")
    if tokens != sorted(set(tokens)) or not tokens:
        raise _damaged(file, "tokens that are not sorted, twice there, or missing")
    return TokenSet(name, key, tuple(tokens))


def compare(sets: Sequence[TokenSet]) -> Comparison:
    """Return how many patients every two sets share.

    Raises:
        ConfigError: fewer than two sets, a name twice, or tokens under different keys.
    """
    names = [one.name for one in sets]
    twice = sorted({name for name in names if names.count(name) > 1})
    if len(sets) < 2 or twice:
        why = f"{some(twice)} is there twice" if twice else "there are fewer than two"
        raise ConfigError(f"Files of tokens: {why}. Give one of each site.")
    keys = {one.key for one in sets}
    if len(keys) > 1:
        found = some([f"{one.name} {one.key}" for one in sets])
        raise ConfigError(
            f"The tokens were made with different keys ({found}), so none could match. Make them "
            "again with the one key that all sites share."
        )
    members = {one.name: frozenset(one.tokens) for one in sets}
    shared = [
        Shared(first, second, common)
        for first, second in combinations(members, 2)
        if (common := len(members[first] & members[second]))
    ]
    at = datetime.now().astimezone().isoformat(timespec="seconds")
    sizes = {name: len(tokens) for name, tokens in members.items()}
    return Comparison(keys.pop(), at, sizes, tuple(shared))


def write_comparison(found: Comparison, file: Path) -> None:
    """Write what was found; `StorageError` if that cannot be done."""
    tree = {"format": FORMAT, **asdict(found)}
    write_text_atomically(file, json.dumps(tree, indent=1) + "\n")


def read_comparison(file: Path) -> Comparison:
    """Return what a comparison found; `ArtefactError` if the file is none that was written here."""
    tree = _read(file)
    try:
        sets = {str(name): int(count) for name, count in tree["sets"].items()}
        shared = tuple(
            Shared(str(one["first"]), str(one["second"]), int(one["patients"]))
            for one in tree["shared"]
        )
        return Comparison(str(tree["key"]), str(tree["at"]), sets, shared)
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise _damaged(file, f"it lacks or garbles {err}") from err


def check_comparison(found: Comparison, plan: PartitionPlan, file: Path) -> None:
    """Raise where a comparison is not of the plan's sites, or found shared patients.

    Raises:
        ConfigError: a site of the plan was not compared.
        LeakError: sets that the run uses share patients.
    """
    used = {GLOBAL, *(site.site_id for site in plan.sites)}
    missing = sorted(used - {GLOBAL} - found.sets.keys())
    if missing:
        raise ConfigError(
            f"{file}: compares {some(list(found.sets))}, and not {some(missing)} of the plan. "
            "Compare the tokens of all its sites."
        )
    shared = [one for one in found.shared if {one.first, one.second} <= used]
    if shared:
        pairs = some([f"{one.first} and {one.second}: {one.patients}" for one in shared])
        raise LeakError(
            f"{file}: sites share patients ({pairs}). Have each of them at one site only, compare "
            "again, or run without --overlap."
        )


def _read(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise _damaged(file, "it is too large")
        tree = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as err:
        raise _damaged(file, f"it cannot be read: {err}") from err
    if not isinstance(tree, dict) or tree.get("format") != FORMAT:
        raise _damaged(file, f"it is not of format {FORMAT}")
    return tree


def _damaged(file: Path, reason: str) -> ArtefactError:
    return ArtefactError(
        f"{file}: not what `fedcxr check-overlap` writes: {reason}. Make it again."
    )
