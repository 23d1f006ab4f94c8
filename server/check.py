"""Every reply is checked before it counts: one wrong vector would spoil the model for all."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from flwr.app import Message
from numpy.typing import NDArray

from fedcxr.chain import UPDATE
from fedcxr.codecs import Floats
from fedcxr.config.vae import VAE_NUMBERS
from fedcxr.errors import RunError
from fedcxr.parameters import Parameters
from fedcxr.results.vae_numbers import VaeNumbers
from fedcxr.schema import COUNTERS, KNOWN, WireSchema
from fedcxr.update_rules import check_counters, check_variances
from fedcxr.vectors import Vectors, problem_of
from fedcxr.wire import (
    OK,
    SKIPPED,
    Order,
    Receipt,
    arrays_in,
    payload_bytes,
    unpack_receipt,
    unpack_result,
    unpack_vectors,
)
from server.bounds import Norms, UpdateBound, clipped, norms_of, shortened


@dataclass(frozen=True, slots=True, eq=False)
class SiteUpdate:
    """A reply that passed every check; its arrays may be those of the message."""

    site_id: str
    update: Floats = field(repr=False)
    """(P,) of the shared part: what the site has added to what it was given."""
    counters: NDArray[np.int64] = field(repr=False)
    num_examples: int
    train_loss: float | None
    """None where each patient is protected, and the site tells nothing but its update."""
    images_seen: int
    seconds: float
    payload_bytes: int
    norms: Norms
    """Of the update as it was sent."""
    is_clipped: bool = False
    vectors: Mapping[str, Floats] = field(default_factory=dict, repr=False)
    """What the algorithm has a site send besides, (T,) each."""
    known: NDArray[np.int64] | None = field(default=None, repr=False)
    """(L,) training targets that are known, where sites count them."""
    vae: VaeNumbers | None = None
    """What the site says of its VAE, in the round that made it."""


class TooLongError(RunError):
    """The update moves the model many times as far as usual."""

    def __init__(self, norms: Norms, limit: Norms) -> None:
        self.norms = norms
        names = ("the update of its trained values", "the update of its batch-norm statistics")
        rows = zip((*names, "what it sends besides"), norms.lengths(), limit.lengths(), strict=True)
        what, length, most = next(row for row in rows if row[1] > row[2])
        super().__init__(
            f"{what} has the norm {length:.3g}, and by the rounds before {most:.3g} is allowed "
            "(server.norm_factor)"
        )


class SkippedError(RunError):
    """The site had nothing to train on; it is neither wrong nor absent."""


def check_receipt(message: Message, site_id: str, order: Order) -> Receipt:
    """Return the receipt; `RunError` says why the reply is not the answer to `order`.

    A site that says itself that it failed or skipped is refused with its own reason.
    """
    receipt = unpack_receipt(message.content)
    if receipt.code not in (OK, SKIPPED):
        raise RunError(receipt.reason[:200] or "the site gave no reason")
    if receipt.site_id != site_id:
        raise RunError("the reply is signed by another site")
    if receipt.run != order.run:
        raise RunError("the reply belongs to another run")
    if receipt.round_num != order.round_num:
        raise RunError(f"the reply is for round {receipt.round_num}, not {order.round_num}")
    if not hmac.compare_digest(receipt.nonce.encode(), order.nonce.encode()):
        raise RunError("the reply's nonce is not the order's; it was sent before or made up")
    if receipt.schema_digest != order.schema_digest:
        raise RunError("the reply's model is not the server's")
    if receipt.code == SKIPPED:
        raise SkippedError(receipt.reason[:200])
    return receipt


def check_update(
    message: Message,
    site_id: str,
    order: Order,
    *,
    schema: WireSchema,
    most_examples: int,
    given: Parameters,
    decoded: Floats,
    bound: UpdateBound | None = None,
) -> SiteUpdate:
    """Return the update in a reply.

    Args:
        message: the reply.
        site_id: the site that was asked.
        order: what it was asked.
        schema: what a reply carries.
        most_examples: the site's training images in the plan; its weight may not exceed them.
        given: the shared values that the site was sent.
        decoded: (P,) room for an update that was encoded.
        bound: how far the site may move the model; none = however far.

    Raises:
        TooLongError: it moves the model too far, and is not to be shortened.
        RunError: says in one phrase what is wrong; never holds data of the site.
    """
    check_receipt(message, site_id, order)
    result = unpack_result(message.content)
    weight = _one(result) if schema.is_private else _weight(result, most_examples)
    record, spec = arrays_in(message.content), schema.shared.spec
    vectors = schema.chain.invert(unpack_vectors(record, schema.reply), spec, decoded)
    norms = check_vectors(vectors, schema, given)
    update, known = vectors[UPDATE], vectors.get(KNOWN)
    if known is not None and not ((known >= 0) & (known <= weight)).all():
        raise RunError("a count of known targets is not from 0 to the site's weight")
    limit = bound.limit(site_id) if bound else None
    is_long = limit is not None and norms.exceed(limit)
    besides = {name: vectors[name] for name in schema.rules.from_sites}
    if bound and limit and is_long:
        if bound.policy == "refuse":
            raise TooLongError(norms, limit)
        update = clipped(update, norms, limit, spec)
        besides = {n: shortened(v, norms.besides, limit.besides) for n, v in besides.items()}
    return SiteUpdate(
        site_id,
        update,
        vectors[COUNTERS],
        weight,
        None if schema.is_private else float(result["train-loss"]),
        int(result.get("images-seen", 0)),
        float(result.get("seconds", 0.0)),
        payload_bytes(record),
        norms,
        is_long,
        besides,
        known,
        _vae_numbers(result),
    )


def _vae_numbers(result: Mapping[str, float]) -> VaeNumbers | None:
    if not any(key in VAE_NUMBERS for key in result):
        return None
    try:
        return VaeNumbers.from_wire(result)
    except ValueError as err:
        raise RunError("a number that the site tells of its VAE is out of its range") from err


def _weight(result: Mapping[str, float], most_examples: int) -> int:
    weight = result.get("num-examples")
    if weight is None or weight != int(weight) or not 0 < weight <= most_examples:
        raise RunError(
            f"weight {weight} is not a whole number from 1 to {most_examples}, "
            "the training images that the plan gives the site"
        )
    if "train-loss" not in result:
        raise RunError("the reply holds no 'train-loss'")
    return int(weight)


def _one(result: Mapping[str, float]) -> int:
    """Return the weight of a site that protects each patient, and so tells no number."""
    if result:
        raise RunError("the reply tells numbers of patients that the run protects")
    return 1


def check_vectors(vectors: Vectors, schema: WireSchema, given: Parameters) -> Norms:
    """Return the norms of the update among the vectors, which are as they were made at the site.

    Raises:
        RunError: they are not as declared or not finite, or would make a variance negative.
    """
    problem = problem_of(vectors, schema.made)
    if problem:
        raise RunError(problem)
    spec, update = schema.shared.spec, vectors[UPDATE]
    for name in schema.rules.from_sites:
        if not np.isfinite(vectors[name]).all():
            raise RunError(f"'{name}' is not finite")
    norms = norms_of(update, spec, [vectors[name] for name in schema.rules.from_sites])
    if norms is None:
        finite = np.isfinite(update)
        first = int(np.argmin(finite))
        raise RunError(
            f"{int((~finite).sum())} numbers are not finite, the first in {spec.tensor_at(first)}"
        )
    check_counters(vectors[COUNTERS], given.counters)
    check_variances(update, given.vector, spec)
    return norms
