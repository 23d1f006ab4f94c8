"""pfl's federated averaging over the work: one process of the simulation.

As pfl's own image benchmark is written: PyTorchModel, SimulatedBackend, FederatedAveraging, central
evaluation in a callback. Every site takes part in every round.
"""

import json
import sys
import time
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.callback.central_evaluation import CentralEvaluationCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam import NNEvalHyperParams, NNTrainHyperParams
from pfl.internal.ops import get_ops
from pfl.metrics import Metrics, Weighted
from pfl.model.pytorch import PyTorchModel
from torch import Tensor, nn
from torch.distributed.elastic.multiprocessing.errors import record

from benchmarks.vs import plain_torch

EVAL_BATCH = 64


class Network(nn.Module):
    """The work's network with the two methods that pfl asks for."""

    def __init__(self, workload: dict[str, Any]) -> None:
        super().__init__()
        self.network = plain_torch.model(workload)
        self.network.load_state_dict(plain_torch.initial_state(workload))
        self.images_trained = 0

    def loss(self, images: Tensor, target: Tensor) -> Tensor:
        """Return the loss of a training step."""
        self.train()
        self.images_trained += len(images)
        return plain_torch.masked_bce(self.network(images), target)

    @torch.no_grad()
    def metrics(self, images: Tensor, target: Tensor, judged: bool = True) -> dict[str, Weighted]:
        """Return the loss as pfl sums it over batches and processes; nothing unless judged."""
        if not judged:
            return {}
        self.eval()
        loss = plain_torch.masked_bce(self.network(images), target).item()
        return {"loss": Weighted(loss * len(images), len(images))}


class Clock(TrainingProcessCallback):  # type: ignore[misc]
    """Notes when training begins and when each round ends."""

    def __init__(self) -> None:
        self.at_s: list[float] = []

    def on_train_begin(self, *, model: PyTorchModel) -> Metrics:
        """Note the beginning."""
        self.at_s.append(time.perf_counter())
        return Metrics()

    def after_central_iteration(
        self, aggregate_metrics: Metrics, model: PyTorchModel, *, central_iteration: int
    ) -> tuple[bool, Metrics]:
        """Note the end of a round."""
        self.at_s.append(time.perf_counter())
        return False, Metrics()


@record  # torchrun then says what went wrong
def main(workload_dir: str, out: Path) -> None:
    """Run the rounds; the first process writes `result.json` under `out`."""
    workload = plain_torch.load_workload(workload_dir)
    torch.manual_seed(workload["seed"])
    np.random.seed(workload["seed"])  # pfl draws from it, alike in every process
    network, clock = Network(workload), Clock()
    model = PyTorchModel(
        network,
        local_optimizer_create=torch.optim.Adam,
        central_optimizer=torch.optim.SGD(network.parameters(), lr=1.0),  # the mean, as it is
    )
    sites = federated(workload)
    FederatedAveraging().run(
        algorithm_params=NNAlgorithmParams(
            central_num_iterations=workload["rounds"],
            evaluation_frequency=workload["rounds"],
            train_cohort_size=workload["clients"],
            val_cohort_size=0,
        ),
        backend=SimulatedBackend(sites, sites, postprocessors=[WeightByDatapoints()]),
        model=model,
        model_train_params=NNTrainHyperParams(
            local_batch_size=workload["batch_size"],
            local_num_epochs=workload["local_epochs"],
            local_learning_rate=workload["learning_rate"],
        ),
        model_eval_params=NNEvalHyperParams(local_batch_size=EVAL_BATCH),
        callbacks=[
            CentralEvaluationCallback(
                Dataset(decoded(workload, "val.csv")), NNEvalHyperParams(EVAL_BATCH)
            ),
            clock,  # after the evaluation, which counts
        ],
    )
    images = torch.tensor([float(network.images_trained)])
    get_ops().distributed.all_reduce([images])
    if get_ops().distributed.global_rank == 0:
        found = {
            "round_s": [end - begun for begun, end in pairwise(clock.at_s)],
            "images": int(images.item()),
            "test_macro_auroc": plain_torch.evaluate(network.network, workload, "test.csv"),
        }
        (out / "result.json").write_text(json.dumps(found), encoding="utf-8")


def federated(workload: dict[str, Any]) -> FederatedDataset:
    """Return the sites as pfl's users: images decoded once and kept, in a new order every round."""
    generator = torch.Generator().manual_seed(workload["seed"])

    @cache
    def kept(number: int) -> tuple[Tensor, Tensor]:
        return decoded(workload, f"sites/site-{number:02d}.csv")

    def site(number: int) -> Dataset:
        images, target = kept(number)
        order = torch.randperm(len(images), generator=generator)
        # Unless told otherwise, pfl judges every site before and after its first training.
        unjudged = {"judged": False}
        return Dataset((images[order], target[order]), user_id=number, eval_kwargs=unjudged)

    numbers = range(workload["clients"])
    # A silo is a site: with any other sampler, two processes and an odd number of sites some site
    # is drawn twice in a round and another not at all.
    silos = {number: [number] for number in numbers}
    return FederatedDataset(site, get_user_sampler("minimize_reuse", numbers, silos))


def decoded(workload: dict[str, Any], csv_name: str) -> tuple[Tensor, Tensor]:
    """Return images (N, 1, H, W) and target (N, L) of one of the work's tables."""
    images = plain_torch.Images(workload, csv_name)
    return torch.stack([image for image, _ in images]), torch.from_numpy(images.target)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
