"""One round under secure aggregation: four exchanges, of which the server learns a sum.

The orders, the window and the deadlines are those of any round, and a site that does not answer a
stage is left out of the later ones. What comes at the third stage is a vector of masked words,
added up as it comes; the fourth gives what takes the masks off the sum. With fewer sites than the
graph needs the round ends by `QuorumError`: nothing is unmasked, and the last checkpoint stays.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from flwr.app import ArrayRecord, Message, MessageType
from flwr.serverapp import Grid

from fedcxr.config.task import SecureTask
from fedcxr.errors import QuorumError, RunError
from fedcxr.schema import MASKED, WireSchema
from fedcxr.secagg.messages import (
    PublicKeys,
    Stage,
    StageOrder,
    StageReply,
    from_keys,
    read_message,
    to_keys,
)
from fedcxr.secagg.quantise import Mean, Words, to_mean
from fedcxr.secagg.server_stages import (
    Gathered,
    Opened,
    check_enough,
    keys_for,
    request_for,
    shares_for,
    unmask,
)
from fedcxr.secagg.setup import Advertisement, Setup
from fedcxr.secagg.statement import Statement, check_identity, check_signature
from fedcxr.wire import arrays_in, payload_bytes, unpack_secure, unpack_vectors
from server.check import SkippedError, check_receipt
from server.exchange import ExchangeLimits, exchange
from server.intake import Intake, RoundLog
from server.orders import OrderBook, SaidInRound

log = logging.getLogger(__name__)

Outcome = Literal["missing", "refused"]
Take = Callable[[str, Message], None]
"""Reads a site's answer; `RunError` where it is wrong."""


@dataclass(slots=True)
class SecureRound:
    """One round in the making."""

    book: OrderBook
    grid: Grid
    limits: ExchangeLimits
    intake: Intake
    task: SecureTask
    setup: Setup
    seconds: dict[str, float] = field(default_factory=dict)
    """By stage."""
    site_keys: Mapping[str, bytes] | None = None
    """The public key of each site's kit, which must have signed the site's; none = no kits."""
    identities: dict[str, bytes] = field(default_factory=dict)
    """By site, the public key with which it signs."""
    kit_signatures: dict[str, bytes] = field(default_factory=dict)
    """By site that has a kit, its key's signature under that."""
    statements: dict[str, dict[str, str]] = field(default_factory=dict)
    """By site whose words are in the sum, in hexadecimal, what it signed and with which key."""
    silent_at_the_end: list[str] = field(default_factory=list)
    """Sites whose values are in the sum, and who did not help to unmask it."""

    def run(self, arrays: ArrayRecord) -> Mean:
        """Return the mean of the sites' numbers.

        Args:
            arrays: what an order to train carries.

        Raises:
            QuorumError: too few sites are left at a stage.
            RunError: what was unmasked is no sum of the sites' numbers.
        """
        self.intake.log = RoundLog()
        try:
            gathered, total = self._masked_sum(arrays)
            opened = self._opened(gathered)
            begun = time.perf_counter()
            unmask(opened, total)
        except QuorumError as err:
            rows = [*self.intake.log.refused, *self.intake.log.missing]
            reasons = "; ".join(f"{row['site_id']}: {row['reason']}" for row in rows[:10])
            advice = self.book.federation.advice
            raise QuorumError(" ".join(x for x in (f"{err} {reasons}.", advice) if x)) from err
        sites = len(gathered.survivors)
        found = to_mean(self.task.quantiser, self._schema.layout, total, sites)
        if self._schema.is_private and found.weight != sites:
            raise RunError("the unmasked sum is not of sites that weigh 1 each")
        self.seconds["unmask"] = time.perf_counter() - begun
        return found

    @property
    def _schema(self) -> WireSchema:
        return self.book.federation.schema

    def _masked_sum(self, arrays: ArrayRecord) -> tuple[Gathered, Words]:
        """Go through the first three stages."""
        setup = self.setup
        advertised: dict[str, Advertisement] = {}

        def take_keys(site_id: str, message: Message) -> None:
            said = self._said(message)
            self._take_identity(site_id, said)
            advertised[site_id] = from_keys(_keys_in(said))

        self._exchange("advertise", setup.circle, {}, take_keys)
        check_enough(setup, len(advertised), "advertise")

        sealed: dict[str, Mapping[str, bytes]] = {}

        def take_shares(site_id: str, message: Message) -> None:
            boxes = self._said(message).sealed
            if set(boxes) != set(keys_for(setup, advertised, site_id)):
                raise RunError("the site has shared its secrets with others than its neighbours")
            sealed[site_id] = boxes

        near = {site_id: keys_for(setup, advertised, site_id) for site_id in advertised}
        texts = {
            site_id: self._order(
                "share", advertised={other: to_keys(row) for other, row in keys.items()}
            )
            for site_id, keys in near.items()
        }
        self._exchange("share", list(advertised), texts, take_shares)
        check_enough(setup, len(sealed), "share")

        total = np.zeros(self._schema.layout.words, np.uint32)
        survivors: set[str] = set()

        def take_masked(site_id: str, message: Message) -> None:
            record = arrays_in(message.content)
            words = unpack_vectors(record, self._schema.reply)[MASKED]
            self._check_statement(site_id, self._said(message), words)
            np.add(total, words, out=total)
            survivors.add(site_id)
            self.intake.log.bytes_up += payload_bytes(record)

        texts = {n: self._order("mask", sealed=shares_for(setup, sealed, n)) for n in sealed}
        self._exchange("mask", list(sealed), texts, take_masked, arrays)
        check_enough(setup, len(survivors), "mask")
        return Gathered(setup, advertised, frozenset(sealed), frozenset(survivors)), total

    def _opened(self, gathered: Gathered) -> Opened:
        """Go through the last stage."""
        opened = Opened(gathered)

        def take_revealed(site_id: str, message: Message) -> None:
            opened.add(site_id, self._said(message).revealed())

        texts = {}
        for site_id in gathered.survivors:
            request = request_for(gathered, site_id)
            texts[site_id] = self._order(
                "reveal", survivors=sorted(request.survivors), dropped=sorted(request.dropped)
            )
        asked = [site_id for site_id in self.setup.circle if site_id in gathered.survivors]
        self._exchange("reveal", asked, texts, take_revealed)
        return opened

    def _exchange(
        self,
        stage: Stage,
        site_ids: Collection[str],
        texts: Mapping[str, str],
        take: Take,
        arrays: ArrayRecord | None = None,
    ) -> None:
        """Ask sites at a stage and read what comes; whoever does not answer is noted."""
        begun = time.perf_counter()
        order = self.book.by_images(site_ids)
        kind = MessageType.TRAIN if stage == "mask" else f"{MessageType.QUERY}.{stage}"
        said = SaidInRound(
            len(self.setup.circle),
            {site_id: texts.get(site_id) or self._order(stage) for site_id in order},
        )
        orders = self.book.orders(kind, order, self.setup.round_num, arrays, said=said)
        for reply in exchange(self.grid, orders, self.limits):
            if reply.message is None:
                self._note("missing", reply.site_id, stage, reply.reason)
            else:
                self._take(stage, reply.site_id, reply.message, take)
            del reply  # before the next one is waited for: a reply is 28 MB
        self.seconds[stage] = time.perf_counter() - begun

    def _take(self, stage: Stage, site_id: str, message: Message, take: Take) -> None:
        try:
            order = self.book.open.pop(site_id, None)
            if order is None:
                raise RunError("the site was not asked, or has answered already")
            check_receipt(message, site_id, order)
            take(site_id, message)
        except SkippedError as err:
            self.intake.log.skipped.append(site_id)
            self._note("missing", site_id, stage, f"skipped: {err}")
        except RunError as err:
            log.warning("round %d: %s refused: %s", self.setup.round_num, site_id, err)
            self._note("refused", site_id, stage, str(err))
        else:
            if stage == "mask":
                self.intake.log.accepted.append({"site_id": site_id, "train_loss": None})
                self.intake.on_site(site_id, "done", 0)

    def _take_identity(self, site_id: str, said: StageReply) -> None:
        """Keep the key with which a site signs, which the key of its kit must have signed."""
        public = said.identity
        if public is None:
            raise RunError("the site shows no key to sign with")
        if self.site_keys is not None:
            node, signature = self.site_keys.get(site_id), said.kit_signature
            if node is None or signature is None:
                raise RunError("the site's key for this run is not signed by the key of its kit")
            check_identity(node, self.setup.run, site_id, public, signature)
            self.kit_signatures[site_id] = signature
        self.identities[site_id] = public

    def _check_statement(self, site_id: str, said: StageReply, words: Words) -> None:
        """Refuse words that come without the site's signed word that it checked what is in them."""
        if said.signature is None:
            raise RunError("the site does not say by its signature that it has checked its update")
        wanted = self.task.checks(self._schema.protects)
        if said.checks != wanted:
            raise RunError("the site has checked other things than the run asks for")
        setup = self.setup
        digest = hashlib.sha256(np.ascontiguousarray(words).data).hexdigest()
        names = setup.run, setup.round_num, setup.session, site_id
        identity = self.identities[site_id]
        check_signature(identity, Statement(*names, wanted, digest), said.signature)
        self.statements[site_id] = {
            "identity": identity.hex(),
            "masked_sha256": digest,
            "signature": said.signature.hex(),
        }
        if site_id in self.kit_signatures:
            self.statements[site_id]["kit_signature"] = self.kit_signatures[site_id].hex()

    def _note(self, outcome: Outcome, site_id: str, stage: Stage, reason: str) -> None:
        """Write down that a site gave nothing at a stage.

        Of the last stage it is noted apart: the site's values are in the sum already.
        """
        if stage == "reveal":
            self.silent_at_the_end.append(site_id)
            return
        place = self.intake.log.missing if outcome == "missing" else self.intake.log.refused
        said = reason if reason.startswith("skipped") else f"stage {stage}: {reason}"
        place.append({"site_id": site_id, "reason": said})
        self.intake.on_site(site_id, outcome, 0)

    def _order(self, stage: Stage, **said: object) -> str:
        setup = self.setup
        fields = {"stage": stage, "session": setup.session, "circle": setup.circle, **said}
        return StageOrder.model_validate(fields).to_text()

    def _said(self, message: Message) -> StageReply:
        said = read_message(StageReply, unpack_secure(message.content))
        if said.session != self.setup.session:
            raise RunError("the reply is of another session of secure aggregation")
        return said


def _keys_in(said: StageReply) -> PublicKeys:
    if said.keys is None:
        raise RunError("the site's answer holds no keys")
    return said.keys
