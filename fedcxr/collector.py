"""Python's garbage collector held still while it would only look, and find nothing."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Collect nothing inside; afterwards never look again at what is there by then.

    An import makes half a million objects that stay. The collector looks through all of them again
    and again, finds nothing, and takes a third of the time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def paused_collector() -> Iterator[None]:
    """Keep Python's cycle collector from running meanwhile.

    It walks over the millions of cells of a large table again and again and finds no cycle:
    CheXpert's 223,414 rows take 2.2 s to read without it and 4.4 s with it.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
