"""What each site says of a model on its own validation patients."""

from typing import Any

from flwr.app import MessageType
from flwr.serverapp import Grid

from fedcxr.errors import RunError
from fedcxr.parameters import Parameters
from fedcxr.schema import model_vectors
from fedcxr.wire import pack_vectors, unpack_result
from server.check import check_receipt
from server.exchange import ExchangeLimits, exchange
from server.orders import OrderBook

WITHHELD = "withheld: the run protects each patient"


def site_scores(
    book: OrderBook,
    grid: Grid,
    limits: ExchangeLimits,
    parameters: Parameters,
    round_num: int,
) -> list[dict[str, Any]]:
    """Return each site's loss and macro AUROC, or the reason why it gave none.

    Args:
        book: makes the orders.
        grid: carries them.
        limits: of the exchange.
        parameters: the server's model; what is private to a site the site puts in itself.
        round_num: whose model it is.
    """
    arrays = pack_vectors(model_vectors(parameters))
    sites = list(book.federation.node_by_site)
    orders = book.orders(MessageType.EVALUATE, sites, round_num, arrays)
    found: list[dict[str, Any]] = []
    for reply in exchange(grid, orders, limits):
        row: dict[str, Any] = {"site_id": reply.site_id}
        try:
            if reply.message is None:
                raise RunError(reply.reason)
            check_receipt(reply.message, reply.site_id, book.open[reply.site_id])
            numbers = unpack_result(reply.message.content)
            row |= {key.replace("-", "_"): value for key, value in numbers.items()}
        except RunError as err:
            row["reason"] = str(err)
        found.append(row)
    return found
