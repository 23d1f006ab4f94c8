"""The door out of a site: known keys, finite numbers, fixed sentences.

Flower sends the text of an uncaught exception to the server, and a CheXpert path holds a patient's
number. So nothing raised in a handler passes this door: the full text goes to the site's own log,
the server gets a code and one of the sentences below.
"""

import logging
import math
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict

from clients.private_training import SPENT, WITHHELD
from clients.resident_model import release
from fedcxr.errors import (
    ArtefactError,
    ConfigError,
    DataError,
    DivergedError,
    FedCxrError,
    LimitError,
    RunError,
)
from fedcxr.training import loop as training
from fedcxr.training.memory import is_out_of_memory
from fedcxr.vectors import Declared, Vectors, problem_of
from fedcxr.wire import (
    CARD,
    CARD_TEXT_KEYS,
    FAILED,
    OK,
    OUT_OF_MEMORY,
    RECEIPT,
    RESULT,
    RESULT_KEYS,
    SECURE,
    SKIPPED,
    VECTORS,
    Order,
    Receipt,
    pack_receipt,
    pack_secure,
    pack_vectors,
)

log = logging.getLogger(__name__)

REASONS: Mapping[type[Exception], str] = {
    LimitError: "the site's owner does not allow what the run asks for; its log says what",
    ConfigError: "the site's own configuration is wrong; its log says where",
    DataError: "the site's data cannot be used; its log names the file",
    ArtefactError: "a file that the site keeps is damaged or gone; its log names it",
    DivergedError: training.NOT_FINITE,
    RunError: "the order does not fit this site or its training broke down; its log says why",
    FedCxrError: "the site could not do this; its log says why",
    MemoryError: "the site ran out of memory",
}
UNEXPECTED = "the site failed unexpectedly; its log has the full text"
SENTENCES = frozenset({"", UNEXPECTED, *REASONS.values(), *training.REASONS, SPENT, WITHHELD})
"""Every reason that may leave a site."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Vectors on their way out, and what the run declares."""

    vectors: Vectors = field(repr=False)
    declared: Declared


def site_reply(
    message: Message,
    order: Order | None,
    *,
    site_id: str,
    code: str = OK,
    reason: str = "",
    numbers: Mapping[str, float] | None = None,
    texts: Mapping[str, str | list[str]] | None = None,
    outgoing: Outgoing | None = None,
    said: str | None = None,
    protects: bool = False,
) -> Message:
    """Return the reply, after checking all that it lets out.

    `said` is what a stage of secure aggregation says, which `fedcxr/secagg/messages.py` has made.
    Where each patient is protected (`protects`), no number passes: none of them is noised.

    Raises:
        RunError: a key or sentence that is not on the list, or a number that is not finite.
    """
    numbers, texts = numbers or {}, texts or {}
    unknown_keys = sorted((set(numbers) - RESULT_KEYS) | (set(texts) - CARD_TEXT_KEYS))
    if unknown_keys:
        raise RunError(f"not on the list of what may leave a site: {unknown_keys}")
    if protects and numbers:
        raise RunError(f"not noised, so it may not leave a site in this run: {sorted(numbers)}")
    nonfinite_keys = [key for key, number in numbers.items() if not math.isfinite(number)]
    if nonfinite_keys:
        raise RunError(f"numbers that are not finite may not leave a site: {nonfinite_keys}")
    if reason not in SENTENCES:
        raise RunError("the reason is not one of the fixed sentences")
    content = RecordDict(
        {
            RECEIPT: pack_receipt(_receipt(order, site_id, code, reason)),
            RESULT: MetricRecord(dict(numbers)),
        }
    )
    if texts:
        content[CARD] = ConfigRecord(dict(texts))
    if said is not None:
        content[SECURE] = pack_secure(said)
    if outgoing is not None:
        content[VECTORS] = _checked(outgoing)
    return Message(content, reply_to=message)


def redact_errors(
    handler: Callable[[Message, Context], Message],
) -> Callable[[Message, Context], Message]:
    """Return the handler with every exception turned into a code and a fixed sentence."""

    @wraps(handler)
    def guarded(message: Message, context: Context) -> Message:
        try:
            return handler(message, context)
        except Exception as err:  # the door: whatever it is, its text stays here
            log.exception("a handler failed")
            code, reason = FAILED, redacted(err)
            if is_out_of_memory(err):
                code, reason = OUT_OF_MEMORY, REASONS[MemoryError]
                traceback.clear_frames(err.__traceback__)  # they hold the step's activations
                release()
            return site_reply(message, None, site_id="", code=code, reason=reason)

    return guarded


def redacted(err: Exception) -> str:
    """Return the sentence that may leave the site for `err`."""
    return next((text for kind, text in REASONS.items() if isinstance(err, kind)), UNEXPECTED)


def skipped(message: Message, order: Order, site_id: str, reason: str) -> Message:
    """Return the reply of a site that could train on nothing; it weighs nothing."""
    return site_reply(message, order, site_id=site_id, code=SKIPPED, reason=reason)


def _checked(outgoing: Outgoing) -> ArrayRecord:
    """Return the record of the vectors, if they are those declared and all of them are finite."""
    problem = problem_of(outgoing.vectors, outgoing.declared)
    if problem:
        raise RunError(f"not on the list of what may leave a site: {problem}")
    floats = [vector for vector in outgoing.vectors.values() if vector.dtype.kind == "f"]
    if not all(np.isfinite(vector).all() for vector in floats):
        raise RunError("parameters that are not finite may not leave a site")
    return pack_vectors(outgoing.vectors)


def _receipt(order: Order | None, site_id: str, code: str, reason: str) -> Receipt:
    if order is None:
        return Receipt("", 0, "", "", site_id, code, reason)
    return Receipt(
        order.run, order.round_num, order.nonce, order.schema_digest, site_id, code, reason
    )
