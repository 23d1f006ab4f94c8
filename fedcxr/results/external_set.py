"""A data set from elsewhere on which a comparison's models are scored: what of it is, and is not.

How it is read and kept: `fedcxr/experiments/compare/external_data.py` and `external_sets.py`.
"""

from fedcxr.section import Section


class LeftOut(Section):
    """Images of an external set that no model is scored on, and why."""

    known_patients: int
    """Of patients whom the federation has."""
    known_images: int
    """Whose file the federation has, byte by byte, under whatever name."""
    copies: int
    """Whose file the set itself has twice."""
    unreadable: int


class ExternalSet(Section):
    """What of a data set from elsewhere is scored."""

    name: str
    """Of its folder, numbered where two are called alike."""
    layout: str
    is_synthetic: bool
    split: str
    """`test`: its official test images; `all`: it has none, or no use for them."""
    labels: tuple[str, ...]
    """Of the run's labels, those that it has."""
    lacking: tuple[str, ...]
    """Of the run's labels, those that it has not: nobody's truth is known."""
    images: int
    patients: int
    left_out: LeftOut
    digest: str
    """Of all that is scored: whose images, their labels, and what the files hold."""
