"""Random erasing (Zhong et al. 2020): a rectangle of each image is blotted out."""

import torch
from torch import Tensor

SHARE = 0.3
"""Of a side, at most."""


def random_erasing(images: Tensor, random: Tensor) -> Tensor:
    """Return images (N, 1, H, W), each with a rectangle of zeros by its row of (N, 16) numbers."""
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device).view(1, height, 1) / height
    columns = torch.arange(width, device=images.device).view(1, 1, width) / width
    tall, wide, top, left = (random[:, place, None, None] for place in range(4))
    is_in_rows = (rows >= top) & (rows < top + SHARE * tall)
    is_in_columns = (columns >= left) & (columns < left + SHARE * wide)
    return images * ~(is_in_rows & is_in_columns).unsqueeze(1)
