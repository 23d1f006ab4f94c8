"""Where each label's own values lie: the rows of the head that compute its logit."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedcxr.parameters import ParameterSpec


@dataclass(frozen=True, slots=True)
class HeadRows:
    """One label's values of the head."""

    label: int
    """Its position among the run's labels."""
    places: tuple[slice, ...]
    """In the vector of the shared part."""


def head_rows(
    spec: ParameterSpec, head: str, label_of_output: Sequence[int]
) -> tuple[HeadRows, ...]:
    """Return where the values of each of the O outputs lie.

    Args:
        spec: of the shared part.
        head: the name of the last linear layer; its tensors have O rows.
        label_of_output: (O,) the label that each output belongs to.

    >>> spec = ParameterSpec(("head.weight", "head.bias"), ((2, 3), (2,)), ("trainable",) * 2)
    >>> head_rows(spec, "head", [0, 1])[1].places
    (slice(3, 6, None), slice(7, 8, None))
    """
    tensors = [
        (offset, size // shape[0])
        for name, shape, offset, size in zip(
            spec.names, spec.shapes, spec.offsets, spec.sizes, strict=True
        )
        if name.rpartition(".")[0] == head
    ]
    return tuple(
        HeadRows(
            label, tuple(slice(at + row * width, at + (row + 1) * width) for at, width in tensors)
        )
        for row, label in enumerate(label_of_output)
    )
