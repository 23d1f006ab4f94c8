"""What an update must be, whoever looks: the server, or the site itself where the server cannot."""

import numpy as np
from numpy.typing import NDArray

from fedcxr.chain import UPDATE
from fedcxr.codecs import Floats
from fedcxr.errors import RunError
from fedcxr.parameters import Parameters, ParameterSpec
from fedcxr.schema import COUNTERS, WireSchema
from fedcxr.vectors import Vectors, problem_of

MOST_STEPS = 2**31
"""That a counter may move in a round."""


def check_made(vectors: Vectors, schema: WireSchema, given: Parameters) -> None:
    """Raise `RunError` unless vectors are such as a training makes.

    They are as declared and finite, counters have moved as steps move them, and no variance would
    be negative.

    Args:
        vectors: as they were made at the site.
        schema: the run's.
        given: the shared values that the site was sent.
    """
    problem = problem_of(vectors, schema.made)
    if problem:
        raise RunError(problem)
    for name in schema.rules.from_sites:
        if not np.isfinite(vectors[name]).all():
            raise RunError(f"'{name}' is not finite")
    spec, update = schema.shared.spec, vectors[UPDATE]
    finite = np.isfinite(update)
    if not finite.all():
        first = int(np.argmin(finite))
        raise RunError(
            f"{int((~finite).sum())} numbers are not finite, the first in {spec.tensor_at(first)}"
        )
    check_counters(vectors[COUNTERS], given.counters)
    check_variances(update, given.vector, spec)


def check_counters(counters: NDArray[np.int64], given: NDArray[np.int64]) -> None:
    """Refuse what no training counts; a counter near its end would have the next round overflow."""
    if (counters < 0).any():
        raise RunError("a counter is negative")
    if ((counters < given) | (counters - given > MOST_STEPS)).any():
        raise RunError("a counter has moved as no round of training moves it")


def check_variances(update: Floats, given: Floats, spec: ParameterSpec) -> None:
    """Refuse an update by which a variance would be negative."""
    for part in spec.variance_slices:
        if (given[part] + update[part] < 0).any():
            raise RunError(f"a variance is negative in {spec.tensor_at(part.start)}")
