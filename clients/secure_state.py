"""What a site keeps of one secure round: keys and shares, in a file that only its owner reads.

Any process may get any of a site's messages, so nothing is kept in memory alone. The file lies in
the site's state folder and is made anew for every session; when the last stage is answered its
secrets are removed, and the answer stays, in case it is asked for again.
"""

from pathlib import Path

from pydantic import Field

from fedcxr.atomic import write_text_atomically
from fedcxr.errors import ArtefactError, RunError
from fedcxr.secagg.messages import Key, Name, PublicKeys, Share, StageReply, Text, read_message
from fedcxr.secagg.site_stages import SharePair, SiteSecrets


class KeptSecrets(Text):
    """`SiteSecrets` in a file."""

    seal_private: Key
    mask_private: Key
    seed: Key


class KeptPair(Text):
    """`SharePair` in a file."""

    seed: Share
    mask_key: Share


class SecureState(Text):
    """How far a session has come at a site, and what goes over to the next."""

    session: Name
    circle: tuple[Name, ...]
    secrets: KeptSecrets | None
    """None when the last stage was answered."""
    advertised: dict[Name, PublicKeys] = Field(default_factory=dict)
    held: dict[Name, KeptPair] = Field(default_factory=dict)
    """By owner the share that the site holds; its own from stage 1 on, the others from stage 2."""
    shared: StageReply | None = None
    """The answer to stage 1."""
    masked_sha256: str | None = None
    """Of the masked values that were sent."""
    asked: str | None = None
    """The only request of stage 3 that is answered."""
    revealed: StageReply | None = None
    """The answer to it."""
    identity: Key | None = None
    """The private key with which the site signs; the same for all sessions of a run."""
    lengths: dict[int, tuple[float, float]] = Field(default_factory=dict)
    """By round, of the updates that were masked: trained values, buffers."""

    def own_secrets(self) -> SiteSecrets:
        """Return the session's secrets; `RunError` when they are gone."""
        if self.secrets is None:
            raise RunError("this session of secure aggregation is over")
        return SiteSecrets(self.secrets.seal_private, self.secrets.mask_private, self.secrets.seed)

    def pairs(self) -> dict[str, SharePair]:
        """Return by owner the share that the site holds."""
        return {name: SharePair(pair.seed, pair.mask_key) for name, pair in self.held.items()}


def to_kept(secrets: SiteSecrets) -> KeptSecrets:
    """Return secrets as they are kept."""
    return KeptSecrets(
        seal_private=secrets.seal_private, mask_private=secrets.mask_private, seed=secrets.seed
    )


def kept_pairs(pairs: dict[str, SharePair]) -> dict[str, KeptPair]:
    """Return shares as they are kept."""
    return {n: KeptPair(seed=pair.seed, mask_key=pair.mask_key) for n, pair in pairs.items()}


def write_state(folder: Path, state: SecureState) -> None:
    """Keep a session's state in place of any other session's."""
    write_text_atomically(_file(folder), state.to_text(), mode=0o600)


def read_state(folder: Path, session: str) -> SecureState:
    """Return a session's state.

    Raises:
        RunError: the site is in another session, or in none.
        ArtefactError: the file is damaged.
    """
    state = newest_state(folder)
    if state is None or state.session != session:
        raise RunError("the server goes on with a session of secure aggregation that is not ours")
    return state


def newest_state(folder: Path) -> SecureState | None:
    """Return the state of the newest session; None before the first."""
    file = _file(folder)
    if not file.is_file():
        return None
    try:
        return read_message(SecureState, file.read_text("utf-8"))
    except (RunError, UnicodeDecodeError) as err:
        raise ArtefactError(f"{file}: damaged. Delete it; the next round makes a new one.") from err


def _file(folder: Path) -> Path:
    return folder / "secure-round.json"
