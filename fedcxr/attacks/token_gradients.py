"""A vision transformer's image from one gradient, by linear algebra alone: nothing is searched.

Patch t enters as E · patch_t + position_t. So the gradient by the positions is δ_t itself, and that
by E is Σ δ_t ⊗ patch_t: as many linear equations as E has rows for each pixel of a patch, and one
unknown for each of the T patches. One image of up to 768 patches is exact. Of several images in one
update the equations give a mixture.

Source: Lu et al. 2022, "APRIL: Finding the Achilles' Heel on Privacy for Vision Transformers", §4,
with the patch embedding in place of the first attention.
"""

from math import isqrt

import torch
from torch import Tensor

POSITIONS = "network.encoder.pos_embedding"
"""Names of the two tensors in a model of the registry."""
EMBEDDING = "network.conv_proj.weight"


def patches(positions: Tensor, embedding: Tensor) -> Tensor:
    """Return the (T, p, p) patches of the network's input, in its own units.

    Args:
        positions: (1, 1 + T, C) gradient by the position embeddings, the class token first.
        embedding: (C, 1, p, p) gradient by the patch embedding.
    """
    deltas = positions[0, 1:].double()  # (T, C)
    side = embedding.shape[-1]
    sums = embedding.double().flatten(1)  # (C, p · p) = Σ δ_t ⊗ patch_t
    found: Tensor = torch.linalg.pinv(deltas.T) @ sums
    return found.reshape(-1, side, side).to(embedding.dtype)


def joined(found: Tensor) -> Tensor:
    """Return the (H, H) image of its (T, p, p) patches, row by row.

    >>> joined(torch.arange(4.0).reshape(4, 1, 1))
    tensor([[0., 1.],
            [2., 3.]])
    """
    num = isqrt(len(found))
    rows = found.reshape(num, num, *found.shape[1:]).transpose(1, 2)  # (n, p, n, p)
    return rows.reshape(num * found.shape[1], num * found.shape[2])
