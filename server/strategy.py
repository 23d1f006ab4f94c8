"""FedAvg with every reply checked, in memory that does not grow with the number of sites.

Flower's own FedAvg believes any weight, lets one NaN spoil the mean, turns integer buffers into
floats, keeps all replies at once and draws nodes from the global generator. What is kept of it is
the frame: `configure_train` makes the messages of a round, `aggregate_train` takes an iterable of
replies, here a stream.

Source: McMahan et al. 2017, "Communication-efficient learning of deep networks from decentralized
data", Algorithm 1.
"""

import logging
import math
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from fedcxr.codecs import Codec
from fedcxr.config.server import NormPolicy
from fedcxr.errors import QuorumError, RunError
from fedcxr.parameters import Parameters, ParameterSpec
from fedcxr.wire import ORDER, PARAMETERS, Order, pack_order, pack_parameters, unpack_vectors
from server.bounds import Norms, UpdateBound, median_norms
from server.check import CheckedUpdate, SkippedError, TooLongError, check_update
from server.cohort import draw_cohort
from server.decoder import Decoder
from server.exchange import Reply
from server.mean import RunningMean

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Federation:
    """What stays the same over all rounds."""

    run: str
    task: str
    """`SiteTask` as JSON."""
    spec: ParameterSpec
    seed: int
    node_by_site: Mapping[str, int]
    most_examples: Mapping[str, int]
    """Training images of each site in the plan; no site may weigh more."""
    fraction: float
    quorum: float
    threads: int
    """Of each client."""
    codec: Codec = field(default_factory=Codec)
    norm_factor: float | None = None
    """How many times as long as usual an update may be."""
    norm_policy: NormPolicy = "refuse"
    advice: str = ""
    """How to go on where too few sites answered, for a reader."""


@dataclass(slots=True)
class RoundLog:
    """What happened to each site's reply in one round."""

    accepted: list[dict[str, object]] = field(default_factory=list)
    refused: list[dict[str, object]] = field(default_factory=list)
    missing: list[dict[str, str]] = field(default_factory=list)
    skipped: int = 0
    """Of the missing: sites that had nothing to train on, which the quorum does not count."""
    images: int = 0
    bytes_up: int = 0
    """Of the arrays in the accepted replies."""
    loss_sum: float = 0.0
    norms: list[Norms] = field(default_factory=list)
    """Of the accepted updates."""

    @property
    def usual(self) -> Norms:
        """Return the medians of the accepted updates' norms."""
        return median_norms(self.norms)


class CheckedFedAvg(FedAvg):
    """FedAvg whose cohort is drawn by site, whose replies are checked and streamed."""

    def __init__(
        self, federation: Federation, on_site: Callable[[str, str, int], None] | None = None
    ) -> None:
        super().__init__(min_train_nodes=1, min_evaluate_nodes=1, min_available_nodes=1)
        self.federation = federation
        self.learning_rate = 0.0
        self.round_log = RoundLog()
        self.orders: dict[str, Order] = {}
        self.history: tuple[Norms, ...] = ()
        """Of each round so far the usual norms; they bound the updates of the next."""
        self._decoder = Decoder(federation.codec, federation.spec)
        self._given: Parameters | None = None
        self._bound: UpdateBound | None = None
        self._on_site = on_site or (lambda site_id, outcome, images: None)

    def cohort(self, server_round: int) -> list[str]:
        """Return the sites that take part in a round, those with most images first.

        Replies are added in this order, so a long one must not be waited for at the end, nor stand
        between short ones.
        """
        sites = self.federation
        drawn = draw_cohort(list(sites.node_by_site), sites.fraction, sites.seed, server_round)
        return sorted(drawn, key=lambda site_id: (-sites.most_examples[site_id], site_id))

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Return the round's messages, one for each site of the cohort."""
        makers = self.train_orders(server_round, arrays)
        return [make() for _, make in makers]

    def train_orders(
        self, server_round: int, arrays: ArrayRecord
    ) -> list[tuple[str, Callable[[], Message]]]:
        """Return each site of the cohort with the maker of its message."""
        sites = self.federation
        self._given = unpack_vectors(arrays)
        self._decoder.begin(self._given)
        self._bound = None
        if sites.norm_factor is not None:
            self._bound = UpdateBound(
                sites.norm_factor, sites.norm_policy, self.history, sites.most_examples
            )
        return self.orders_for(MessageType.TRAIN, self.cohort(server_round), server_round, arrays)

    def orders_for(
        self, kind: str, site_ids: Sequence[str], server_round: int, arrays: ArrayRecord | None
    ) -> list[tuple[str, Callable[[], Message]]]:
        """Return each site with the maker of its message; all share one record of arrays."""
        self.orders = {}
        sites = self.federation

        def make(site_id: str) -> Message:
            order = Order(
                sites.run,
                server_round,
                secrets.token_hex(16),
                sites.spec.digest,
                sites.task,
                self.learning_rate,
                sites.threads,
            )
            self.orders[site_id] = order
            content = RecordDict({ORDER: pack_order(order)})
            if arrays is not None:
                content[PARAMETERS] = arrays
            return Message(
                content,
                dst_node_id=sites.node_by_site[site_id],
                message_type=kind,
                group_id=str(server_round),
            )

        return [(site_id, partial(make, site_id)) for site_id in site_ids]

    def aggregate_train(
        self,
        server_round: int,
        replies: Iterable[Reply],  # type: ignore[override]  # a stream
    ) -> tuple[ArrayRecord, MetricRecord]:
        """Return the weighted mean of the replies that pass, and the mean training loss.

        Raises:
            QuorumError: fewer sites than the quorum answered rightly.
        """
        self.round_log = RoundLog()
        running = RunningMean()
        asked = 0
        for reply in replies:
            asked += 1
            update = self._accept(reply, server_round)
            if update is not None:
                running.add(update.parameters, update.num_examples)
                self._note(update)
            del reply, update  # before the next one is waited for: a reply is 28 MB
        self._check_quorum(server_round, asked)
        loss = self.round_log.loss_sum / running.total_weight
        return pack_parameters(running.mean()), MetricRecord({"train-loss": loss})

    def _accept(self, reply: Reply, server_round: int) -> CheckedUpdate | None:
        if reply.message is None:
            self.round_log.missing.append({"site_id": reply.site_id, "reason": reply.reason})
            self._on_site(reply.site_id, "missing", 0)
            return None
        order = self.orders.pop(reply.site_id, None)
        try:
            if order is None:
                raise RunError("the site was not asked, or has answered already")
            assert self._given is not None, "train_orders() comes first"
            return check_update(
                reply.message,
                reply.site_id,
                order,
                spec=self.federation.spec,
                most_examples=self.federation.most_examples[reply.site_id],
                given=self._given,
                bound=self._bound,
                read=self._decoder.read,
            )
        except SkippedError as err:
            self.round_log.missing.append({"site_id": reply.site_id, "reason": f"skipped: {err}"})
            self.round_log.skipped += 1
            self._on_site(reply.site_id, "skipped", 0)
            return None
        except RunError as err:
            log.warning("round %d: %s refused: %s", server_round, reply.site_id, err)
            row: dict[str, object] = {"site_id": reply.site_id, "reason": str(err)}
            if isinstance(err, TooLongError):
                row |= _as_row(err.norms)
            self.round_log.refused.append(row)
            self._on_site(reply.site_id, "refused", 0)
            return None

    def _note(self, update: CheckedUpdate) -> None:
        self.round_log.accepted.append(
            {
                "site_id": update.site_id,
                "num_examples": update.num_examples,
                "train_loss": update.train_loss,
                "seconds": round(update.seconds, 4),
                **_as_row(update.norms),
                **({"clipped": True} if update.is_clipped else {}),
            }
        )
        self.round_log.norms.append(update.norms)
        self.round_log.images += update.images_seen
        self.round_log.bytes_up += update.payload_bytes
        self.round_log.loss_sum += update.num_examples * update.train_loss
        self._on_site(update.site_id, "done", update.images_seen)

    def _check_quorum(self, server_round: int, asked: int) -> None:
        asked -= self.round_log.skipped
        needed = max(1, math.ceil(self.federation.quorum * asked - 1e-9))
        if len(self.round_log.accepted) >= needed:
            return
        bad: list[Mapping[str, object]] = [*self.round_log.refused, *self.round_log.missing]
        reasons = [f"{row['site_id']}: {row['reason']}" for row in bad]
        raise QuorumError(
            f"Round {server_round}: {len(self.round_log.accepted)} of {asked} sites answered "
            f"rightly, {needed} are needed. "
            + "; ".join(reasons[:10])
            + f". {self.federation.advice}"
        )


def _as_row(norms: Norms) -> dict[str, object]:
    return {"update_norm": norms.trained, "buffer_norm": norms.buffers}
