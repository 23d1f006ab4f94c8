"""What a run or a comparison found, as typed values: one definition for writers and readers.

`open` gives a finished comparison's tables as DataFrames. It is imported when it is first asked
for: a run and its workers need some of these values, and not what reads a whole result.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedcxr.results.opened import OpenedResult, open

__all__ = ["OpenedResult", "open"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fedcxr.results import opened

    return getattr(opened, name)
