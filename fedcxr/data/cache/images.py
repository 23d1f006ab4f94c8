"""The cache of a data set's images: whoever asks for the same images finds the same cache."""

from collections.abc import Callable

from fedcxr.cores import cores
from fedcxr.data.cache.builder import Watch
from fedcxr.data.cache.store import Cache, build_cache
from fedcxr.data.records import DataSet
from fedcxr.data.tokens import Tokens


def cache_of(
    dataset: DataSet,
    tokens: Tokens,
    *,
    size_px: int,
    max_bad_fraction: float,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    watch: Watch | None = None,
) -> Cache:
    """Return the cache of all images of a data set, named by their tokens.

    Args:
        dataset: whose images.
        tokens: of the patient key.
        size_px: side of the square.
        max_bad_fraction: as `build_cache` takes it.
        workers: none = all cores.
        progress: as `build_cache` takes it.
        watch: as `build_cache` takes it.

    Raises:
        DataError, ArtefactError, RunError: as `build_cache` raises them.
    """
    return build_cache(
        [(tokens.image(record.path), record.path) for record in dataset.records],
        dataset.files,
        size_px=size_px,
        max_bad_fraction=max_bad_fraction,
        workers=workers or cores(),
        progress=progress,
        watch=watch,
    )
