"""The server's memory must not grow with the number of clients."""

import re
import statistics
import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from echo_clients import NUM_FLOATS, flat_spec
from flwr.app import ArrayRecord, MetricRecord

from fedcxr.engines.app_ref import AppRef
from fedcxr.engines.local import LocalGrid, local_grid
from fedcxr.parameters import Parameters
from fedcxr.wire import pack_parameters, unpack_vectors
from server.exchange import ExchangeLimits, Reply, exchange
from server.strategy import CheckedFedAvg, Federation

VECTOR_BYTES = 4 * NUM_FLOATS
WORKERS = 2
REPEATS = 3

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/proc/self/smaps_rollup").exists(), reason="PSS is only told by Linux"
    ),
]


class HoardingFedAvg(CheckedFedAvg):
    """What must fail: keeps every reply until all are there."""

    def aggregate_train(
        self, server_round: int, replies: Iterable[Reply]
    ) -> tuple[ArrayRecord, MetricRecord]:
        return super().aggregate_train(server_round, list(replies))


class PeakMemory:
    """The largest proportional set size of this process while the block ran."""

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
            self.peak_bytes = max(self.peak_bytes, 1024 * int(re.search(r"Pss:\s+(\d+)", text)[1]))


@pytest.fixture(scope="module")
def grid():
    with local_grid(AppRef("echo_clients", "echo_app"), 50, WORKERS) as carried:
        one_round(carried, CheckedFedAvg, 5)  # both workers have imported and answered
        yield carried


def one_round(grid: LocalGrid, kind: type[CheckedFedAvg], sites: int) -> None:
    names = [f"site-{n:02d}" for n in range(sites)]
    strategy = kind(
        Federation(
            run="memory",
            task="{}",
            spec=flat_spec(),
            seed=0,
            node_by_site={name: number + 1 for number, name in enumerate(names)},
            most_examples=dict.fromkeys(names, 1),
            fraction=1.0,
            quorum=1.0,
            threads=1,
        )
    )
    start = Parameters(np.zeros(NUM_FLOATS, np.float32), np.zeros(1, np.int64))
    orders = strategy.train_orders(1, pack_parameters(start))
    waits = ExchangeLimits(window=WORKERS + 1, deadline_s=120)
    replies = exchange(grid, orders, waits)
    mean, _ = strategy.aggregate_train(1, replies)
    # each site added its number: of 0 … 49 the mean is 24.5
    assert np.all(unpack_vectors(mean).vector == (sites - 1) / 2)


def growth(grid: LocalGrid, kind: type[CheckedFedAvg]) -> int:
    few, many = [], []
    for _ in range(REPEATS):
        with PeakMemory() as peak:
            one_round(grid, kind, 5)
        few.append(peak.peak_bytes)
        with PeakMemory() as peak:
            one_round(grid, kind, 50)
        many.append(peak.peak_bytes)
    print("peaks, MB:", [p // 10**6 for p in few], [p // 10**6 for p in many])
    return int(statistics.median(many) - statistics.median(few))


def test_memory_grows_by_less_than_two_vectors_from_5_to_50_clients(grid):
    grown = growth(grid, CheckedFedAvg)
    print(f"streaming: {grown / VECTOR_BYTES:.2f} vectors from 5 to 50 clients")
    assert grown < 2 * VECTOR_BYTES


def test_a_strategy_that_hoards_replies_is_caught_by_the_same_check(grid):
    grown = growth(grid, HoardingFedAvg)
    print(f"hoarding: {grown / VECTOR_BYTES:.2f} vectors from 5 to 50 clients")
    assert grown >= 2 * VECTOR_BYTES
