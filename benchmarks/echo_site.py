"""A site's client that answers every order at once, with an update of nothing and without data.

    python -m benchmarks.echo_site --kit DIR

The kit, the SuperNode and the resident process are the product's; PyTorch is not imported, so that
a machine carries many. One part of `benchmarks/supernodes.py`.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedcxr.engines.app_ref import AppRef
from fedcxr.packing import unpack_array
from fedcxr.seeding import derive_seed
from fedcxr.version import __version__
from fedcxr.wire import (
    CARD,
    OK,
    RECEIPT,
    RESULT,
    VECTORS,
    Order,
    Receipt,
    arrays_in,
    pack_receipt,
    pack_vectors,
    unpack_order,
)

WAIT_S = 300.0
LARGEST = 2**23
"""float32 has every whole number below twice as many, and densenet121 has fewer."""
TINY = np.float32(2.0**-60)
"""By which they are small beside any weight."""
SCORES = {"num-examples": 1, "val-loss": 0.5, "val-macro-auroc": 0.5, "val-labels": 1}


def echo_site_app(node_config: str) -> ClientApp:
    """Return the site's app.

    Args:
        node_config: of its SuperNode, as JSON; the kit's folder has the site's name.
    """
    from fedcxr.interrupts import end_when_orphaned

    end_when_orphaned()
    site = Path(str(json.loads(node_config)["kit"])).name
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        order = unpack_order(message)
        record = arrays_in(message.content)
        vector, counters = unpack_array(record["vector"], "<f4"), record["counters"]
        content = receipt(order, site, {"num-examples": 1, "train-loss": 0.5})
        # Flower sends and keeps a piece of a vector once, however many send it: no two are equal.
        update = np.arange(len(vector), dtype=np.float32)
        update += np.float32(derive_seed(order.round_num, site) % LARGEST)
        update *= TINY
        sent = {"update": update, "counters": unpack_array(counters, "<i8")}
        content[VECTORS] = pack_vectors(sent)
        return Message(content, reply_to=message)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return Message(receipt(unpack_order(message), site, SCORES), reply_to=message)

    @app.query()
    def card(message: Message, context: Context) -> Message:
        order = unpack_order(message)
        content = receipt(order, site, {"num-patients": 1, "num-train": 1, "num-val": 0})
        labels = list(json.loads(order.task)["labels"])
        content[CARD] = ConfigRecord({"labels": labels, "fedcxr-version": __version__})
        return Message(content, reply_to=message)

    return app


def receipt(order: Order, site: str, numbers: dict[str, float]) -> RecordDict:
    """Return the content of a reply without vectors."""
    said = Receipt(order.run, order.round_num, order.nonce, order.schema_digest, site, OK, "")
    return RecordDict({RECEIPT: pack_receipt(said), RESULT: MetricRecord(dict(numbers))})


def main() -> None:
    """Take part until interrupted."""
    from fedcxr.data.records import RecordTable
    from fedcxr.deploy import resident
    from fedcxr.deploy.join import join
    from fedcxr.deploy.site_data import SiteData
    from fedcxr.interrupts import end_on_signals

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kit", type=Path, required=True)
    kit: Path = parser.parse_args().kit
    end_on_signals()
    resident.RESIDENT_APP = AppRef("benchmarks.echo_site", "echo_site_app")

    def no_data(site: str) -> SiteData:
        none = RecordTable((), (), (), (), (), (), (), (), (), states=np.empty((0, 0), np.int8))
        return SiteData(kit, kit, none)

    join(kit, no_data, lambda event: None, wait_s=WAIT_S)


if __name__ == "__main__":
    main()
