"""Rounds over echo clients in fedcxr's own engine: one part of `benchmarks/overhead.py`.

    python -m benchmarks.echo_server --clients 100 --rounds 5 --json FILE [--algorithm NAME]

A round is that of `server/rounds.py` without evaluating and writing: orders go out, replies are
checked and added up, the new model is packed for the next round. The parameters are those of
densenet121, 28 MB; workers have started and answered before the first round is timed.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from flwr.app import MessageType

from benchmarks.echo import echo_schema, site_name
from fedcxr.config.model import ModelConfig
from fedcxr.cores import cores
from fedcxr.engines.app_ref import AppRef
from fedcxr.engines.local import LocalGrid, local_grid
from fedcxr.models.architectures import build_model
from fedcxr.parameters import Parameters, extract
from fedcxr.schema import COUNTERS, VECTOR, WireSchema
from fedcxr.training.threads import workers_for
from fedcxr.wire import pack_vectors
from server.aggregate.aggregator import AggregatorPlace
from server.aggregate.known_aggregators import aggregator_registry
from server.exchange import ExchangeLimits, exchange
from server.intake import Intake
from server.orders import Federation, OrderBook
from server.step import State, aggregate_round, first_state

DEADLINE_S = 120.0

Model = tuple[Parameters, State]


def main() -> None:
    """Run the rounds and write their seconds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--algorithm", default="fedavg")
    args = parser.parse_args()
    schema = echo_schema(args.algorithm)
    network = build_model(ModelConfig(name="densenet121", image_size=64), num_outputs=14, seed=0)
    model = begun = extract(network, schema.spec), first_state(schema)
    del network
    workers = workers_for(args.clients, cores=cores(), threads=1)
    with local_grid(AppRef("benchmarks.echo", "echo_app"), args.clients, workers) as grid:
        one_round(grid, schema, begun, sites=workers, workers=workers)
        round_s = []
        for _ in range(args.rounds):
            start = time.perf_counter()
            model = one_round(grid, schema, model, sites=args.clients, workers=workers)
            round_s.append(time.perf_counter() - start)
    same = np.array_equal(begun[0].vector, model[0].vector)
    assert same, "updates of nothing have moved the model"
    args.json.write_text(json.dumps({"round_s": round_s, "workers": workers}) + "\n")


def one_round(
    grid: LocalGrid, schema: WireSchema, model: Model, *, sites: int, workers: int
) -> Model:
    """Return the model after a round."""
    names = [site_name(number) for number in range(sites)]
    parameters, state = model
    book = OrderBook(
        Federation(
            run="echo",
            task=schema.algorithm.name,
            schema=schema,
            seed=0,
            node_by_site={name: number + 1 for number, name in enumerate(names)},
            most_examples=dict.fromkeys(names, 1),
            fraction=1.0,
            quorum=1.0,
            threads=1,
        )
    )
    own = {name: state[name] for name in schema.rules.to_sites}
    sent = {VECTOR: parameters.vector, COUNTERS: parameters.counters, **own}
    orders = book.orders(MessageType.TRAIN, book.cohort(1), 1, pack_vectors(sent))
    limits = ExchangeLimits(window=workers + 1, deadline_s=DEADLINE_S)
    return aggregate_round(
        Intake(book),
        exchange(grid, orders, limits),
        round_num=1,
        aggregator=aggregator_registry().get("mean"),
        place=AggregatorPlace(schema, (), sites, Path("build/spool")),
        parameters=parameters,
        state=state,
    )


if __name__ == "__main__":
    main()
