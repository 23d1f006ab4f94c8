"""Keeps Pillow and pydicom quiet while an image is decoded.

Both warn about what looks odd in a damaged file, and pydicom logs it as well, with the value: the
header of a DICOM file holds patients' names. What cannot be decoded is an ImageError here, and its
words are our own; the rest is no news for a user.

Images are decoded in several threads, and Python keeps one list of warning filters for all of them:
a `warnings.catch_warnings` in each thread would put back another's. So the first thread inside sets
the filter and the last one out takes it away. Other libraries' warnings are let through.
"""

import logging
import threading
import warnings
from contextlib import ExitStack
from types import TracebackType


class _Quiet:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._undo = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._undo.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=r"(PIL|pydicom)\b")
                logger = logging.getLogger("pydicom")
                self._undo.callback(setattr, logger, "propagate", logger.propagate)
                logger.propagate = False
            self._inside += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._undo.close()


quiet_libraries = _Quiet()
"""Use as `with quiet_libraries:`, in any number of threads."""
