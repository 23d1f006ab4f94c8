"""The server's memory must not grow with the number of clients."""

import re
import statistics
import threading
from pathlib import Path

import numpy as np
import pytest
from echo_clients import NUM_FLOATS, flat_schema
from flwr.app import MessageType

from fedcxr.engines.app_ref import AppRef
from fedcxr.engines.local import LocalGrid, local_grid
from fedcxr.parameters import Parameters
from fedcxr.schema import COUNTERS, VECTOR
from fedcxr.wire import pack_vectors
from server.aggregate.aggregator import AggregatorPlace
from server.aggregate.known_aggregators import aggregator_registry
from server.exchange import ExchangeLimits, exchange
from server.intake import Intake
from server.orders import Federation, OrderBook
from server.step import aggregate_round, first_state

VECTOR_BYTES = 4 * NUM_FLOATS
WORKERS = 2

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/proc/self/smaps_rollup").exists(), reason="PSS is only told by Linux"
    ),
]


_OWN = re.compile(r"Pss_(?:Anon|Shmem):\s+(\d+)")


class PeakMemory:
    """The most that this process held while the block ran: its share of what is no file's.

    Libraries are left out, since how much of them counts here depends on who else uses them.
    """

    def __enter__(self):
        self.peak_bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._stop.set()
        self._thread.join()

    def _watch(self):
        while not self._stop.wait(0.01):
            text = Path("/proc/self/smaps_rollup").read_text()
            held = 1024 * sum(int(kilobytes) for kilobytes in _OWN.findall(text))
            self.peak_bytes = max(self.peak_bytes, held)


@pytest.fixture(scope="module")
def grid():
    with local_grid(AppRef("echo_clients", "echo_app"), 50, WORKERS) as carried:
        one_round(carried, 5)  # both workers have imported and answered
        yield carried


def one_round(grid: LocalGrid, sites: int, algorithm: str = "fedavg", hoards: bool = False) -> None:
    names = [f"site-{n:02d}" for n in range(sites)]
    schema = flat_schema(algorithm=algorithm)
    book = OrderBook(
        Federation(
            run="memory",
            task=algorithm,  # for the echo clients
            schema=schema,
            seed=0,
            node_by_site={name: number + 1 for number, name in enumerate(names)},
            most_examples=dict.fromkeys(names, 1),
            fraction=1.0,
            quorum=1.0,
            threads=1,
        )
    )
    start = Parameters(np.zeros(NUM_FLOATS, np.float32), np.zeros(1, np.int64))
    state = first_state(schema)
    sent = {VECTOR: start.vector, COUNTERS: start.counters}
    arrays = pack_vectors(sent | {name: state[name] for name in schema.rules.to_sites})
    orders = book.orders(MessageType.TRAIN, book.cohort(1), 1, arrays)
    replies = exchange(grid, orders, ExchangeLimits(window=WORKERS + 1, deadline_s=120))
    found, state = aggregate_round(
        Intake(book),
        list(replies) if hoards else replies,
        round_num=1,
        aggregator=aggregator_registry().get("mean"),
        place=AggregatorPlace(schema, (), sites, Path("unused")),
        parameters=start,
        state=state,
    )
    mean = (sites - 1) / 2  # each site added its number: of 0 … 49 it is 24.5
    if algorithm == "fedavg":
        assert np.all(found.vector == mean)
    if algorithm == "scaffold":
        assert np.all(state["control"] == mean)


def growth(
    grid: LocalGrid, algorithm: str = "fedavg", hoards: bool = False, repeats: int = 3
) -> int:
    """Return by how much 50 clients' peak is above that of 5, by the medians of the repeats."""
    if not hoards:
        one_round(grid, 50, algorithm)  # what the process keeps of its first large round is there
    peaks: dict[int, list[int]] = {5: [], 50: []}
    for _ in range(repeats):
        for sites, seen in peaks.items():
            with PeakMemory() as peak:
                one_round(grid, sites, algorithm, hoards)
            seen.append(peak.peak_bytes)
    print("peaks, MB:", {sites: [p // 10**6 for p in seen] for sites, seen in peaks.items()})
    return int(statistics.median(peaks[50]) - statistics.median(peaks[5]))


@pytest.mark.parametrize("algorithm", ["fedavg", "fedadam", "scaffold"])
def test_memory_grows_by_less_than_two_vectors_from_5_to_50_clients(grid, algorithm):
    grown = growth(grid, algorithm)
    print(f"streaming: {grown / VECTOR_BYTES:.2f} vectors from 5 to 50 clients")
    assert grown < 2 * VECTOR_BYTES


def test_a_server_that_hoards_replies_is_caught_by_the_same_check(grid):
    grown = growth(grid, hoards=True, repeats=1)
    print(f"hoarding: {grown / VECTOR_BYTES:.2f} vectors from 5 to 50 clients")
    assert grown >= 2 * VECTOR_BYTES
