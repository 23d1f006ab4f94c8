"""What samples of a VAE are held against: real training images once more.

More images of the rare findings, and no new ones: as many, with the same label vectors, as they are
or each under one random view. A gain that these bring as well is not the VAE's.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from fedcxr.config.train import AugmentConfig
from fedcxr.seeding import derive_seed
from fedcxr.training.batches import gather
from fedcxr.training.transforms import augment, draw_views

_BATCH = 256
"""Images read and turned at once."""


def real_again(
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    views: AugmentConfig | None,
    *,
    seed: int,
) -> NDArray[np.uint8]:
    """Return the images at `rows` again, as they are or each under a random view of its own.

    Args:
        images: (M, H, H), usually a memory map.
        rows: (S,) of it; a row may come more than once, and then with another view.
        views: what is drawn; none = as they are.
        seed: of the views.

    Returns:
        (S, H, H).
    """
    found = np.empty((len(rows), *images.shape[1:]), np.uint8)
    generator = torch.Generator().manual_seed(derive_seed(seed, "views"))
    for start in range(0, len(rows), _BATCH):
        stored = gather(images, rows[start : start + _BATCH])
        if views is not None:
            drawn = draw_views(len(stored), views, generator)
            pixels = augment(stored.unsqueeze(1).to(torch.float32), drawn)
            stored = pixels.round().clamp(0, 255).to(torch.uint8).squeeze(1)
        found[start : start + _BATCH] = stored.numpy()
    return found
