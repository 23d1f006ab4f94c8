"""The intake of a round: every reply is matched with its order, checked, counted and recorded.

A wrong reply does not count, and the round goes on; too few right ones end the run. What passes is
yielded one at a time, so that no more than one reply is in memory.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fedcxr.codecs import Floats
from fedcxr.errors import QuorumError, RunError
from fedcxr.parameters import Parameters
from fedcxr.wire import Order
from server.bounds import Norms, UpdateBound, median_norms
from server.check import SiteUpdate, SkippedError, TooLongError, check_update
from server.exchange import Reply
from server.orders import OrderBook

Observer = Callable[[Order, SiteUpdate], None]
"""Sees each order with the update that answered it. Vectors hold until the next reply is read: an
observer that keeps them copies them."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class RoundLog:
    """What happened to each site's reply in one round."""

    accepted: list[dict[str, object]] = field(default_factory=list)
    refused: list[dict[str, object]] = field(default_factory=list)
    missing: list[dict[str, object]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """Of the missing: sites that had nothing to train on, which the quorum does not count."""
    images: int = 0
    bytes_up: int = 0
    """Of the arrays in the accepted replies."""
    weight: int = 0
    """Images behind the accepted updates."""
    loss_sum: float = 0.0
    norms: list[Norms] = field(default_factory=list)
    """Of the accepted updates; under secure aggregation of their mean alone."""
    sums_loss: bool = False
    """Whether the sites' losses came as a sum, of which none is known by itself."""
    mean_refused: str = ""
    """Under secure aggregation: why the mean of the sites' updates does not count."""
    secure: dict[str, object] | None = None
    """Of a round under secure aggregation: what was clipped, who fell silent, time by stage."""

    def not_taken(self) -> dict[str, object]:
        """Return for the round's line that its new model does not count; nothing if it may."""
        return {"taken": False, "reason": self.mean_refused} if self.mean_refused else {}

    @property
    def usual(self) -> Norms:
        """Return the medians of the accepted updates' norms."""
        return median_norms(self.norms)

    @property
    def train_loss(self) -> float | None:
        """Return the mean training loss in nats, weighted as the updates are; None if not told."""
        told = self.sums_loss or any(row["train_loss"] is not None for row in self.accepted)
        return self.loss_sum / self.weight if told else None


class Intake:
    """Takes the replies of one round after another."""

    def __init__(
        self,
        book: OrderBook,
        on_site: Callable[[str, str, int], None] = lambda site_id, outcome, images: None,
        observers: Sequence[Observer] = (),
    ) -> None:
        """Begin.

        Args:
            book: the orders that replies answer.
            on_site: told of each reply: site, outcome, images seen.
            observers: see every accepted update with its order, before it is added to the others.
        """
        self._book = book
        self.on_site = on_site
        self._observers = observers
        self._decoded: Floats | None = None
        self.federation = book.federation
        self.log = RoundLog()
        self.history: tuple[Norms, ...] = ()
        """Of each round so far the usual norms; they bound the updates of the next."""

    def missed_before(self, round_num: int) -> set[str]:
        """Return the sites that did not answer in the round before, where this process saw it."""
        return {str(row["site_id"]) for row in self.log.missing} if round_num > 1 else set()

    def take(
        self, round_num: int, given: Parameters, replies: Iterable[Reply]
    ) -> Iterator[SiteUpdate]:
        """Yield the updates that pass; each holds until the next is asked for.

        Args:
            round_num: the round.
            given: the shared values that its sites were sent.
            replies: in the order of the orders.

        Raises:
            QuorumError: when all are read, and fewer sites than the quorum answered rightly.
        """
        sites = self.federation
        self.log = RoundLog()
        bound = None
        if sites.norm_factor is not None:
            bound = UpdateBound(
                sites.norm_factor, sites.norm_policy, self.history, sites.most_examples
            )
        asked = 0
        for reply in replies:
            asked += 1
            update = self._accept(reply, round_num, given, bound)
            if update is not None:
                self._note(update)
                yield update
            del reply, update  # before the next one is waited for: a reply is 28 MB
        self.check_quorum(round_num, asked)

    def _accept(
        self, reply: Reply, round_num: int, given: Parameters, bound: UpdateBound | None
    ) -> SiteUpdate | None:
        if reply.message is None:
            self.log.missing.append({"site_id": reply.site_id, "reason": reply.reason})
            self.on_site(reply.site_id, "missing", 0)
            return None
        sites = self.federation
        order = self._book.open.pop(reply.site_id, None)
        try:
            if order is None:
                raise RunError("the site was not asked, or has answered already")
            update = check_update(
                reply.message,
                reply.site_id,
                order,
                schema=sites.schema,
                most_examples=sites.most_examples[reply.site_id],
                given=given,
                bound=bound,
                decoded=self._room(),
            )
        except SkippedError as err:
            self.log.missing.append({"site_id": reply.site_id, "reason": f"skipped: {err}"})
            self.log.skipped.append(reply.site_id)
            self.on_site(reply.site_id, "skipped", 0)
            return None
        except RunError as err:
            log.warning("round %d: %s refused: %s", round_num, reply.site_id, err)
            row: dict[str, object] = {"site_id": reply.site_id, "reason": str(err)}
            if isinstance(err, TooLongError):
                row |= _as_row(err.norms)
            self.log.refused.append(row)
            self.on_site(reply.site_id, "refused", 0)
            return None
        for observe in self._observers:
            observe(order, update)
        return update

    def _room(self) -> Floats:
        """Return where an encoded update is decoded to, the same for every reply.

        Blocks of 28 MB from the heap, one a reply, would be kept and fragmented.
        """
        schema = self.federation.schema
        if self._decoded is None:
            size = schema.shared.spec.num_float if schema.chain.links else 0
            self._decoded = np.empty(size, np.float32)
        return self._decoded

    def _note(self, update: SiteUpdate) -> None:
        # Before the noise of client-level privacy an update's length is a site's own.
        lengths = {} if self.federation.schema.protects == "client" else _as_row(update.norms)
        self.log.accepted.append(
            {
                "site_id": update.site_id,
                "num_examples": update.num_examples,
                "train_loss": update.train_loss,
                "seconds": round(update.seconds, 4),
                **lengths,
                **({"clipped": True} if update.is_clipped else {}),
                **({"vae": update.vae.model_dump()} if update.vae else {}),
            }
        )
        self.log.norms.append(update.norms)
        self.log.images += update.images_seen
        self.log.bytes_up += update.payload_bytes
        self.log.weight += update.num_examples
        self.log.loss_sum += update.num_examples * (update.train_loss or 0.0)
        self.on_site(update.site_id, "done", update.images_seen)

    def check_quorum(self, round_num: int, asked: int) -> None:
        """Raise `QuorumError` where fewer of the sites that were asked answered rightly."""
        sites = self.federation
        asked -= len(self.log.skipped)
        if sites.draw is not None and asked <= 0:
            return  # such a round may be drawn: nothing but noise
        needed = quorum_of(sites.quorum, asked)
        if len(self.log.accepted) >= needed:
            return
        bad: list[Mapping[str, object]] = [*self.log.refused, *self.log.missing]
        reasons = [f"{row['site_id']}: {row['reason']}" for row in bad]
        raise QuorumError(
            f"Round {round_num}: {len(self.log.accepted)} of {asked} sites answered "
            f"rightly, {needed} are needed. " + "; ".join(reasons[:10]) + f". {sites.advice}"
        )


def quorum_of(quorum: float, asked: int) -> int:
    """Return how many of the sites that were asked must answer rightly; at least one.

    >>> quorum_of(0.5, 3), quorum_of(0.01, 3)
    (2, 1)
    """
    return max(1, math.ceil(quorum * asked - 1e-9))


def _as_row(norms: Norms) -> dict[str, object]:
    row: dict[str, object] = {"update_norm": norms.trained, "buffer_norm": norms.buffers}
    return row | ({"besides_norm": norms.besides} if norms.besides else {})
