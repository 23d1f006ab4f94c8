"""What a run or a comparison found, as typed values: one definition for writers and readers.

`open` gives a finished comparison's tables as DataFrames.
"""

from fedcxr.results.opened import OpenedResult, open

__all__ = ["OpenedResult", "open"]
