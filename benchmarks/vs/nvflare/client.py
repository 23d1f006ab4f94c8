"""What a client of NVIDIA FLARE does, with its Client API: receive, train, send."""

import sys
from pathlib import Path

import nvflare.client as flare
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.vs import plain_torch


class Counted(plain_torch.Images):
    """The images of a site, which counts how many were read."""

    read = 0

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        self.read += 1
        return super().__getitem__(index)


def main(workload_dir: str, out: Path) -> None:
    """Train whenever the server asks, until it has had enough."""
    flare.init()
    site = flare.get_site_name()
    workload = plain_torch.load_workload(workload_dir)
    images = Counted(workload, f"sites/{site}.csv")
    network = plain_torch.model(workload)
    while flare.is_running():
        received = flare.receive()
        network.load_state_dict(received.params)
        seed = workload["seed"] + 1000 * received.current_round
        shuffled = DataLoader(
            images,
            batch_size=workload["batch_size"],
            shuffle=True,
            generator=torch.Generator().manual_seed(seed),
        )
        images.read = 0
        plain_torch.train(network, shuffled, workload["learning_rate"], workload["local_epochs"])
        (out / "images" / f"{site}-{received.current_round}").write_text(str(images.read))
        flare.send(
            flare.FLModel(
                params=network.state_dict(),
                # FedAvg weights by this number: the images, as the other arms weight.
                meta={"NUM_STEPS_CURRENT_ROUND": images.read},
            )
        )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
