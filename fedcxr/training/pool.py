"""What a site trains on: several sources of images under one index that knows which are real.

A source is an array of images, usually a memory map of a cache, with the rows of it that are used
and their targets. Only real images count in the mean over the sites; made-up ones are trained on
and weigh nothing. Not for evaluation: that is done on real images, a source at a time.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedcxr.training.batches import gather


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Images of one origin with their training targets."""

    images: NDArray[np.uint8]
    """(M, H, W), usually a memory map."""
    rows: NDArray[np.int64]
    """(N,) positions in `images`."""
    target: NDArray[np.float32]
    """(N, L) along `rows`, as `train_targets` makes it; nan = not known."""
    is_real: bool = True
    """Whether they are radiographs of patients, and count as such."""


@dataclass(frozen=True)  # no slots: cached properties need a dict
class ImagePool:
    """The sources of a site, indexed one after another.

    Raises:
        ValueError: there is no source, or they differ in image size or number of labels.
    """

    sources: tuple[ImageSource, ...]
    idle: int = 0
    """Real images of the site that are not among the sources and count all the same, as where a
    round trains on samples alone."""

    def __post_init__(self) -> None:
        shapes = {(s.images.shape[1:], s.target.shape[1]) for s in self.sources}
        if len(shapes) != 1:
            raise ValueError(f"an image pool needs sources of one shape; these have {shapes}")
        for source in self.sources:
            if len(source.rows) != len(source.target):
                raise ValueError(f"{len(source.rows)} rows have {len(source.target)} targets")

    @classmethod
    def of(
        cls, images: NDArray[np.uint8], rows: NDArray[np.int64], target: NDArray[np.float32]
    ) -> "ImagePool":
        """Return a pool of one source of real images; shapes as in `ImageSource`."""
        return cls((ImageSource(images, rows, target),))

    def __len__(self) -> int:
        return sum(len(source.rows) for source in self.sources)

    @property
    def num_real(self) -> int:
        """Number of real images, the weight in the mean over the sites."""
        return self.idle + sum(len(source.rows) for source in self.sources if source.is_real)

    @cached_property
    def target(self) -> NDArray[np.float32]:
        """(N, L) targets of the whole index; one source's own array where it is the only one."""
        if len(self.sources) == 1:
            return self.sources[0].target
        return np.concatenate([source.target for source in self.sources])

    def gather(self, picked: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return copies of the images (B, H, W) uint8 and targets (B, L) at index `picked` (B,)."""
        return self._images(picked), torch.from_numpy(self.target[picked])

    def _images(self, picked: NDArray[np.int64]) -> Tensor:
        if len(self.sources) == 1:
            source = self.sources[0]
            return gather(source.images, source.rows[picked])
        found = torch.empty((len(picked), *self.sources[0].images.shape[1:]), dtype=torch.uint8)
        start = 0
        for source in self.sources:
            own = np.flatnonzero((picked >= start) & (picked < start + len(source.rows)))
            found[own] = gather(source.images, source.rows[picked[own] - start])
            start += len(source.rows)
        return found
