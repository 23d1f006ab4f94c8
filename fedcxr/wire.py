"""What crosses between server and site, and the only place that knows Flower's records.

Keys are written once, here. Values travel as a few long vectors with declared names: the 727 arrays
of a DenseNet's state dict cost 28 s a round in deployment, the same bytes as one array 10 s.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from numpy.typing import NDArray

from fedcxr.config.vae import VAE_NUMBERS
from fedcxr.errors import RunError
from fedcxr.packing import pack_array, unpack_array
from fedcxr.vectors import Declared, Vectors

VECTORS = "vectors"
ORDER = "order"
RECEIPT = "receipt"
RESULT = "result"
CARD = "card"
SECURE = "secure"
"""What a stage of secure aggregation says, as text."""

OK = "ok"
SKIPPED = "skipped"
FAILED = "failed"
OUT_OF_MEMORY = "out-of-memory"
"""A failure that a retry with fewer clients at once may mend."""

CLIENT_IDLE = 1001
"""Code of the error with which an engine answers for a client that did nothing any more; Flower's
own codes end far below."""

RESULT_KEYS = frozenset(
    {
        "num-examples",
        "train-loss",
        "seconds",
        "num-steps",
        "images-seen",
        "val-loss",
        "val-macro-auroc",
        "val-labels",
        "num-patients",
        "num-train",
        "num-val",
        "pixel-count",
        "pixel-sum",
        "pixel-sum-of-squares",
        *VAE_NUMBERS,
    }
)
"""Every number that may leave a site."""

MAX_THREADS = 256

CARD_TEXT_KEYS = frozenset({"labels", "code-digest", "fedcxr-version", "torch-version"})
"""Every text beside the receipt that may leave a site."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the server asks of one site."""

    run: str
    round_num: int
    nonce: str
    schema_digest: str
    task: str
    """`SiteTask` as JSON."""
    learning_rate: float
    threads: int = 1
    """Of the site's arithmetic; another number changes the last bits."""
    num_sites: int = 1
    """How many sites are sent this order, as the server says; of the first query, how many each
    round of the run asks."""
    last_round: int = 0
    """The newest round that the site's update is in, of which it must have kept what is its own;
    0 = none."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a site says it did."""

    run: str
    round_num: int
    nonce: str
    schema_digest: str
    site_id: str
    code: str
    """`ok`, `skipped`, `failed` or `out-of-memory`."""
    reason: str
    """A fixed sentence; empty when `ok`."""


def pack_vectors(vectors: Vectors) -> ArrayRecord:
    """Return the record of vectors; share it between messages, don't rebuild it."""
    record = ArrayRecord()
    for name, vector in vectors.items():
        record[name] = pack_array(vector)  # ArrayRecord(dict) would copy the bytes
    return record


def vectors_in(content: RecordDict, declared: Declared) -> dict[str, NDArray[Any]]:
    """Return the vectors in a message, without a copy where Flower's bytes allow it.

    Raises:
        RunError: there are none, others than declared, or one of another dtype or length.
    """
    return unpack_vectors(arrays_in(content), declared)


def arrays_in(content: RecordDict) -> ArrayRecord:
    """Return the only record of arrays in `content`; `RunError` if there is none, or another."""
    arrays = [key for key, record in content.items() if isinstance(record, ArrayRecord)]
    record = content.get(VECTORS)
    if not isinstance(record, ArrayRecord) or arrays != [VECTORS]:
        raise RunError("the message does not hold exactly one record of arrays")
    return record


def unpack_vectors(record: ArrayRecord, declared: Declared) -> dict[str, NDArray[Any]]:
    """Return the vectors in a record; `RunError` if they are not those declared."""
    if set(record) != set(declared):
        undeclared = sorted(set(record) - set(declared))
        missing = sorted(set(declared) - set(record))
        what = (
            f"'{undeclared[0][:40]}' is not declared"
            if undeclared
            else f"'{missing[0]}' is missing"
        )
        raise RunError(f"the record's vectors are not those declared: {what}")
    vectors = {}
    for name, spec in declared.items():
        vector = unpack_array(record[name], spec.dtype)
        if len(vector) != spec.length:
            raise RunError(f"'{name}' has {len(vector)} numbers, expected {spec.length}")
        vectors[name] = vector.view(np.dtype(spec.dtype))
    return vectors


def payload_bytes(record: ArrayRecord) -> int:
    """Return the bytes of a record's arrays."""
    return sum(len(array.data) for array in record.values())


def pack_order(order: Order) -> ConfigRecord:
    """Return an order as a Flower record."""
    return ConfigRecord(
        {
            "run": order.run,
            "round": order.round_num,
            "nonce": order.nonce,
            "schema-digest": order.schema_digest,
            "task": order.task,
            "learning-rate": order.learning_rate,
            "threads": order.threads,
            "num-sites": order.num_sites,
            "last-round": order.last_round,
        }
    )


def unpack_order(message: Message) -> Order:
    """Return the order in a message; `RunError` if there is none."""
    record = message.content.get(ORDER)
    if not isinstance(record, ConfigRecord):
        raise RunError("the message holds no order")
    return Order(
        run=_text(record, "run"),
        round_num=_whole(record, "round"),
        nonce=_text(record, "nonce"),
        schema_digest=_text(record, "schema-digest"),
        task=_text(record, "task"),
        learning_rate=_number(record, "learning-rate"),
        threads=max(1, min(_whole(record, "threads"), MAX_THREADS)),
        num_sites=_whole(record, "num-sites"),
        last_round=_whole(record, "last-round"),
    )


def pack_receipt(receipt: Receipt) -> ConfigRecord:
    """Return a receipt as a Flower record."""
    return ConfigRecord(
        {
            "run": receipt.run,
            "round": receipt.round_num,
            "nonce": receipt.nonce,
            "schema-digest": receipt.schema_digest,
            "site-id": receipt.site_id,
            "code": receipt.code,
            "reason": receipt.reason,
        }
    )


def unpack_receipt(content: RecordDict) -> Receipt:
    """Return the receipt in a reply; `RunError` if there is none."""
    record = content.get(RECEIPT)
    if not isinstance(record, ConfigRecord):
        raise RunError("the reply holds no receipt")
    return Receipt(
        run=_text(record, "run"),
        round_num=_whole(record, "round"),
        nonce=_text(record, "nonce"),
        schema_digest=_text(record, "schema-digest"),
        site_id=_text(record, "site-id"),
        code=_text(record, "code"),
        reason=_text(record, "reason"),
    )


def unpack_result(content: RecordDict) -> dict[str, float]:
    """Return the numbers in a reply; `RunError` for an unknown key or a number not finite."""
    record = content.get(RESULT)
    result: dict[str, float] = {}
    for key, value in record.items() if isinstance(record, MetricRecord) else ():
        if key not in RESULT_KEYS:
            raise RunError(f"the reply holds an unknown number '{key[:40]}'")
        if isinstance(value, list) or not math.isfinite(value):
            raise RunError(f"the reply's '{key}' is not a finite number")
        result[key] = value
    return result


def unpack_card_texts(content: RecordDict) -> dict[str, str | list[str]]:
    """Return the texts of a site's card; `RunError` for an unknown key or anything but text."""
    record = content.get(CARD)
    texts: dict[str, str | list[str]] = {}
    for key, value in record.items() if isinstance(record, ConfigRecord) else ():
        lines = value if isinstance(value, list) else [value]
        if key not in CARD_TEXT_KEYS or not all(isinstance(x, str) for x in lines):
            raise RunError(f"the card's '{key[:40]}' is not a known text")
        texts[key] = [str(x)[:200] for x in lines] if isinstance(value, list) else str(value)[:200]
    return texts


def pack_secure(text: str) -> ConfigRecord:
    """Return what a stage of secure aggregation says as a Flower record."""
    return ConfigRecord({"text": text})


def unpack_secure(content: RecordDict) -> str:
    """Return what a stage of secure aggregation says; `RunError` if there is nothing."""
    record = content.get(SECURE)
    text = record.get("text") if isinstance(record, ConfigRecord) else None
    if not isinstance(text, str):
        raise RunError("the message holds nothing of secure aggregation")
    return text


def _text(record: ConfigRecord, key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or len(value) > 200_000:
        raise RunError(f"the record's '{key}' is not a text")
    return value


def _whole(record: ConfigRecord, key: str) -> int:
    value = record.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise RunError(f"the record's '{key}' is not a whole number")
    return value


def _number(record: ConfigRecord, key: str) -> float:
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RunError(f"the record's '{key}' is not a finite number")
    return float(value)
