"""What the paths of some odd files have in common: a folder, or a type of file.

A folder that was exported by another program, or one type of file among others, explains at once
what a list of a thousand names does not.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath

_RARE = 0.5
"""A place that has a larger share of all files than this says nothing about some of them."""


def common_place(odd: Sequence[str], every: Sequence[str]) -> str:
    """Return a sentence on where all the odd files are and most others are not; empty if nowhere.

    Args:
        odd: their paths.
        every: the paths of all files, the odd ones among them.

    >>> every = ["a/1.png", "a/2.png", "a/3.png", "b/4.png", "b/5.jpg"]
    >>> common_place(["b/4.png", "b/5.jpg"], every)
    'All 2 are in b, which has 2 of the 5 images.'
    >>> common_place(["a/1.png", "b/4.png"], every)
    ''
    """
    if len(odd) < 2:
        return ""
    start = _common_folder(odd)
    there = sum(path.startswith(f"{start}/") for path in every) if start else len(every)
    if there <= _RARE * len(every):
        return f"All {len(odd):,} are in {start}, which has {there:,} of the {len(every):,} images."
    suffixes = {PurePosixPath(path).suffix for path in odd}
    if len(suffixes) == 1:
        suffix = suffixes.pop()
        alike = sum(PurePosixPath(path).suffix == suffix for path in every)
        if suffix and alike <= _RARE * len(every):
            return (
                f"All {len(odd):,} end in {suffix}, as do {alike:,} of the {len(every):,} images."
            )
    return ""


def _common_folder(paths: Sequence[str]) -> str:
    """Return the deepest folder that holds all the files, empty if it is the root."""
    folders = [path.split("/")[:-1] for path in paths]
    first, last = min(folders), max(folders)  # what these two share, all in between share too
    depth = 0
    while depth < min(len(first), len(last)) and first[depth] == last[depth]:
        depth += 1
    return "/".join(first[:depth])
