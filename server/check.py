"""Every reply is checked before it counts: one wrong vector would spoil the model for all."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from flwr.app import Message, RecordDict

from fedcxr.codecs import Codec, Encoded
from fedcxr.errors import RunError
from fedcxr.parameters import Parameters, ParameterSpec
from fedcxr.wire import (
    OK,
    SKIPPED,
    Order,
    Receipt,
    arrays_in,
    payload_bytes,
    unpack_parameters,
    unpack_receipt,
    unpack_result,
)
from server.bounds import Norms, UpdateBound, clipped, norms_of


@dataclass(frozen=True, slots=True)
class CheckedUpdate:
    """A reply that passed every check."""

    site_id: str
    parameters: Parameters
    num_examples: int
    train_loss: float
    images_seen: int
    seconds: float
    payload_bytes: int
    norms: Norms
    """Of the update as it was sent."""
    is_clipped: bool = False


class TooLongError(RunError):
    """The update moves the model many times as far as usual."""

    def __init__(self, norms: Norms, limit: Norms) -> None:
        self.norms = norms
        what, length, most = "trained values", norms.trained, limit.trained
        if length <= most:
            what, length, most = "batch-norm statistics", norms.buffers, limit.buffers
        super().__init__(
            f"the update of its {what} has the norm {length:.3g}, and by the rounds before "
            f"{most:.3g} is allowed (server.norm_factor)"
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
    if receipt.spec_digest != order.spec_digest:
        raise RunError("the reply's model is not the server's")
    if receipt.code == SKIPPED:
        raise SkippedError(receipt.reason[:200])
    return receipt


def check_update(
    message: Message,
    site_id: str,
    order: Order,
    *,
    spec: ParameterSpec,
    most_examples: int,
    given: Parameters,
    bound: UpdateBound | None = None,
    read: Callable[[RecordDict], Parameters] = unpack_parameters,
) -> CheckedUpdate:
    """Return the update in a reply.

    Args:
        message: the reply.
        site_id: the site that was asked.
        order: what it was asked.
        spec: the model's layout.
        most_examples: the site's training images in the plan; its weight may not exceed them.
        given: the parameters that the site was sent.
        bound: how far the site may move the model; none = however far.
        read: makes the parameters of what was sent.

    Raises:
        TooLongError: it moves the model too far, and is not to be shortened.
        RunError: says in one phrase what is wrong; never holds data of the site.
    """
    check_receipt(message, site_id, order)
    result = unpack_result(message.content)
    weight = result.get("num-examples")
    if weight is None or weight != int(weight) or not 0 < weight <= most_examples:
        raise RunError(
            f"weight {weight} is not a whole number from 1 to {most_examples}, "
            "the training images that the plan gives the site"
        )
    if "train-loss" not in result:
        raise RunError("the reply holds no 'train-loss'")
    parameters = read(message.content)
    norms = check_parameters(parameters, spec, given)
    limit = bound.limit(site_id) if bound else None
    is_long = limit is not None and (norms.trained > limit.trained or norms.buffers > limit.buffers)
    if bound and limit and is_long:
        if bound.policy == "refuse":
            raise TooLongError(norms, limit)
        parameters = clipped(parameters, given, norms, limit, spec)
    return CheckedUpdate(
        site_id,
        parameters,
        int(weight),
        float(result["train-loss"]),
        int(result.get("images-seen", 0)),
        float(result.get("seconds", 0.0)),
        payload_bytes(arrays_in(message.content)),
        norms,
        is_long,
    )


def check_encoded(update: Encoded, codec: Codec, spec: ParameterSpec) -> None:
    """Raise `RunError` unless the update's arrays fit `spec` and can be decoded as they stand."""
    for name, expected in codec.lengths(spec).items():
        length = len(update.arrays[name])
        if length != expected:
            raise RunError(f"the update has {length} {name}, expected {expected}")
    scales = update.arrays.get("scales")
    if scales is not None and not (np.isfinite(scales) & (scales >= 0)).all():
        raise RunError("a scale of the update is negative or not finite")
    indices = update.arrays.get("indices")
    if indices is not None:
        if not 0 <= indices[0] <= indices[-1] < spec.num_trainable:
            raise RunError(f"the update's indices are not from 0 to {spec.num_trainable - 1}")
        if (indices[1:] <= indices[:-1]).any():
            raise RunError("the update's indices do not rise")


def check_parameters(parameters: Parameters, spec: ParameterSpec, given: Parameters) -> Norms:
    """Return the norms of the update over `given`.

    Raises:
        RunError: the vectors do not fit `spec`, are not finite or hold a negative variance.
    """
    if parameters.vector.shape != (spec.num_float,):
        raise RunError(
            f"the vector has {parameters.vector.shape[0]} numbers, expected {spec.num_float}"
        )
    if parameters.counters.shape != (spec.num_counters,):
        raise RunError(
            f"there are {parameters.counters.shape[0]} counters, expected {spec.num_counters}"
        )
    norms = norms_of(parameters.vector, given.vector, spec)
    if norms is None:
        finite = np.isfinite(parameters.vector)
        first = int(np.argmin(finite))
        raise RunError(
            f"{int((~finite).sum())} numbers are not finite, the first in {spec.tensor_at(first)}"
        )
    if (parameters.counters < 0).any():
        raise RunError("a counter is negative")
    for part in spec.variance_slices:
        if (parameters.vector[part] < 0).any():
            raise RunError(f"a variance is negative in {spec.tensor_at(part.start)}")
    return norms
