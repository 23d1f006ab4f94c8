"""Rounds over echo clients in fedcxr's own engine: one part of `benchmarks/overhead.py`.

    python -m benchmarks.echo_server --clients 100 --rounds 5 --json FILE

A round is that of `server/rounds.py` without evaluating and writing: orders go out, replies are
checked and added to the running mean, the mean is packed for the next round. The parameters are
those of densenet121, 28 MB; workers have started and answered before the first round is timed.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord

from benchmarks.echo import site_name
from fedcxr.config.model import ModelConfig
from fedcxr.cores import cores
from fedcxr.engines.app_ref import AppRef
from fedcxr.engines.local import LocalGrid, local_grid
from fedcxr.models.registry import build_model
from fedcxr.parameters import ParameterSpec, extract, spec_of
from fedcxr.training.threads import workers_for
from fedcxr.wire import pack_parameters, unpack_vectors
from server.exchange import ExchangeLimits, exchange
from server.strategy import CheckedFedAvg, Federation

DEADLINE_S = 120.0


def main() -> None:
    """Run the rounds and write their seconds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--json", type=Path, required=True)
    args = parser.parse_args()
    model = build_model(ModelConfig(name="densenet121", image_size=64), num_outputs=14, seed=0)
    spec = spec_of(model)
    sent = pack_parameters(extract(model, spec))
    del model
    workers = workers_for(args.clients, cores=cores(), threads=1)
    with local_grid(AppRef("benchmarks.echo", "echo_app"), args.clients, workers) as grid:
        one_round(grid, spec, sent, sites=workers, workers=workers)
        round_s, arrays = [], sent
        for _ in range(args.rounds):
            begun = time.perf_counter()
            arrays = one_round(grid, spec, arrays, sites=args.clients, workers=workers)
            round_s.append(time.perf_counter() - begun)
    before, after = unpack_vectors(sent).vector, unpack_vectors(arrays).vector
    # in float64 a sum of equal float32 numbers is exact, and so is its quotient
    assert np.array_equal(before, after), "the mean of equal parameters is another one"
    args.json.write_text(json.dumps({"round_s": round_s, "workers": workers}) + "\n")


def one_round(
    grid: LocalGrid, spec: ParameterSpec, arrays: ArrayRecord, *, sites: int, workers: int
) -> ArrayRecord:
    """Return the mean of what the sites sent back."""
    names = [site_name(number) for number in range(sites)]
    federation = Federation(
        run="echo",
        task="{}",
        spec=spec,
        seed=0,
        node_by_site={name: number + 1 for number, name in enumerate(names)},
        most_examples=dict.fromkeys(names, 1),
        fraction=1.0,
        quorum=1.0,
        threads=1,
    )
    strategy = CheckedFedAvg(federation)
    waits = ExchangeLimits(window=workers + 1, deadline_s=DEADLINE_S)
    replies = exchange(grid, strategy.train_orders(1, arrays), waits)
    return strategy.aggregate_train(1, replies)[0]


if __name__ == "__main__":
    main()
