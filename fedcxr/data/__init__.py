"""Chest radiographs and their labels: readers, image decoding, the cache, synthetic data.

As a library, in a notebook and without Flower:

    from fedcxr.data import read_dataset, RadiographDataset
    dataset = read_dataset(Path("CheXpert-v1.0-small"), views="frontal")
    train = RadiographDataset.from_folder(Path("CheXpert-v1.0-small"), size_px=224)

Each name is imported when it is first asked for: the programs and worker processes that need one
module of this package must not pay for all, and `RadiographDataset` alone needs torch.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # not `RadiographDataset`: whatever imports this package would then import torch
    from fedcxr.data.cache.store import build_cache, open_cache
    from fedcxr.data.images.decode import decode
    from fedcxr.data.leaks import has_leak
    from fedcxr.data.quality.check import check_data
    from fedcxr.data.read import read_dataset
    from fedcxr.data.readers.chexlocalize import decode_rle, read_annotations, read_segmentations
    from fedcxr.data.readers.chexpert import read_chexpert
    from fedcxr.data.readers.nih14 import read_nih14
    from fedcxr.data.readers.nih14_onehot import read_onehot, read_onehot_tables
    from fedcxr.data.records import Box, DataSet, Record

__all__ = [
    "Box",
    "DataSet",
    "Record",
    "build_cache",
    "check_data",
    "decode",
    "decode_rle",
    "has_leak",
    "open_cache",
    "read_annotations",
    "read_chexpert",
    "read_dataset",
    "read_nih14",
    "read_onehot",
    "read_onehot_tables",
    "read_segmentations",
]

_MODULES = {
    "Box": "records",
    "DataSet": "records",
    "RadiographDataset": "dataset",
    "Record": "records",
    "build_cache": "cache.store",
    "check_data": "quality.check",
    "decode": "images.decode",
    "decode_rle": "readers.chexlocalize",
    "has_leak": "leaks",
    "open_cache": "cache.store",
    "read_annotations": "readers.chexlocalize",
    "read_chexpert": "readers.chexpert",
    "read_dataset": "read",
    "read_nih14": "readers.nih14",
    "read_onehot": "readers.nih14_onehot",
    "read_onehot_tables": "readers.nih14_onehot",
    "read_segmentations": "readers.chexlocalize",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
