"""The parts of the work that every peer shares, as the user of a quickstart writes them.

Plain PyTorch and torchvision: JPEG files decoded in `__getitem__`, float32, the default memory
layout, Adam. Nothing of fedcxr is imported, so that it runs in the environment of any peer; the
folder is what `python -m benchmarks.vs.workload` made. No arm augments.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.models import DenseNet
from torchvision.transforms import Compose, Grayscale, Normalize, Resize, ToTensor

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "densenet121": {},
    "densenet_small": {
        "growth_rate": 12,
        "block_config": (2, 4, 8, 6),
        "num_init_features": 24,
    },
}


def load_workload(folder: str | Path) -> dict[str, Any]:
    """Return the work's numbers, and under `folder` where its files are."""
    text = (Path(folder) / "workload.json").read_text(encoding="utf-8")
    return {**json.loads(text), "folder": str(folder)}


class Images(Dataset[tuple[Tensor, Tensor]]):
    """The images of one of the work's tables: `sites/site-00.csv`, `val.csv`, `test.csv`."""

    def __init__(self, workload: dict[str, Any], csv_name: str) -> None:
        folder, size = Path(workload["folder"]), workload["image_size"]
        table = pd.read_csv(folder / csv_name)
        self.paths = [folder / "data" / path for path in table["path"]]
        self.target = table[workload["labels"]].to_numpy(np.float32)  # (N, L), nan = not known
        self.transform = Compose(
            [
                Grayscale(),
                Resize((size, size)),
                ToTensor(),
                Normalize((workload["mean"],), (workload["std"],)),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        with Image.open(self.paths[index]) as image:
            return self.transform(image), torch.from_numpy(self.target[index])


def model(workload: dict[str, Any]) -> nn.Module:
    """Return torchvision's network with a stem of one channel, with random values."""
    settings = ARCHITECTURES[workload["model"]]
    network = DenseNet(num_classes=len(workload["labels"]), **settings)
    stem = network.features.conv0
    network.features.conv0 = nn.Conv2d(
        1, stem.out_channels, kernel_size=7, stride=2, padding=3, bias=False
    )
    return network


def initial_state(workload: dict[str, Any]) -> dict[str, Tensor]:
    """Return the values that every arm starts from, as a state dict of `model`."""
    with np.load(Path(workload["folder"]) / "initial.npz", allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def train(
    network: nn.Module,
    loader: DataLoader[tuple[Tensor, Tensor]],
    learning_rate: float,
    epochs: int,
    device: str | torch.device = "cpu",
) -> float:
    """Train in place with Adam begun anew; return the mean loss of the steps."""
    network.to(device)
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    losses = []
    for _ in range(epochs):
        for images, target in loader:
            optimizer.zero_grad()
            loss = masked_bce(network(images.to(device)), target.to(device))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return float(np.mean(losses))


def masked_bce(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean cross-entropy over the known labels."""
    known = ~torch.isnan(target)
    loss = F.binary_cross_entropy_with_logits(logits, target.nan_to_num(0.0), reduction="none")
    return (loss * known).sum() / known.sum().clamp(min=1)


def evaluate(
    network: nn.Module,
    workload: dict[str, Any],
    csv_name: str,
    device: str | torch.device = "cpu",
) -> float:
    """Return the macro AUROC of the network on one of the work's tables."""
    images = Images(workload, csv_name)
    network.to(device)
    network.eval()
    with torch.no_grad():
        batches = [
            torch.sigmoid(network(batch.to(device))).cpu()
            for batch, _ in DataLoader(images, batch_size=64)
        ]
    return macro_auroc(images.target, torch.cat(batches).numpy())


def macro_auroc(target: NDArray[np.float32], probs: NDArray[np.float32]) -> float:
    """Return the mean AUROC over the labels that have both classes; nan if none has.

    Args:
        target: (N, L) in {0, 1, nan}; nan = not known.
        probs: (N, L).
    """
    scores = []
    for truth, prob in zip(target.T, probs.T, strict=True):
        known = ~np.isnan(truth)
        if len(np.unique(truth[known])) == 2:
            scores.append(roc_auc_score(truth[known], prob[known]))
    return float(np.mean(scores)) if scores else float("nan")
