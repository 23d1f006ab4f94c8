"""A site's answers to the stages of secure aggregation, and what it refuses.

The arithmetic is `fedcxr/secagg/`; here is what makes it hold over several messages. A question
that comes twice gets the same answer. Another question in its place gets none: a site shares its
secrets once, masks one vector, and answers one request to unmask in a session.
"""

import hashlib
import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clients.secure_state import (
    SecureState,
    kept_pairs,
    newest_state,
    read_state,
    to_kept,
    write_state,
)
from fedcxr.config.task import SecureTask
from fedcxr.errors import ArtefactError, RunError
from fedcxr.secagg.keys import new_secret
from fedcxr.secagg.messages import Stage, StageOrder, StageReply, from_keys, to_keys
from fedcxr.secagg.quantise import Words
from fedcxr.secagg.setup import Setup
from fedcxr.secagg.site_stages import advertise, mask, new_secrets, open_shares, reveal, share
from fedcxr.secagg.statement import Statement, identity_public, sign, sign_identity


@dataclass(frozen=True, slots=True)
class SecureSite:
    """One site in one session."""

    folder: Path
    """The run's own, below the site's state folder."""
    site_id: str
    setup: Setup
    said: StageOrder
    """The server's question."""
    node_key: Path | None = None
    """The key of the site's kit, where it has one."""

    def answer(self) -> StageReply:
        """Return the answer to the stage that the server asks for."""
        if self.said.stage == "advertise":
            return self.advertise()
        if self.said.stage == "share":
            return self.share()
        if self.said.stage == "reveal":
            return self.reveal()
        raise RunError("the stage of secure aggregation does not go with the message")

    def advertise(self) -> StageReply:
        """Return the site's public keys, made anew where the session is new."""
        before = kept = newest_state(self.folder)
        if kept is None or kept.session != self.setup.session:
            kept = SecureState(
                session=self.setup.session,
                circle=self.setup.circle,
                secrets=to_kept(new_secrets()),
                identity=before.identity if before else None,
                lengths=before.lengths if before else {},
            )
        if kept.identity is None:
            kept = kept.model_copy(update={"identity": new_secret()})
        if kept != before:
            write_state(self.folder, kept)
        self._check_circle(kept)
        row = advertise(self.setup, self.site_id, kept.own_secrets())
        public = identity_public(_known(kept.identity))
        signature = None
        if self.node_key is not None:
            names = self.setup.run, self.site_id
            signature = sign_identity(_read_key(self.node_key), *names, public)
        return self._reply("advertise", keys=to_keys(row), identity=public, kit_signature=signature)

    def share(self) -> StageReply:
        """Return the shares of the site's secrets, sealed; the same to the same keys."""
        state = self._state()
        if state.shared is not None:
            if state.advertised != self.said.advertised:
                raise RunError("the server sends other keys than before in this session")
            return state.shared
        made = share(self.setup, self.site_id, state.own_secrets(), self.said.keys())
        reply = self._reply("share", sealed=dict(made.sealed))
        held = kept_pairs({self.site_id: made.own})
        changes = {"advertised": self.said.advertised, "shared": reply, "held": held}
        write_state(self.folder, state.model_copy(update=changes))
        return reply

    def open(self) -> None:
        """Keep the shares that the neighbours have sent: before training, which takes long."""
        state = self._state()
        if state.shared is None:
            raise RunError("the server asks for values before secrets were shared")
        keys = {name: from_keys(row) for name, row in state.advertised.items()}
        secrets = state.own_secrets()
        opened = open_shares(self.setup, self.site_id, secrets, keys, self.said.sealed)
        held = {self.site_id: state.held[self.site_id], **kept_pairs(opened)}
        if len(state.held) > 1 and held != state.held:
            raise RunError("the server passes on other shares than before in this session")
        write_state(self.folder, state.model_copy(update={"held": held}))

    def mask(self, values: Words) -> Words:
        """Return the values under the session's masks, in place.

        Raises:
            RunError: other values were masked in this session: what leaves under one mask twice
                shows its difference.
        """
        state = self._state()
        keys = {name: from_keys(row) for name, row in state.advertised.items()}
        sharers = frozenset(state.held) - {self.site_id}
        secrets = state.own_secrets()
        mask(self.setup, self.site_id, secrets, keys, sharers=sharers, values=values)
        digest = hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()
        if state.masked_sha256 not in (None, digest):
            raise RunError("the site has masked other values in this session")
        write_state(self.folder, state.model_copy(update={"masked_sha256": digest}))
        return values

    def signed(self, checks: tuple[str, ...], lengths: tuple[float, float]) -> StageReply:
        """Return the site's word on the update behind the words that were masked.

        Args:
            checks: the names of those that it has passed.
            lengths: of its trained values and buffers; the rounds after are measured by them.
        """
        state, setup = self._state(), self.setup
        digest = state.masked_sha256
        if digest is None:
            raise ValueError("nothing was masked")
        names = setup.run, setup.round_num, setup.session, self.site_id
        signature = sign(_known(state.identity), Statement(*names, checks, digest))
        kept = {number: pair for number, pair in state.lengths.items() if number < setup.round_num}
        write_state(
            self.folder, state.model_copy(update={"lengths": {**kept, setup.round_num: lengths}})
        )
        return self._reply("mask", checks=checks, signature=signature)

    def usual_lengths(self) -> tuple[float, float] | None:
        """Return the median lengths of the site's own updates before; None without any."""
        before = [
            pair for number, pair in self._state().lengths.items() if number < self.setup.round_num
        ]
        if not before:
            return None
        trained, buffers = zip(*before, strict=True)
        return statistics.median(trained), statistics.median(buffers)

    def reveal(self) -> StageReply:
        """Return the shares that the server may have, and forget all secrets of the session."""
        state = self._state()
        asked = hashlib.sha256(self.said.to_text().encode()).hexdigest()
        if state.revealed is not None:
            if state.asked != asked:
                raise RunError("the server asks to unmask twice in one session")
            return state.revealed
        if state.masked_sha256 is None:
            raise RunError("the server asks to unmask before the site has sent its values")
        found = reveal(self.setup, self.site_id, state.pairs(), self.said.request())
        reply = self._reply("reveal", seeds=dict(found.seeds), mask_keys=dict(found.mask_keys))
        over: dict[str, object] = {"secrets": None, "held": {}, "shared": None, "advertised": {}}
        write_state(
            self.folder, state.model_copy(update={**over, "asked": asked, "revealed": reply})
        )
        return reply

    def _state(self) -> SecureState:
        state = read_state(self.folder, self.setup.session)
        self._check_circle(state)
        return state

    def _check_circle(self, state: SecureState) -> None:
        if state.circle != self.setup.circle:
            raise RunError("the server names other sites than before in this session")

    def _reply(self, stage: Stage, **said: object) -> StageReply:
        return StageReply.model_validate({"stage": stage, "session": self.setup.session, **said})


def secure_site(
    folder: Path,
    site_id: str,
    run: str,
    round_num: int,
    *,
    task: SecureTask,
    said: StageOrder,
    node_key: Path | None = None,
) -> SecureSite:
    """Return the site in the session that the server speaks of.

    Raises:
        RunError: more sites are asked than the task's quantiser has room for.
    """
    if len(said.circle) > task.sites:
        raise RunError("the server asks more sites than its task says")
    setup = said.setup(run, round_num)
    setup.neighbours(site_id)  # refuses a circle without the site
    return SecureSite(folder, site_id, setup, said, node_key)


def _read_key(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as err:
        raise ArtefactError(f"{file}: cannot be read ({err.strerror}). Put it back.") from err


def _known(identity: bytes | None) -> bytes:
    if identity is None:
        raise RunError("the server goes on with a session that was begun by another version")
    return identity
