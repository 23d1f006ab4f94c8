"""A PyTorch `Dataset` over a cache: for a notebook, a baseline, or a loader of one's own.

The federation itself does not use it: sites gather whole batches from the memory map
(`fedcxr/training/batches.py`), without worker processes. This module alone in `fedcxr.data` imports
torch; nothing that `partitions` reads may import it.

    train = RadiographDataset.from_folder("CheXpert-v1.0-small", size_px=224)
    for image, target, image_id in DataLoader(train, batch_size=32, shuffle=True): ...
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from fedcxr.config.data import DataConfig
from fedcxr.config.task import PolicyConfig
from fedcxr.data.cache.images import cache_of
from fedcxr.data.cache.store import Cache
from fedcxr.data.leaks import refuse_shared_patients
from fedcxr.data.policies import policy_of, score_targets, train_targets
from fedcxr.data.read import read_dataset
from fedcxr.data.records import DataSet
from fedcxr.data.tokens import Tokens, load_key
from fedcxr.errors import ConfigError, DataError, some

_DTYPES = (torch.float32, torch.uint8)


class Radiograph(NamedTuple):
    """One item; a loader's batch has the same fields, stacked."""

    image: Tensor
    """(1, H, W): float32 in [0, 1], or uint8 in 0 … 255."""
    target: Tensor
    """(L,) float32 in [0, 1], nan = not known; 2 = uncertain where that is a class of its own."""
    image_id: str
    """The image's token: nothing in an item names a patient."""


class RadiographDataset(Dataset[Radiograph]):
    """Cached images with their targets; a worker of a `DataLoader` maps the cache by itself."""

    def __init__(
        self,
        cache: Cache,
        image_ids: Sequence[str],
        target: NDArray[np.float32],
        *,
        labels: Sequence[str],
        patient_ids: Sequence[str] = (),
        dtype: torch.dtype = torch.float32,
        transform: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        """Take N images of the cache.

        Args:
            cache: the decoded images.
            image_ids: (N,) tokens, all of them in the cache.
            target: (N, L), nan = not known; kept, not copied.
            labels: (L,) names of the target's columns.
            patient_ids: (N,) tokens, to keep a patient's images together; none = not known.
            dtype: `torch.float32` scales the pixels to [0, 1]; `torch.uint8` gives them as they
                are, in a quarter of the memory.
            transform: called with each (1, H, W) image; what it returns is the item's image.

        Raises:
            ArtefactError: an image that the cache does not have.
            ConfigError: lengths that do not fit together, or another dtype.
        """
        shape = (len(image_ids), len(labels))
        if target.shape != shape or len(patient_ids) not in (0, len(image_ids)):
            raise ConfigError(
                f"{shape[0]} images and {shape[1]} labels need a target of {shape}, not "
                f"{target.shape}, and a patient of each image or none, not {len(patient_ids)}."
            )
        if dtype not in _DTYPES:
            raise ConfigError(f"dtype {dtype}: give torch.float32 or torch.uint8.")
        self.cache = cache
        self.image_ids = tuple(image_ids)
        self.patient_ids = tuple(patient_ids)
        self.labels = tuple(labels)
        self.target = target
        self.dtype = dtype
        self.transform = transform
        self._rows = cache.rows(self.image_ids)

    @classmethod
    def from_folder(
        cls,
        root: str | Path | Sequence[str | Path],
        *,
        size_px: int = 320,
        split: str | None = "train",
        data: DataConfig | None = None,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        transform: Callable[[Tensor], Tensor] | None = None,
    ) -> Self:
        """Return one official split of a data set, its images decoded into the cache if need be.

        The cache holds all splits and is the one that `fedcxr prepare` and `fedcxr simulate` make
        of the folder at this size and with these views: the second call decodes nothing.

        Args:
            root: the data set's folder, or several to join (`fedcxr/data/read.py`).
            size_px: side of the square images.
            split: `train` with targets to train on, `val` or `test` with the truth to score
                against (`fedcxr/data/policies.py`); none = all of it, with targets to train on.
            data: views, labels and what uncertain and blank ones become; none = the defaults. Its
                `root` is not looked at.
            seed: of the values that a `smoothed` label draws.
            dtype: of the images, as `__init__` takes it.
            transform: as `__init__` takes it.

        Raises:
            ConfigError: a label that the data set does not have.
            DataError: no data set, no such split, or too many unreadable files.
            LeakError: a split is asked for, and a patient is in two of them.
        """
        data = data or DataConfig()
        dataset = read_dataset(
            root,
            views=data.views,
            labels=data.labels,
            task=data.task,
            label_table=data.label_table,
            follow_links=data.follow_links,
        )
        tokens = Tokens(load_key())
        if split is not None:
            refuse_shared_patients(dataset, tokens)
        cache = cache_of(dataset, tokens, size_px=size_px, max_bad_fraction=data.max_bad_fraction)
        chosen = _of_split(dataset, split).where(lambda r: cache.has(tokens.image(r.path)))
        image_ids = [tokens.image(record.path) for record in chosen.records]
        return cls(
            cache,
            image_ids,
            _targets(chosen, split, policy_of(data, rounds=1), image_ids, seed),
            labels=chosen.labels,
            patient_ids=[tokens.patient(record.patient_id) for record in chosen.records],
            dtype=dtype,
            transform=transform,
        )

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> Radiograph:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Radiograph]:
        """Return the items at `indices`, read in one go: what a `DataLoader` asks for a batch."""
        at = np.asarray(indices, dtype=np.int64)
        # indexing by an array copies: a caller may write into what it gets
        pixels = np.asarray(self.cache.images[self._rows[at]])  # (N, H, W)
        if self.dtype == torch.float32:
            # not torch's division: its threads wait for one another, 16 ms on a busy machine
            # against 0.6 ms for 32 images of 320 px
            pixels = np.divide(pixels, np.float32(255), dtype=np.float32)
        images = torch.from_numpy(pixels).unsqueeze(1)
        target = torch.from_numpy(self.target[at])
        return [
            Radiograph(self._transformed(image), known, self.image_ids[i])
            for image, known, i in zip(images, target, at.tolist(), strict=True)
        ]

    def _transformed(self, image: Tensor) -> Tensor:
        return image if self.transform is None else self.transform(image)


def _of_split(dataset: DataSet, split: str | None) -> DataSet:
    if split is None:
        return dataset
    chosen = dataset.where(lambda record: record.split == split)
    if not chosen.records:
        there = sorted({repr(record.split) for record in dataset.records if record.split})
        raise DataError(
            f"{dataset.root}: no images of an official split {split!r}; there is "
            f"{some(there) or 'none'}. Name one of these, or give split=None and divide the "
            f"patients yourself."
        )
    return chosen


def _targets(
    dataset: DataSet, split: str | None, policy: PolicyConfig, image_ids: Sequence[str], seed: int
) -> NDArray[np.float32]:
    """Return (N, L) targets to train on, or of a split that is held out the truth."""
    if split in ("val", "test"):
        return score_targets(dataset.states(), dataset.labels, policy)
    return train_targets(dataset.states(), dataset.labels, policy, image_id=image_ids, seed=seed)
