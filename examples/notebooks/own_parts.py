# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own model and loss
#
# What a cell defines is in this process only. So one worker trains with it, here, and fedcxr says
# so; several workers are refused.

# %%
import torch
from torch import nn

import fedcxr

SMALL = {"data.synthetic.patients": 120, "data.synthetic.size_px": 48, "explain.labels": 1}
STUDY = {"clients": 3, "rounds": 1, "image_size": 32, "set": SMALL}


class TwoLayers(nn.Module):
    """A network that is small enough to read."""

    def __init__(self, num_labels: int, image_size: int) -> None:
        super().__init__()
        self.look = nn.Conv2d(1, 8, 5, stride=2, padding=2)
        self.say = nn.Linear(8 * 4 * 4, num_labels)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (N, L) of images (N, 1, H, W)."""
        seen = nn.functional.adaptive_avg_pool2d(torch.relu(self.look(images)), 4)
        return self.say(seen.flatten(1))


def brier(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the squared error of each entry, (N, L)."""
    return (torch.sigmoid(logits) - target) ** 2


run = fedcxr.simulate(model=TwoLayers, loss=brier, **STUDY)
run

# %% [markdown]
# It is used: the same study with cross-entropy gives other weights.

# %%
plain = fedcxr.simulate(model=TwoLayers, workers=1, progress=False, **STUDY)
digests = [found.comparison.run.summary.parameters_sha256 for found in (run, plain)]
assert digests[0] != digests[1]

# %%
try:
    fedcxr.simulate(loss=brier, workers=2, **STUDY)
except Exception as refused:
    print(refused)

# %% [markdown]
# For several workers, and for `resume` and `evaluate` later, save it in a file and import it.

# %%
# %%writefile mine.py
import torch


def brier(logits, target):
    """Return the squared error of each entry, (N, L)."""
    return (torch.sigmoid(logits) - target) ** 2


# %%
import mine

parallel = fedcxr.simulate(loss=mine.brier, workers=2, progress=False, **STUDY)
parallel
