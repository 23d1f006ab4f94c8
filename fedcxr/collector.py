"""Python's garbage collector held still while modules are imported.

An import makes half a million objects that stay. The collector looks through all of them again and
again, finds nothing, and takes a third of the time.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Collect nothing inside; afterwards never look again at what is there by then."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
