"""What each stage says, as text between server and site; read like any foreign text.

Orders are `StageOrder`, answers `StageReply`; each stage fills its own fields. Bytes are written in
hexadecimal. The masked values of stage 2 travel as a declared vector beside them.
"""

from typing import Annotated, Literal, TypeVar

from pydantic import ConfigDict, Field, ValidationError

from fedcxr.errors import RunError
from fedcxr.secagg.keys import KEY_BYTES
from fedcxr.secagg.setup import Advertised, Advertisement, Revealed, Setup, UnmaskRequest
from fedcxr.secagg.shares import SHARE_BYTES
from fedcxr.secagg.statement import MOST_KIT_SIGNATURE_BYTES, SIGNATURE_BYTES
from fedcxr.section import Section

Stage = Literal["advertise", "share", "mask", "reveal"]
LONGEST = 1 << 23
"""Characters; a thousand neighbours' shares are a tenth of it."""
MOST_SITES = 10_000
MOST_CHECKS = 32

Name = Annotated[str, Field(min_length=1, max_length=128)]
Key = Annotated[bytes, Field(min_length=KEY_BYTES, max_length=KEY_BYTES)]
Share = Annotated[bytes, Field(min_length=SHARE_BYTES, max_length=SHARE_BYTES)]
Box = Annotated[bytes, Field(max_length=8 * SHARE_BYTES)]
Signature = Annotated[bytes, Field(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]
KitSignature = Annotated[bytes, Field(max_length=MOST_KIT_SIGNATURE_BYTES)]
Said = TypeVar("Said", bound="Text")


class Text(Section):
    """A message, or a part of one."""

    model_config = ConfigDict(ser_json_bytes="hex", val_json_bytes="hex")

    def to_text(self) -> str:
        """Return the message as JSON."""
        return self.model_dump_json()


class PublicKeys(Text):
    """An `Advertisement`."""

    seal_public: Key
    mask_public: Key
    seed_commitment: Key


class StageOrder(Text):
    """What the server asks at a stage."""

    stage: Stage
    session: Name
    circle: tuple[Name, ...] = Field(max_length=MOST_SITES)
    advertised: dict[Name, PublicKeys] = Field(default_factory=dict)
    """Stage `share`: of the site's neighbours."""
    sealed: dict[Name, Box] = Field(default_factory=dict)
    """Stage `mask`: by neighbour what it has sent to the site."""
    survivors: tuple[Name, ...] = ()
    """Stage `reveal`."""
    dropped: tuple[Name, ...] = ()

    def setup(self, run: str, round_num: int) -> Setup:
        """Return what is public of the round."""
        return Setup(run, round_num, self.session, self.circle)

    def keys(self) -> Advertised:
        """Return the neighbours' keys."""
        return {name: from_keys(row) for name, row in self.advertised.items()}

    def request(self) -> UnmaskRequest:
        """Return what stage 3 asks for."""
        return UnmaskRequest(frozenset(self.survivors), frozenset(self.dropped))


class StageReply(Text):
    """What a site answers at a stage."""

    stage: Stage
    session: Name
    keys: PublicKeys | None = None
    """Stage `advertise`."""
    sealed: dict[Name, Box] = Field(default_factory=dict)
    """Stage `share`: by neighbour."""
    seeds: dict[Name, Share] = Field(default_factory=dict)
    """Stage `reveal`: by survivor."""
    mask_keys: dict[Name, Share] = Field(default_factory=dict)
    """Stage `reveal`: by site that is gone."""
    identity: Key | None = None
    """Stage `advertise`: the public key with which the site signs in this run."""
    kit_signature: KitSignature | None = None
    """Stage `advertise`: under it, where the site has a kit."""
    checks: tuple[Name, ...] = Field(default=(), max_length=MOST_CHECKS)
    """Stage `mask`: what the site has checked of its update."""
    signature: Signature | None = None
    """Stage `mask`: under that."""

    def revealed(self) -> Revealed:
        """Return the shares of stage 3."""
        return Revealed(self.seeds, self.mask_keys)


def to_keys(row: Advertisement) -> PublicKeys:
    """Return what a site advertises as it travels."""
    return PublicKeys(
        seal_public=row.seal_public,
        mask_public=row.mask_public,
        seed_commitment=row.seed_commitment,
    )


def from_keys(row: PublicKeys) -> Advertisement:
    """Return what a site advertises."""
    return Advertisement(row.seal_public, row.mask_public, row.seed_commitment)


def read_message(kind: type[Said], text: str) -> Said:
    """Return the message in a text; `RunError`, without its words, if it is none."""
    if len(text) > LONGEST:
        raise RunError("a message of secure aggregation is longer than it can be")
    try:
        return kind.model_validate_json(text)
    except ValidationError as err:
        raise RunError(
            f"a message of secure aggregation has {err.error_count()} wrong fields"
        ) from None
